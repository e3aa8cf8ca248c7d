package p4rt_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
)

// references refuses a route without its next hop, and a next hop's deletion
// while a route is over it.
func references(u *p4v1.Update, s *p4rttest.State) error {
	t := u.GetEntity().GetTableEntry()
	switch {
	case t.GetTableId() == routeTable && u.GetType() != p4v1.Update_DELETE:
		nh := nexthop(0, 0, 0).GetEntity()
		nh.GetTableEntry().Match[0].GetExact().Value = t.GetAction().GetAction().GetParams()[0].GetValue()
		if s.Get(nh) == nil {
			return fmt.Errorf("route over next hop %x, which is absent", nh.GetTableEntry().Match[0].GetExact().GetValue())
		}
	case t.GetTableId() == nexthopTable && u.GetType() == p4v1.Update_DELETE:
		for e := range s.All() {
			r := e.GetTableEntry()
			if r.GetTableId() == routeTable &&
				string(r.GetAction().GetAction().GetParams()[0].GetValue()) == string(t.GetMatch()[0].GetExact().GetValue()) {
				return fmt.Errorf("next hop %x is deleted while a route is over it", t.GetMatch()[0].GetExact().GetValue())
			}
		}
	}
	return nil
}

func nh(typ p4v1.Update_Type, id uint64) p4rt.Change {
	return p4rt.Change{Key: fmt.Sprint("nexthop ", id), Update: nexthop(typ, id, 1)}
}

// via is route x over next hop to, and before over next hop from; 0 is none.
func viaChange(typ p4v1.Update_Type, x, from, to uint64) p4rt.Change {
	c := p4rt.Change{Key: fmt.Sprint("route ", x), Level: 1, Update: route(typ, x, to)}
	if to != 0 {
		c.Needs = []string{fmt.Sprint("nexthop ", to)}
	}
	if from != 0 {
		c.Releases = []string{fmt.Sprint("nexthop ", from)}
	}
	return c
}

const (
	insert = p4v1.Update_INSERT
	modify = p4v1.Update_MODIFY
	remove = p4v1.Update_DELETE
)

func TestPlanMakesBeforeItBreaks(t *testing.T) {
	for seed := range uint64(10) {
		c, s := up(t, p4rttest.Config{Seed: seed, Check: references})
		plans := []p4rt.Plan{
			{nh(insert, 1), nh(insert, 2), viaChange(insert, 1, 0, 1), viaChange(insert, 2, 0, 2), viaChange(insert, 3, 0, 2)},
			// Route 1 moves to a new next hop, route 2 and its next hop go.
			{nh(insert, 3), viaChange(modify, 1, 1, 3), nh(remove, 1), viaChange(remove, 2, 2, 0), viaChange(modify, 3, 2, 3), nh(remove, 2)},
			{viaChange(remove, 1, 3, 0), viaChange(remove, 3, 3, 0), nh(remove, 3)},
		}
		writes := s.Counts().Writes
		for i, p := range plans {
			rand.New(rand.NewPCG(seed, 0)).Shuffle(len(p), func(a, b int) { p[a], p[b] = p[b], p[a] })
			errs, err := p.Write(t.Context(), c)
			if err != nil || errors.Join(errs...) != nil {
				t.Fatalf("seed %d, plan %d: %v, %v", seed, i, err, errs)
			}
		}
		if got := s.Counts().Writes - writes; got != 2+3+2 {
			t.Errorf("seed %d: %d Writes, want one for each level and direction, the first deletes with the last upserts, 7",
				seed, got)
		}
		if got := s.Entries(); len(got) != 0 {
			t.Errorf("seed %d: %d entries are left", seed, len(got))
		}
	}
}

