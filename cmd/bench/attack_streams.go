package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	attackedTarget = "127.0.0.1:9559"
	// Ten times as many streams as there may be, on a quarter of the connections.
	targetStrangers, strangersStreams = 32, 40
	// strangersBytes is what one request of a stranger has: less than is refused for its size
	// alone. strangersWriters is how many send such, one after the other.
	strangersBytes, strangersWriters = 3 << 20, 8
	strangersFirst                   = 3 * time.Second // before the controller is killed
)

// measureStreams has strangers, at P4Runtime over TCP, hold as many streams as they get and
// write large requests, while the controller is killed and started.
func measureStreams(ctx context.Context, b *bench) ([]value, error) {
	return b.withLive(ctx, func(g *liveGateway) ([]value, error) {
		if err := g.speak(ctx, liveRoutes); err != nil {
			return nil, err
		}
		victim := g.flowing(ctx)
		took := time.Duration(0)
		restart := func() error {
			start := time.Now()
			if err := g.restart(ctx); err != nil {
				return err
			}
			took = time.Since(start)
			return sleep(ctx, quietFor)
		}
		quiet, err := g.see(victim, restart)
		if err != nil {
			return nil, err
		}
		during, cancel := context.WithCancel(ctx)
		defer cancel()
		var owned sync.WaitGroup
		defer owned.Wait()
		defer cancel()
		var streams, written atomic.Int64
		quietly := took
		under, err := g.see(victim, func() error {
			for i := range targetStrangers {
				owned.Go(func() { g.bother(during, i, &streams, &written) })
			}
			if err := sleep(ctx, strangersFirst); err != nil {
				return err
			}
			return restart()
		})
		if err != nil {
			return nil, err
		}
		how := fmt.Sprintf("%d times strangers opened a stream over TCP, they wrote %d requests of %d MB, and the "+
			"controller was killed and started", streams.Load(), written.Load(), strangersBytes>>20)
		values := attackValues("streams", quiet, under, how)
		return append(values, value{name: "attack_streams_restart_ratio", number: took.Seconds() / quietly.Seconds(),
			unit: "x", goal: atMost(attackP99), against: fmt.Sprintf("%.2f s after %.2f: from SIGKILL until a controller is "+
				"primary, and all of its VRFs and %d routes are in the switch", took.Seconds(), quietly.Seconds(),
				liveRoutes)}), nil
	})
}

// bother is one stranger: a connection, whose streams ask to be a backup, and which some
// write by.
func (g *liveGateway) bother(ctx context.Context, n int, streams, written *atomic.Int64) {
	conn, err := grpc.NewClient("passthrough:///"+attackedTarget, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return g.dialFrom(ctx, strangerAddress, address)
		}))
	if err != nil {
		return // the address is no address
	}
	defer func() { _ = conn.Close() }()
	client := p4v1.NewP4RuntimeClient(conn)
	var owned sync.WaitGroup
	defer owned.Wait()
	for i := range strangersStreams {
		owned.Go(func() {
			for ctx.Err() == nil {
				_ = holdStream(ctx, client, i%2 == 0, streams)
				_ = sleep(ctx, apiPause/10)
			}
		})
	}
	if n >= strangersWriters {
		return
	}
	request := largeRequest()
	for ctx.Err() == nil {
		if _, err := client.Write(ctx, request); err == nil || ctx.Err() == nil {
			written.Add(1)
		}
	}
}

// holdStream opens a stream and holds it: of one who never becomes primary, or of one who
// says nothing.
func holdStream(ctx context.Context, client p4v1.P4RuntimeClient, arbitrate bool, streams *atomic.Int64) error {
	s, err := client.StreamChannel(ctx)
	if err == nil && arbitrate {
		err = s.Send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Arbitration{
			Arbitration: &p4v1.MasterArbitrationUpdate{DeviceId: 1}}})
	}
	if err != nil {
		return err
	}
	streams.Add(1)
	for err == nil {
		_, err = s.Recv()
	}
	return err
}

// largeRequest is of one who may not write, and of a table that is not there.
func largeRequest() *p4v1.WriteRequest {
	const value = 1 << 10
	r := &p4v1.WriteRequest{DeviceId: 1, ElectionId: &p4v1.Uint128{Low: 0}}
	for range strangersBytes / value {
		e := &p4v1.TableEntry{TableId: 1, Metadata: bytes.Repeat([]byte{1}, value)}
		r.Updates = append(r.Updates, &p4v1.Update{Type: p4v1.Update_INSERT,
			Entity: &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: e}}})
	}
	return r
}
