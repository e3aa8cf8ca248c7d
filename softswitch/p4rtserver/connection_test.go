package p4rtserver

import (
	"context"
	"fmt"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// wire is a connection that is, or is not, the controller's.
type wire struct{ primary bool }

func (*wire) AuthType() string     { return "test" }
func (w *wire) SetPrimary(is bool) { w.primary = is }
func (w *wire) Primary() bool      { return w.primary }

func over(w *wire) context.Context {
	return peer.NewContext(context.Background(), &peer.Peer{AuthInfo: w})
}

func TestReadsOfStrangersAreFewAndThePrimarysAreNot(t *testing.T) {
	s := startTarget(t).server
	var ends []func()
	for range strangersReads {
		done, err := s.admitRead(over(&wire{}))
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, done)
	}
	if _, err := s.admitRead(over(&wire{})); status.Code(err) != codes.ResourceExhausted || s.Stats().ReadsRefused != 1 {
		t.Errorf("one more: %v, %d are counted", err, s.Stats().ReadsRefused)
	}
	for range 3 * strangersReads {
		if _, err := s.admitRead(over(&wire{primary: true})); err != nil {
			t.Errorf("the primary: %v", err)
		}
	}
	ends[0]()
	if _, err := s.admitRead(over(&wire{})); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
	for _, primary := range []bool{true, false} {
		if _, bounded := TimeOfRead(over(&wire{primary: primary})); bounded == primary {
			t.Errorf("primary %v: bounded in time %v", primary, bounded)
		}
	}
}

// A role of one's own costs nothing, and must not make one the controller.
func TestTheDefaultRolesPrimaryAloneIsTheController(t *testing.T) {
	a := arbiter{deviceID: testDevice, roles: map[string]*role{}}
	arrive := func() (*stream, *wire) {
		w := &wire{}
		st := newStream(w)
		a.arrive(st)
		return st, w
	}
	arbitrate := func(st *stream, name string, id uint64) error {
		m := &p4v1.MasterArbitrationUpdate{DeviceId: testDevice, ElectionId: &p4v1.Uint128{Low: id}}
		if name != "" {
			m.Role = &p4v1.Role{Name: name}
		}
		return a.update(st, m, func() {})
	}
	var last error
	for i := range maxRoles + 1 {
		st, w := arrive()
		if last = arbitrate(st, fmt.Sprint("role", i), 1); w.primary {
			t.Fatal("a role of one's own makes one the controller")
		}
		a.leave(st)
	}
	if status.Code(last) != codes.ResourceExhausted {
		t.Errorf("role %d: %v", maxRoles, last)
	}
	ours, w := arrive()
	if err := arbitrate(ours, "", 5); err != nil || !w.primary {
		t.Errorf("the controller among many roles: %v", err)
	}
	higher, h := arrive()
	if err := arbitrate(higher, "", 6); err != nil || w.primary || !h.primary {
		t.Errorf("%v: after another took over the first is primary %v, the other %v", err, w.primary, h.primary)
	}
	a.leave(higher)
	if h.primary {
		t.Error("who left is the controller")
	}
}

func TestAStreamThatMadeRoomIsNothingAnyMore(t *testing.T) {
	a := arbiter{deviceID: testDevice, roles: map[string]*role{}}
	m := func(id uint64) *p4v1.MasterArbitrationUpdate {
		return &p4v1.MasterArbitrationUpdate{DeviceId: testDevice, ElectionId: &p4v1.Uint128{Low: id}}
	}
	var all []*stream
	for i := range allStreams + 1 {
		st := newStream(nil)
		if evicted := a.arrive(st); evicted != (i == allStreams) {
			t.Errorf("stream %d: made room %v", i, evicted)
		}
		all = append(all, st)
	}
	select {
	case <-all[0].end:
	default:
		t.Error("the oldest goes on")
	}
	if err := a.update(all[0], m(9), func() {}); err == nil {
		t.Error("it becomes primary")
	}
	if err := a.update(all[allStreams], m(1), func() {}); err != nil {
		t.Error(err)
	}
}
