package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/internal/journal"
)

// said gives what was told since the last time.
func said(l *journal.Log, after *uint64) (lines []string) {
	all, _ := l.After(*after)
	for _, e := range all {
		*after = e.ID
		a := e.Attributes
		switch e.Kind {
		case events.Object:
			lines = append(lines, fmt.Sprintf("%s %s: %s%s%s: %s", e.Level, e.Text, a["object"], a["objects"], a["such_as"],
				a["reason"]))
		case events.Drops:
			lines = append(lines, fmt.Sprintf("%s %s %s %s/s port %s bridge %s", e.Level, a["stage"], a["reason"],
				a["frames_per_second"], a["port"], a["bridge"]))
		}
	}
	return lines
}

func logger(l *journal.Log) *slog.Logger { return slog.New(l.Handler(slog.DiscardHandler)) }

// said by the controller of each object; what is not there is unknown.
type statuses map[string]intent.Status

func (s statuses) Status(_ context.Context, refs ...intent.Ref) []intent.Status {
	out := make([]intent.Status, len(refs))
	for i, r := range refs {
		out[i] = s[r.ID]
	}
	return out
}

func (statuses) Leaving(context.Context, intent.Kind) []intent.Leaving { return nil }

func down(reason string) intent.Status {
	return intent.Status{Oper: intent.StatusDown, Components: []intent.Component{
		{Name: "intent", Status: intent.ComponentSuccess, Details: `{"reason":"fine"}`},
		{Name: "pipeline", Status: intent.ComponentPending, Details: `{"reason":"it waits"}`},
		{Name: "link", Status: intent.ComponentError, Details: fmt.Sprintf(`{"reason":%q}`, reason)},
	}}
}

var up = intent.Status{Oper: intent.StatusUp}

func create[T intent.Row[T]](t *testing.T, s *intent.Store, of func(*intent.Tx) *intent.Table[T], o T) {
	t.Helper()
	if err := s.Update(func(tx *intent.Tx) error { _, err := of(tx).Create(o); return err }); err != nil {
		t.Fatal(err)
	}
}

