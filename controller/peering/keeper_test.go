package peering

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
)

// awaitNeighbors waits until the speaker has neighbours of these AS numbers.
func awaitNeighbors(t *testing.T, speaker *controllertest.Speaker, want ...uint32) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		var got []uint32
		for _, n := range speaker.Neighbors() {
			got = append(got, n.AS)
		}
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("neighbours %v, want %v", got, want)
		}
		time.Sleep(time.Millisecond)
	}
}

func refuse666(n bgp.Neighbor) error {
	if n.AS == 666 {
		return errors.New("refused")
	}
	return nil
}

func TestTheSpeakersNeighboursFollowTheIntent(t *testing.T) {
	neighbor := func(n byte, as uint32) intent.Neighbor {
		return intent.Neighbor{Address: netip.AddrFrom4([4]byte{10, 1, 1, n}), AS: as}
	}
	ours := intent.Speaker{AS: 65000, RouterID: netip.MustParseAddr("10.0.0.1")}
	store := intent.NewMemory(neighbor(1, 1))
	speaker := controllertest.NewSpeaker()
	speaker.RefuseNeighbors(refuse666)
	await := func(want ...uint32) { t.Helper(); awaitNeighbors(t, speaker, want...) }
	k, err := New(Config{
		Intent: store, Speaker: speaker, Retry: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
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
	await(1)
	start := len(speaker.Asked())
	update(func(tx *intent.Tx) error {
		_, err := tx.Neighbors().Create(neighbor(2, 2))
		_, err2 := tx.Neighbors().Create(neighbor(6, 666))
		return errors.Join(err, err2)
	})
	await(1, 2)
	speaker.RefuseNeighbors(nil)
	await(1, 2, 666) // it was tried again
	update(func(tx *intent.Tx) error { _, err := tx.Neighbors().Update(neighbor(2, 3)); return err })
	await(1, 3, 666)
	update(func(tx *intent.Tx) error { return tx.Neighbors().Delete("10.1.1.6") })
	await(1, 3)
	before := len(speaker.Asked())
	update(func(tx *intent.Tx) error {
		_, err := tx.Bridges().Create(intent.LogicalBridge{ID: "blue", VLAN: 10})
		return err
	})
	update(func(tx *intent.Tx) error { return tx.Bridges().Delete("blue") })
	update(func(tx *intent.Tx) error { _, err := tx.Neighbors().Create(neighbor(4, 4)); return err })
	await(1, 3, 4)
	update(func(tx *intent.Tx) error { return tx.Neighbors().Delete("10.1.1.4") })
	await(1, 3)
	if as, _ := speaker.Identity(); as != 65000 {
		t.Errorf("the speaker's AS is %d", as)
	}
	asked := speaker.Asked()
	if n := len(asked) - before; n != 2 {
		t.Errorf("%d calls, want two: bridges are none of the speaker's business", n)
	}
	if slices.ContainsFunc(asked[start:], func(want []bgp.Neighbor) bool { return len(want) == 0 }) {
		t.Error("there was a time without neighbours")
	}
	update(func(tx *intent.Tx) error { return tx.Speakers().Delete(intent.TheSpeaker) })
	await()
	update(speak)
	await(1, 3)
}
