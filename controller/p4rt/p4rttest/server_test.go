package p4rttest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
)

// connect gives a client that is primary on s.
func connect(t *testing.T, s *p4rttest.Server) *p4rt.Client {
	t.Helper()
	text, err := os.ReadFile("../testdata/small.p4info.txtpb")
	if err != nil {
		t.Fatal(err)
	}
	info := &p4configv1.P4Info{}
	if err := prototext.Unmarshal(text, info); err != nil {
		t.Fatal(err)
	}
	c, err := p4rt.New(p4rt.Config{
		Target: s.Target(), ElectionID: p4rt.ElectionID{Low: 1},
		P4Info: info, DeviceConfig: []byte("{}"), Cookie: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	if e, ok := (<-c.Events()).(p4rt.Up); !ok {
		t.Fatalf("first event %v", e)
	}
	return c
}

func entry(id byte) *p4v1.Update {
	u := &p4v1.Update{}
	text := fmt.Sprintf(`type: INSERT entity { table_entry { table_id: 33554433 match { field_id: 1 exact { value: "\x%02x" } }
		action { action { action_id: 16777217 params { param_id: 1 value: "\x01" } params { param_id: 2 value: "\x02" } } } } }`, id)
	if err := prototext.Unmarshal([]byte(text), u); err != nil {
		panic(err)
	}
	return u
}

func TestEachBatchIsShuffledBySeed(t *testing.T) {
	order := func(seed uint64) (ids []byte) {
		s := p4rttest.New(t, p4rttest.Config{Seed: seed, Check: func(u *p4v1.Update, _ *p4rttest.State) error {
			ids = append(ids, u.GetEntity().GetTableEntry().GetMatch()[0].GetExact().GetValue()[0])
			return nil
		}})
		var updates []p4rt.Update
		for id := range byte(20) {
			updates = append(updates, entry(id))
		}
		errs, err := connect(t, s).Write(t.Context(), updates)
		if err = errors.Join(append(errs, err)...); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	first, again, other := order(1), order(1), order(2)
	switch {
	case slices.IsSorted(first):
		t.Error("the order was kept")
	case !slices.Equal(first, again):
		t.Error("the same seed gave another order")
	case slices.Equal(first, other):
		t.Error("another seed gave the same order")
	}
}

func TestCheckSeesTheStateBeforeTheUpdate(t *testing.T) {
	s := p4rttest.New(t, p4rttest.Config{MayFail: true, Check: func(u *p4v1.Update, s *p4rttest.State) error {
		if s.Len() >= 2 {
			return errors.New("two are enough")
		}
		if s.Get(u.GetEntity()) != nil {
			return errors.New("it is there already")
		}
		return nil
	}})
	errs, err := connect(t, s).Write(t.Context(), []p4rt.Update{entry(1), entry(2), entry(3)})
	if err != nil {
		t.Fatal(err)
	}
	failed := slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(failed) != 1 || len(s.Entries()) != 2 {
		t.Errorf("failed: %v; %d entries", failed, len(s.Entries()))
	}
	if got := s.Counts(); got.Writes != 1 || got.Updates != 3 || got.Failed != 1 {
		t.Errorf("counts %+v", got)
	}
}

func TestPutAndRemoveChangeTheTargetBehindTheControllersBack(t *testing.T) {
	s := p4rttest.New(t, p4rttest.Config{})
	c := connect(t, s)
	s.Put(entry(1).GetEntity(), entry(2).GetEntity())
	s.Remove(entry(1).GetEntity())
	var got []string
	all := &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{}}}
	if err := c.Read(t.Context(), []*p4v1.Entity{all}, func(e *p4v1.Entity) error {
		got = append(got, p4rttest.Identity(e))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []string{p4rttest.Identity(entry(2).GetEntity())}) {
		t.Errorf("read %v", got)
	}
	if got := s.Counts(); got.Updates != 0 {
		t.Errorf("counts %+v", got)
	}
}
