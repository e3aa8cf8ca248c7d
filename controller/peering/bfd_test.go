package peering

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/liveness"
)

// watch is a Liveness that tells what a test wants.
type watch struct {
	wanted chan []liveness.Peer
	events chan liveness.Event
}

func (w watch) Want(peers []liveness.Peer)    { w.wanted <- peers }
func (w watch) Events() <-chan liveness.Event { return w.events }

func TestThePathOfEachNeighbourIsWatchedAsItIsConfigured(t *testing.T) {
	at := netip.MustParseAddr("10.1.1.1")
	as := func(as uint32, change func(*intent.Neighbor)) intent.Neighbor {
		n := intent.Neighbor{Address: at, AS: as, BFD: intent.BFD{On: true}}
		change(&n)
		return n
	}
	usual := liveness.Peer{Address: at, Hops: 1, Interval: 100 * time.Millisecond, Multiplier: 3}
	with := func(change func(*liveness.Peer)) liveness.Peer {
		p := usual
		change(&p)
		return p
	}
	for name, c := range map[string]struct {
		n    intent.Neighbor
		want liveness.Peer // none if it is zero
	}{
		"eBGP":         {as(1, func(*intent.Neighbor) {}), usual},
		"iBGP":         {as(65000, func(*intent.Neighbor) {}), with(func(p *liveness.Peer) { p.Hops = 255 })},
		"multihop":     {as(1, func(n *intent.Neighbor) { n.Multihop = 3 }), with(func(p *liveness.Peer) { p.Hops = 3 })},
		"TTL security": {as(65000, func(n *intent.Neighbor) { n.TTLSecurity = 1 }), usual},
		"all of it": {
			as(65000, func(n *intent.Neighbor) {
				n.TTLSecurity, n.LocalAddress = 9, netip.MustParseAddr("10.1.1.2")
				n.BFD = intent.BFD{On: true, Interval: 50 * time.Millisecond, Multiplier: 5, Hops: 2}
			}),
			liveness.Peer{Address: at, Local: netip.MustParseAddr("10.1.1.2"), Hops: 2, Interval: 50 * time.Millisecond,
				Multiplier: 5},
		},
		"off":      {as(1, func(n *intent.Neighbor) { n.BFD.On = false }), liveness.Peer{}},
		"shutdown": {as(1, func(n *intent.Neighbor) { n.Shutdown = true }), liveness.Peer{}},
	} {
		got, on := Watched(&c.n, 65000)
		if on != (c.want != liveness.Peer{}) || on && got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, on, c.want)
		}
		if on && got.Check() != nil {
			t.Errorf("%s: %v", name, got.Check())
		}
	}
}

