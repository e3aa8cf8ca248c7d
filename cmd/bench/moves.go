package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/controller"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/packet"
)

const (
	crowdMoves      = 1000
	crowdMovesLimit = 20 * time.Second
)

// measureMovesAtOnce has hosts with an address each come here from a leaf all at once, as
// they announce themselves at a port, and go back there, as the leaf advertises them.
func measureMovesAtOnce(ctx context.Context, b *bench) ([]value, error) {
	return b.withRig(func(r *rig) ([]value, error) { return r.movesAtOnce(ctx) })
}

func (r *rig) movesAtOnce(ctx context.Context) ([]value, error) {
	b, moving := r.bench, &movers{}
	g, err := b.startBGPGateway(ctx, setup{
		injectors: 1, hear: moving.hear,
		port: &controller.Port{Name: "hosts", Number: hostsAt, Kind: controller.KindBridge, MAC: macA},
		on: &switchOptions{
			kind: embedded, address: "unix:" + filepath.Join(b.dir, "p4rt.sock"), ports: []string{port(hostsAt, devA)},
			inside: func(args ...string) *exec.Cmd { return r.ns.Command(ctx, args...) },
		},
	})
	if err != nil {
		return nil, err
	}
	defer g.stop()
	acked := g.target.countAcked(map[string]int64{"bridge.fdb": crowdMoves})
	if err := errors.Join(g.sessions[0].Send(moverUpdates(0)), await(ctx, acked.done, acked.progress)); err != nil {
		return nil, err
	}
	g.target.watch(moving.acked)
	in, err := r.ns.OpenRaw(devA)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	defer b.profile("moves")()
	here, over, err := moving.settle(ctx, true, func() error {
		for n := range crowdMoves {
			if err := in.Send(packet.ARPRequest(stationMAC(uint32(n)), tenantAddress(n), tenantAddress(n))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	back := time.Duration(0)
	if !over {
		back, over, err = moving.settle(ctx, false, func() error { return g.sessions[0].Send(moverUpdates(100)) })
		if err != nil {
			return nil, err
		}
	}
	how := fmt.Sprintf("%d hosts with an address each: announced here until the last entry is acknowledged and the last "+
		"route is at a peer, %.2g s; advertised by a leaf again until the last entry is, %.2g s", crowdMoves,
		here.Seconds(), back.Seconds())
	return []value{{name: "moves_1000", number: max(here, back).Seconds(), unit: "s", goal: atMost(1), over: over,
		against: how}}, nil
}

// moverUpdates are the hosts' routes at the leaf, with a sequence number.
func moverUpdates(sequence uint32) []byte {
	rd := [8]byte{0, 1, 7: 1}
	next := vtep(0).As4()
	copy(rd[2:], next[:])
	attributes := bgptest.Attributes{NextHop: vtep(0), ASPath: []uint32{leafAS}, Communities: [][8]byte{
		bgptest.VXLAN(), bgptest.RouteTarget(leafAS, firstVNI), bgptest.MACMobility(sequence, false)}}
	var updates [][]byte
	for n := 0; n < crowdMoves; n += perUpdate {
		var nlri [][]byte
		for i := n; i < min(n+perUpdate, crowdMoves); i++ {
			nlri = append(nlri, bgptest.MACRoute(rd, 0, stationMAC(uint32(i)), tenantAddress(i), firstVNI))
		}
		updates = append(updates, bgptest.Update(attributes, nlri...))
	}
	return bytes.Join(updates, nil)
}

// movers are the hosts that move, and what is missing of that.
type movers struct {
	mu      sync.Mutex
	entries int             // that are to be changed
	routes  map[uint16]bool // of hosts, that a peer is to hear
	last    time.Time       // when the last of them was
	done    chan struct{}
}

// settle has hosts move and gives how long that takes, and whether it was given up.
func (m *movers) settle(ctx context.Context, advertised bool, move func() error) (time.Duration, bool, error) {
	m.mu.Lock()
	m.entries, m.routes, m.done = crowdMoves, map[uint16]bool{}, make(chan struct{})
	for n := range crowdMoves {
		if advertised {
			m.routes[uint16(n)] = true
		}
	}
	done := m.done
	m.mu.Unlock()
	start := time.Now()
	if err := move(); err != nil {
		return 0, false, err
	}
	select {
	case <-done:
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.last.Sub(start), false, nil
	case <-ctx.Done():
		return 0, false, context.Cause(ctx)
	case <-time.After(crowdMovesLimit):
		return crowdMovesLimit, true, nil
	}
}

// ended is called with the lock held, after something that was missing came.
func (m *movers) ended(at time.Time) {
	m.last = at
	if m.entries == 0 && len(m.routes) == 0 && m.done != nil {
		close(m.done)
		m.done = nil
	}
}

// acked counts entries of the FDB that changed.
func (m *movers) acked(at time.Time, updates []p4rt.Update, errs []error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := tableID("bridge.fdb")
	for i, u := range updates {
		if table(u) == id && u.GetType() == p4v1.Update_MODIFY && errs[i] == nil && m.entries > 0 {
			m.entries--
			m.ended(at)
		}
	}
}

// hear counts hosts whose route is in an UPDATE: its MAC and its address, with their lengths
// in bits before them (RFC 7432 section 7.2).
func (m *movers) hear(body []byte) {
	at := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	first := stationMAC(0)
	begins := append([]byte{48}, first[:4]...)
	for rest := body; ; {
		i := bytes.Index(rest, begins)
		if i < 0 || len(rest) < i+12 {
			return
		}
		if rest = rest[i+len(begins):]; rest[2] != 32 {
			continue
		}
		n := uint16(rest[0])<<8 | uint16(rest[1])
		if ip, ok := netip.AddrFromSlice(rest[3:7]); m.routes[n] && ok && ip == tenantAddress(int(n)) {
			delete(m.routes, n)
			m.ended(at)
		}
	}
}
