package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"testing"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// rawTarget speaks P4Runtime with a gateway's switch past the controller.
type rawTarget struct {
	gateway *Gateway
	client  p4v1.P4RuntimeClient
	info    *p4config.P4Info
}

const rawDevice = 1

// raw connects to the gateway's switch, which must have a pipeline.
func (g *Gateway) raw(t *testing.T) *rawTarget {
	t.Helper()
	conn := must(grpc.NewClient("passthrough:///"+targetAddress, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<28)),
		grpc.WithContextDialer(func(ctx context.Context, address string) (conn net.Conn, err error) {
			err = g.NS.Do(func() error {
				conn, err = new(net.Dialer).DialContext(ctx, "tcp", address)
				return err
			})
			return conn, err
		})))(t)
	t.Cleanup(func() { _ = conn.Close() })
	r := &rawTarget{gateway: g, client: p4v1.NewP4RuntimeClient(conn)}
	config := must(r.client.GetForwardingPipelineConfig(t.Context(), &p4v1.GetForwardingPipelineConfigRequest{
		DeviceId: rawDevice, ResponseType: p4v1.GetForwardingPipelineConfigRequest_P4INFO_AND_COOKIE,
	}, grpc.WaitForReady(true)))(t)
	r.info = config.GetConfig().GetP4Info()
	return r
}

// entities reads all tables, or those that are named, and the multicast groups.
func (r *rawTarget) entities(ctx context.Context, tables ...string) ([]*p4v1.Entity, error) {
	request := &p4v1.ReadRequest{DeviceId: rawDevice}
	for _, t := range r.info.GetTables() {
		if name := t.GetPreamble().GetName(); len(tables) == 0 || slices.Contains(tables, name) {
			request.Entities = append(request.Entities,
				&p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{TableId: t.GetPreamble().GetId()}}})
		}
	}
	if len(tables) == 0 {
		request.Entities = append(request.Entities,
			&p4v1.Entity{Entity: &p4v1.Entity_PacketReplicationEngineEntry{
				PacketReplicationEngineEntry: &p4v1.PacketReplicationEngineEntry{
					Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: &p4v1.MulticastGroupEntry{}},
				}}})
	}
	return r.read(ctx, request)
}

// read gives what the target answers, but default actions.
func (r *rawTarget) read(ctx context.Context, request *p4v1.ReadRequest) ([]*p4v1.Entity, error) {
	stream, err := r.client.Read(ctx, request)
	if err != nil {
		return nil, err
	}
	var all []*p4v1.Entity
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the target: %w", err)
		}
		for _, e := range answer.GetEntities() {
			if !e.GetTableEntry().GetIsDefaultAction() {
				all = append(all, e)
			}
		}
	}
}

// held gives what the target holds, or some of its tables, each entity in its wire form,
// without what traffic changes.
func (r *rawTarget) held(ctx context.Context, tables ...string) (map[string]bool, error) {
	all, err := r.entities(ctx, tables...)
	if err != nil {
		return nil, err
	}
	held := make(map[string]bool, len(all))
	for _, e := range all {
		if te := e.GetTableEntry(); te != nil {
			te.CounterData, te.MeterCounterData, te.TimeSinceLastHit = nil, nil, nil
		}
		if g := e.GetPacketReplicationEngineEntry().GetMulticastGroupEntry(); g != nil {
			slices.SortFunc(g.Replicas, func(a, b *p4v1.Replica) int { return int(a.GetInstance()) - int(b.GetInstance()) })
		}
		wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
		if err != nil {
			return nil, err
		}
		held[string(wire)] = true
	}
	return held, nil
}

// readable gives an entity of held as a text.
func readable(wire string) string {
	e := &p4v1.Entity{}
	if err := proto.Unmarshal([]byte(wire), e); err != nil {
		return err.Error()
	}
	return e.String()
}

// differences says what is in one and not in the other, a few of each.
func differences(before, after map[string]bool) error {
	const few = 5
	var gone, come []string
	for e := range before {
		if !after[e] {
			gone = append(gone, readable(e))
		}
	}
	for e := range after {
		if !before[e] {
			come = append(come, readable(e))
		}
	}
	if len(gone)+len(come) == 0 {
		return nil
	}
	return fmt.Errorf("%d entries are gone and %d new, such as %q and %q", len(gone), len(come),
		gone[:min(few, len(gone))], come[:min(few, len(come))])
}

// electionID is that of the controller, by its log.
func (r *rawTarget) electionID() (*p4v1.Uint128, error) {
	found := claimed.FindAllStringSubmatch(r.gateway.control.Tail(1<<24), -1)
	if len(found) == 0 {
		return nil, errors.New("the controller's log names no election id")
	}
	low, err := strconv.ParseUint(found[len(found)-1][1], 16, 64)
	return &p4v1.Uint128{Low: low}, err
}

var claimed = regexp.MustCompile(`primary controller of the target.* election_id=0x([0-9a-f]+)`)

// write writes with an election id, which may be the controller's own.
func (r *rawTarget) write(ctx context.Context, id *p4v1.Uint128, kind p4v1.Update_Type,
	entities ...*p4v1.Entity) error {
	request := &p4v1.WriteRequest{DeviceId: rawDevice, ElectionId: id}
	for _, e := range entities {
		e := proto.Clone(e).(*p4v1.Entity)
		if te := e.GetTableEntry(); te != nil {
			te.CounterData, te.MeterCounterData, te.TimeSinceLastHit = nil, nil, nil
		}
		request.Updates = append(request.Updates, &p4v1.Update{Type: kind, Entity: e})
	}
	if _, err := r.client.Write(ctx, request); err != nil {
		return fmt.Errorf("write to the target past the controller: %w", err)
	}
	return nil
}

// takeOver becomes primary with an election id until the function that it gives
// is called.
func (r *rawTarget) takeOver(t *testing.T, id *p4v1.Uint128) (leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stream := must(r.client.StreamChannel(ctx))(t)
	check(t, stream.Send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Arbitration{
		Arbitration: &p4v1.MasterArbitrationUpdate{DeviceId: rawDevice, ElectionId: id},
	}}))
	for {
		message := must(stream.Recv())(t)
		if a := message.GetArbitration(); a != nil {
			if codes.Code(a.GetStatus().GetCode()) != codes.OK {
				t.Fatalf("arbitration with %v: %v", id, a)
			}
			break
		}
	}
	done := make(chan struct{})
	go func() { // BMv2 stalls if nobody reads
		defer close(done)
		for {
			if _, err := stream.Recv(); err != nil {
				return
			}
		}
	}()
	leave = func() { cancel(); <-done }
	t.Cleanup(leave)
	return leave
}