func TestTheSpeakerHearsOfThePathsThatAreWatched(t *testing.T) {
	n := intent.Neighbor{Address: netip.MustParseAddr("10.1.1.1"), AS: 1, BFD: intent.BFD{On: true}}
	store := intent.NewMemory(n, intent.Speaker{AS: 65000, RouterID: netip.MustParseAddr("10.0.0.1")})
	speaker, w := controllertest.NewSpeaker(), watch{make(chan []liveness.Peer), make(chan liveness.Event)}
	k, err := New(Config{Intent: store, Speaker: speaker, Liveness: w, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var owned sync.WaitGroup
	owned.Go(func() { _ = k.Run(ctx) })
	defer func() { cancel(); owned.Wait() }()
	change := func(do func(*intent.Tx) error) []liveness.Peer {
		t.Helper()
		if err := store.Update(do); err != nil {
			t.Fatal(err)
		}
		return <-w.wanted
	}
	first, _ := Watched(&n, 65000)
	for len(<-w.wanted) == 0 { // there was no speaker yet
	}
	up := bfd.Status{Peer: n.Address, Discriminator: 7, State: bfd.Up}
	w.events <- liveness.Event{Sessions: []bfd.Status{up, {Peer: netip.MustParseAddr("10.1.1.9"), Discriminator: 9}}}
	w.events <- liveness.Event{Lost: errors.New("gone")}
	second := intent.Neighbor{Address: netip.MustParseAddr("10.1.1.2"), AS: 2, BFD: intent.BFD{On: true}}
	if got := change(func(tx *intent.Tx) error { _, err := tx.Neighbors().Create(second); return err }); len(got) != 2 ||
		got[0] != first {
		t.Errorf("wanted %+v", got)
	}
	second.BFD.On = false
	update := func(tx *intent.Tx) error { _, err := tx.Neighbors().Update(second); return err }
	if got := change(update); !reflect.DeepEqual(got, []liveness.Peer{first}) {
		t.Errorf("wanted %+v", got)
	}
	close(w.events) // it has ended
	second.AS = 3
	change(update)
	var told []string
	for _, st := range speaker.BFD() {
		told = append(told, strings.TrimSpace(strings.Join([]string{st.Peer.String(), st.State.String(), st.Trouble}, " ")))
	}
	if want := []string{
		"10.1.1.1 admin_down " + unheard, "10.1.1.1 up",
		"10.1.1.1 admin_down the process that watches the path is out of reach: gone",
		"10.1.1.2 admin_down " + unheard, "10.1.1.2 admin_down",
	}; !slices.Equal(told, want) {
		t.Errorf("told %q\nwant %q", told, want)
	}
}

// hops is an Underlay that keeps what it is told.
type hops chan string

func (h hops) SetNextHop(address netip.Addr, down string) { h <- address.String() + " " + down }

// RFC 5882 sections 3.2 and 5.
func TestANextHopIsUsedUnlessItsSessionIsKnownNotToBeUp(t *testing.T) {
	at := netip.MustParseAddr("10.1.1.1")
	in := func(s, remote bfd.State, why bfd.Diagnostic) bfd.Status {
		return bfd.Status{Peer: at, Discriminator: 7, State: s, RemoteState: remote, LastDown: why}
	}
	for name, c := range map[string]struct {
		status bfd.Status
		want   string
	}{
		"nobody says":                  {bfd.Status{Peer: at, Trouble: "out of reach"}, ""},
		"up":                           {in(bfd.Up, bfd.Up, 0), ""},
		"up again":                     {in(bfd.Up, bfd.Up, bfd.TimeExpired), ""},
		"not up yet":                   {in(bfd.Down, bfd.Down, 0), "BFD has not come up"},
		"coming up":                    {in(bfd.Init, bfd.Down, 0), "BFD has not come up"},
		"lost":                         {in(bfd.Down, bfd.Up, bfd.TimeExpired), "BFD is down: detection time expired"},
		"the peer lost us":             {in(bfd.Down, bfd.Down, bfd.NeighborDown), "BFD is down: neighbor signaled session down"},
		"switched off at the peer":     {in(bfd.Down, bfd.AdminDown, bfd.NeighborDown), ""},
		"not up, switched off as well": {in(bfd.Down, bfd.AdminDown, 0), ""},
	} {
		if got := whyNot(c.status); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestTheUnderlayHearsOfItsNextHopsAlsoOfThoseThatAreNeighbours(t *testing.T) {
	both, hop := netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("10.1.2.1")
	n := intent.Neighbor{Address: both, AS: 1, BFD: intent.BFD{On: true, Multiplier: 9}}
	store := intent.NewMemory(intent.Speaker{AS: 65000, RouterID: netip.MustParseAddr("10.0.0.1")})
	if err := store.Update(func(tx *intent.Tx) error { _, err := tx.Neighbors().Create(n); return err }); err != nil {
		t.Fatal(err)
	}
	usual := liveness.Peer{Address: both, Hops: 1, Interval: 100 * time.Millisecond, Multiplier: 3}
	other := usual
	other.Address = hop
	speaker, told := controllertest.NewSpeaker(), make(hops, 100)
	w := watch{make(chan []liveness.Peer), make(chan liveness.Event)}
	k, err := New(Config{Intent: store, Speaker: speaker, Liveness: w, NextHops: []liveness.Peer{usual, other},
		Underlay: told, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var owned sync.WaitGroup
	owned.Go(func() { _ = k.Run(ctx) })
	defer func() { cancel(); owned.Wait() }()
	asked := <-w.wanted
	for asked[0].Multiplier != 9 { // before there was a speaker
		asked = <-w.wanted
	}
	if want, _ := Watched(&n, 65000); !slices.Equal(asked, []liveness.Peer{want, other}) {
		t.Errorf("asked for %+v", asked)
	}
	session := func(a netip.Addr, s bfd.State, why bfd.Diagnostic) bfd.Status {
		return bfd.Status{Peer: a, Discriminator: 7, State: s, RemoteState: bfd.Up, LastDown: why}
	}
	for _, e := range []liveness.Event{
		{Sessions: []bfd.Status{session(both, bfd.Down, 0), session(hop, bfd.Up, 0)}},
		{Sessions: []bfd.Status{session(both, bfd.Down, 0), session(netip.MustParseAddr("10.9.9.9"), bfd.Down, 0)}},
		{Sessions: []bfd.Status{session(both, bfd.Up, 0), session(hop, bfd.Down, bfd.TimeExpired)}},
		{Lost: errors.New("gone")},
	} {
		w.events <- e
	}
	if err := store.Update(func(tx *intent.Tx) error { return tx.Neighbors().Delete(both.String()) }); err != nil {
		t.Fatal(err)
	}
	if asked = <-w.wanted; !slices.Equal(asked, []liveness.Peer{usual, other}) {
		t.Errorf("asked for %+v once it was a next hop alone", asked)
	}
	for _, want := range []string{
		"10.1.1.1 ", "10.1.2.1 ", "10.1.1.1 BFD has not come up", "10.1.1.1 ", "10.1.2.1 BFD is down: detection time expired", "10.1.2.1 ",
	} {
		if got := <-told; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	if len(told) > 0 {
		t.Errorf("told %q too", <-told)
	}
	for _, st := range speaker.BFD() {
		if st.Peer == hop {
			t.Errorf("the speaker heard of a next hop that is no neighbour: %+v", st)
		}
	}
}