func TestPlanSkipsWhatDependsOnAFailure(t *testing.T) {
	for name, c := range map[string]struct {
		before []p4rt.Change
		plan   []p4rt.Change
		fail   []string // keys that the target refuses
		want   map[string]error
	}{
		"a route whose next hop failed": {
			plan: []p4rt.Change{nh(insert, 1), nh(insert, 2), viaChange(insert, 1, 0, 1), viaChange(insert, 2, 0, 2)},
			fail: []string{"nexthop 1"},
			want: map[string]error{"nexthop 1": p4rt.ErrResourceExhausted, "route 1": p4rt.ErrSkipped},
		},
		"a next hop whose route could not be deleted": {
			before: []p4rt.Change{nh(insert, 1), viaChange(insert, 1, 0, 1), nh(insert, 2), viaChange(insert, 2, 0, 2)},
			plan:   []p4rt.Change{nh(remove, 1), viaChange(remove, 1, 1, 0), nh(remove, 2), viaChange(remove, 2, 2, 0)},
			fail:   []string{"route 1"},
			want:   map[string]error{"route 1": p4rt.ErrResourceExhausted, "nexthop 1": p4rt.ErrSkipped},
		},
		"a next hop whose route could not be moved": {
			before: []p4rt.Change{nh(insert, 1), viaChange(insert, 1, 0, 1)},
			plan:   []p4rt.Change{nh(insert, 2), viaChange(modify, 1, 1, 2), nh(remove, 1)},
			fail:   []string{"route 1"},
			want:   map[string]error{"route 1": p4rt.ErrResourceExhausted, "nexthop 1": p4rt.ErrSkipped},
		},
		"a chain of them": {
			before: []p4rt.Change{nh(insert, 1), viaChange(insert, 1, 0, 1)},
			plan:   []p4rt.Change{nh(insert, 2), viaChange(modify, 1, 1, 2), nh(remove, 1)},
			fail:   []string{"nexthop 2"},
			want: map[string]error{"nexthop 2": p4rt.ErrResourceExhausted, "route 1": p4rt.ErrSkipped,
				"nexthop 1": p4rt.ErrSkipped},
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, s := up(t, p4rttest.Config{Check: references})
			if errs, err := p4rt.Plan(c.before).Write(t.Context(), client); err != nil || errors.Join(errs...) != nil {
				t.Fatal(err, errs)
			}
			full := map[string]bool{}
			for _, change := range c.plan {
				if slices.Contains(c.fail, change.Key) {
					full[fmt.Sprint(change.Update)] = true
				}
			}
			s.FailUpdates(func(u *p4v1.Update) error {
				if full[u.String()] {
					return status.Error(codes.ResourceExhausted, "no room")
				}
				return nil
			})
			errs, err := p4rt.Plan(c.plan).Write(t.Context(), client)
			if err != nil {
				t.Fatal(err)
			}
			for i, change := range c.plan {
				if !errors.Is(errs[i], c.want[change.Key]) {
					t.Errorf("%s: %v, want %v", change.Key, errs[i], c.want[change.Key])
				}
				// Whoever is skipped names the cause, however far it is.
				if errs[i] != nil && !errors.Is(errs[i], p4rt.ErrResourceExhausted) {
					t.Errorf("%s: %v does not tell the cause", change.Key, errs[i])
				}
				if errors.Is(errs[i], p4rt.ErrSkipped) && !strings.Contains(errs[i].Error(), c.fail[0]) {
					t.Errorf("%s: %q does not name %s", change.Key, errs[i], c.fail[0])
				}
			}
		})
	}
}

func TestPlanStopsWhenAWriteFailsAsAWhole(t *testing.T) {
	c, s := up(t, p4rttest.Config{Check: references})
	s.Intercept(inWrite(func() error { return status.Error(codes.PermissionDenied, "Not primary") }))
	p := p4rt.Plan{viaChange(insert, 1, 0, 1), nh(insert, 1), nh(remove, 7)}
	errs, err := p.Write(t.Context(), c)
	if !errors.Is(err, p4rt.ErrNotPrimary) {
		t.Errorf("error %v", err)
	}
	for i, err := range errs {
		if !errors.Is(err, p4rt.ErrNotWritten) {
			t.Errorf("%s: %v", p[i].Key, err)
		}
	}
	if got := s.Counts().Updates; got != 1 {
		t.Errorf("%d updates arrived, want the digest's alone", got)
	}
}

func TestEmptyPlanWritesNothing(t *testing.T) {
	if errs, err := (p4rt.Plan)(nil).Write(t.Context(), nil); err != nil || len(errs) != 0 {
		t.Errorf("%v, %v", errs, err)
	}
}