func TestAnObjectThatStaysDownIsAnEventAndSoIsItsEnd(t *testing.T) {
	store, l, now := intent.NewMemory(), journal.New(), statuses{}
	create(t, store, (*intent.Tx).VRFs, intent.VRF{ID: "green"})
	w := New(Config{Store: store, Status: now, Logger: logger(l)})
	last := uint64(0)
	for i, step := range []struct {
		is   intent.Status
		want []string
	}{
		{up, nil},
		{down("a moment"), nil}, // on its way
		{up, nil},
		{down("no cable"), nil},
		{intent.Status{}, nil}, // the controller does not answer
		{down("no cable"), []string{"WARN an object went down: VRF green: no cable"}},
		{down("no cable"), nil},
		{down("another"), nil},
		{intent.Status{}, nil},
		{up, []string{"INFO an object is up again: VRF green: "}},
		{up, nil},
		{down("a"), nil},
		{down("b"), []string{"WARN an object went down: VRF green: b"}},
	} {
		now["green"] = step.is
		w.objects.look(t.Context())
		if got := said(l, &last); !reflect.DeepEqual(got, step.want) {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	// One that was made while it is down, and one that is deleted while it is.
	create(t, store, (*intent.Tx).VRFs, intent.VRF{ID: "blue"})
	now["blue"] = intent.Status{Oper: intent.StatusDown}
	w.objects.look(t.Context())
	w.objects.look(t.Context())
	if got := said(l, &last); !reflect.DeepEqual(got, []string{"WARN an object went down: VRF blue: "}) {
		t.Errorf("%q", got)
	}
	for _, id := range []string{"green", "blue"} {
		if err := store.Update(func(tx *intent.Tx) error { return tx.VRFs().Delete(id) }); err != nil {
			t.Fatal(err)
		}
		now[id] = up
	}
	w.objects.look(t.Context())
	if got := said(l, &last); got != nil || len(w.objects.was) != 0 {
		t.Errorf("%q, and %d are remembered", got, len(w.objects.was))
	}
}

func TestManyObjectsThatGoDownForOneReasonAreOneEvent(t *testing.T) {
	store, l, now := intent.NewMemory(), journal.New(), statuses{}
	for i := range 300 {
		id := fmt.Sprintf("vrf%03d", i)
		create(t, store, (*intent.Tx).VRFs, intent.VRF{ID: id})
		now[id] = down("the target is away")
	}
	now["vrf007"] = down("something else")
	w := New(Config{Store: store, Status: now, Logger: logger(l)})
	last := uint64(0)
	w.objects.look(t.Context())
	w.objects.look(t.Context())
	want := []string{"WARN an object went down: VRF vrf007: something else",
		"WARN objects went down: 299VRF vrf000: the target is away"}
	if got := said(l, &last); !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// counters are those of a target.
type counters struct {
	packets map[string]uint64 // by reason
	err     error
}

func (c *counters) Drops(_ context.Context, q view.DropQuery) (rows []view.Drop, err error) {
	for r, n := range c.packets {
		row := view.Drop{Stage: "ingress", Reason: r, Dropped: view.Dropped{Packets: n}}
		if !q.Totals {
			row.Ports = []view.DropsOf{{Name: "of " + r}, {Name: "other"}}
			row.Bridges = []view.DropsOf{{Name: "blue"}}
		}
		rows = append(rows, row)
	}
	return rows, c.err
}

func TestDropsAboveARateAreAnEventUntilTheyAreBelowHalfOfIt(t *testing.T) {
	l, c := journal.New(), &counters{packets: map[string]uint64{"spoofed": 5000}}
	w := New(Config{Drops: c, Logger: logger(l)}) // 100 a second
	at, last := time.Unix(1000, 0), uint64(0)
	for i, step := range []struct {
		spoofed, hairpin uint64 // counted
		err              error
		want             []string
	}{
		{5000, 0, nil, nil}, // of the time before
		{5999, 0, nil, nil},
		{6999, 990, nil, []string{"WARN ingress spoofed 100/s port of spoofed bridge blue"}},
		{8999, 990, nil, nil},
		{9599, 990, nil, nil}, // 60 a second
		{10599, 990, nil, nil},
		{99999, 990, errors.New("the target is away"), nil},
		{11579, 990, nil, []string{"INFO ingress spoofed 49/s port  bridge "}},               // within twice the time
		{2000, 990, nil, []string{"WARN ingress spoofed 200/s port of spoofed bridge blue"}}, // loaded anew
		{2000, 3990, nil, []string{"INFO ingress spoofed 0/s port  bridge ", "WARN ingress hairpin 300/s port of hairpin bridge blue"}},
		{0, 0, nil, []string{"INFO ingress hairpin 0/s port  bridge "}},
	} {
		c.packets, c.err = map[string]uint64{}, step.err
		for r, n := range map[string]uint64{"spoofed": step.spoofed, "hairpin": step.hairpin} {
			if n > 0 {
				c.packets[r] = n
			}
		}
		at = at.Add(10 * time.Second)
		w.drops.look(t.Context(), at)
		got := said(l, &last)
		if len(got) == 2 && got[0] > got[1] {
			got[0], got[1] = got[1], got[0]
		}
		if !reflect.DeepEqual(got, step.want) {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}

func TestItLooksUntilItIsToldToEnd(t *testing.T) {
	l := journal.New()
	asked := make(chan view.DropQuery, 1)
	w := New(Config{Store: intent.NewMemory(), Status: statuses{}, Drops: asking(asked), Logger: logger(l)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	if q := <-asked; !q.Totals {
		t.Errorf("it asks for %+v", q)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}

type asking chan view.DropQuery

func (a asking) Drops(_ context.Context, q view.DropQuery) ([]view.Drop, error) {
	a <- q
	return nil, nil
}
