package peering

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
)

// fakeSpeaker takes neighbours, and refuses those of AS 666 while it is told to.
type fakeSpeaker struct {
	mu     sync.Mutex
	refuse bool
	set    []uint32 // AS numbers
	calls  int
	none   bool // it was told to have none
	as     uint32
}

func (s *fakeSpeaker) SetNeighbors(_ context.Context, want []bgp.Neighbor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.none = s.none || len(want) == 0
	s.set = nil
	var err error
	slices.SortFunc(want, func(a, b bgp.Neighbor) int { return cmp.Compare(a.AS, b.AS) })
	for _, n := range want {
		if n.AS == 666 && s.refuse {
			err = errors.New("refused")
			continue
		}
		s.set = append(s.set, n.AS)
	}
	return err
}

func (s *fakeSpeaker) SetIdentity(as uint32, _ netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.as = as
	return nil
}

func (s *fakeSpeaker) await(t *testing.T, want ...uint32) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		s.mu.Lock()
		got := slices.Clone(s.set)
		s.mu.Unlock()
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("neighbours %v, want %v", got, want)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestTheSpeakersNeighboursFollowTheIntent(t *testing.T) {
	neighbor := func(n byte, as uint32) intent.Neighbor {
		return intent.Neighbor{Address: netip.AddrFrom4([4]byte{10, 1, 1, n}), AS: as}
	}
	ours := intent.Speaker{AS: 65000, RouterID: netip.MustParseAddr("10.0.0.1")}
	store := intent.NewMemory(neighbor(1, 1))
	speaker := &fakeSpeaker{refuse: true}
	k := &Keeper{Intent: store, Speaker: speaker, Retry: 5 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	var owned sync.WaitGroup
	owned.Go(func() { _ = k.Run(ctx) })
	defer func() { cancel(); owned.Wait() }()
	update := func(do func(*intent.Tx) error) {
		t.Helper()
		if err := store.Update(do); err != nil {
			t.Fatal(err)
		}
	}
	speak := func(tx *intent.Tx) error { _, err := tx.Speakers().Create(ours); return err }
	update(speak) // before it there are no sessions
	speaker.await(t, 1)
	speaker.mu.Lock()
	speaker.none = false
	speaker.mu.Unlock()
	update(func(tx *intent.Tx) error {
		_, err := tx.Neighbors().Create(neighbor(2, 2))
		_, err2 := tx.Neighbors().Create(neighbor(6, 666))
		return errors.Join(err, err2)
	})
	speaker.await(t, 1, 2)
	speaker.mu.Lock()
	speaker.refuse = false
	speaker.mu.Unlock()
	speaker.await(t, 1, 2, 666) // it was tried again
	update(func(tx *intent.Tx) error { _, err := tx.Neighbors().Update(neighbor(2, 3)); return err })
	speaker.await(t, 1, 3, 666)
	update(func(tx *intent.Tx) error { return tx.Neighbors().Delete("10.1.1.6") })
	speaker.await(t, 1, 3)
	speaker.mu.Lock()
	before := speaker.calls
	speaker.mu.Unlock()
	update(func(tx *intent.Tx) error {
		_, err := tx.Bridges().Create(intent.LogicalBridge{ID: "blue", VLAN: 10})
		return err
	})
	update(func(tx *intent.Tx) error { return tx.Bridges().Delete("blue") })
	update(func(tx *intent.Tx) error { _, err := tx.Neighbors().Create(neighbor(4, 4)); return err })
	speaker.await(t, 1, 3, 4)
	update(func(tx *intent.Tx) error { return tx.Neighbors().Delete("10.1.1.4") })
	speaker.await(t, 1, 3)
	speaker.mu.Lock()
	if speaker.as != 65000 {
		t.Errorf("the speaker's AS is %d", speaker.as)
	}
	if n := speaker.calls - before; n != 2 {
		t.Errorf("%d calls, want two: bridges are none of the speaker's business", n)
	}
	if speaker.none {
		t.Error("there was a time without neighbours")
	}
	speaker.mu.Unlock()
	update(func(tx *intent.Tx) error { return tx.Speakers().Delete(intent.TheSpeaker) })
	speaker.await(t)
	update(speak)
	speaker.await(t, 1, 3)
}
