package p4rt_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
)

func TestWriteGivesEachUpdateItsOwnAnswer(t *testing.T) {
	c, s := up(t, p4rttest.Config{})
	write(t, c, nexthop(p4v1.Update_INSERT, 1, 1), nexthop(p4v1.Update_INSERT, 2, 1))
	errs, err := c.Write(t.Context(), []p4rt.Update{
		nexthop(p4v1.Update_INSERT, 1, 1),
		nexthop(p4v1.Update_MODIFY, 2, 3),
		nexthop(p4v1.Update_DELETE, 3, 1),
		nexthop(p4v1.Update_INSERT, 4, 1),
		nexthop(p4v1.Update_INSERT, 5, 1<<9),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{p4rt.ErrAlreadyExists, nil, p4rt.ErrNotFound, nil, p4rt.ErrInvalidArgument} {
		if !errors.Is(errs[i], want) {
			t.Errorf("update %d: %v, want %v", i, errs[i], want)
		}
		if ue := (*p4rt.UpdateError)(nil); errors.As(errs[i], &ue) && ue.Index != i {
			t.Errorf("update %d says that it is %d", i, ue.Index)
		}
	}
	if got := s.Get(nexthop(0, 2, 0).GetEntity()); !proto.Equal(got, nexthop(0, 2, 3).GetEntity()) {
		t.Errorf("the target has %v", got)
	}
}

func TestWriteIsSplitByNumber(t *testing.T) {
	c, s := up(t, p4rttest.Config{}, func(c *p4rt.Config) { c.MaxBatch = 1000 })
	before := s.Counts().Writes
	var updates []p4rt.Update
	for i := range uint64(4500) {
		updates = append(updates, nexthop(p4v1.Update_INSERT, i, 1))
	}
	updates = append(updates, updates[4400]) // refused in the last batch: one of the two
	errs, err := c.Write(t.Context(), updates)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for i, err := range errs {
		if err == nil {
			continue
		}
		failed++
		if ue := (*p4rt.UpdateError)(nil); !errors.As(err, &ue) || ue.Index != i || ue.Update != updates[i] {
			t.Errorf("update %d: %v", i, err)
		}
	}
	if failed != 1 || errs[4400] == nil && errs[4500] == nil {
		t.Errorf("%d updates failed, want one of two equal ones", failed)
	}
	if got := s.Counts().Writes - before; got != 5 {
		t.Errorf("%d RPCs, want 5", got)
	}
	if got := len(s.Entries()); got != 4500 {
		t.Errorf("%d entries, want 4500", got)
	}
}

// The server takes 4 MB, as servers do by default.
func TestWriteIsSplitBySize(t *testing.T) {
	c, s := up(t, p4rttest.Config{})
	var updates []p4rt.Update
	for i := range uint64(12) {
		u := nexthop(p4v1.Update_INSERT, i, 1)
		u.GetEntity().GetTableEntry().Metadata = make([]byte, 1<<20)
		updates = append(updates, u)
	}
	write(t, c, updates...)
	if got := len(s.Entries()); got != 12 {
		t.Errorf("%d entries, want 12", got)
	}
	// Read comes back in one message of 12 MB.
	n := 0
	if err := c.Read(t.Context(), []*p4v1.Entity{tableOf(nexthopTable)},
		func(*p4v1.Entity) error { n++; return nil }); err != nil || n != 12 {
		t.Errorf("read %d entries, %v", n, err)
	}
}

func TestErrorsOfAFullBatchFitTheTrailers(t *testing.T) {
	// Trailers come in one piece, which the answer to a probe waits behind: on a machine
	// whose processors are busy that is longer than a probe's 5 s.
	c, s := up(t, p4rttest.Config{}, func(c *p4rt.Config) { c.MaxBatch, c.ProbeInterval = 5000, time.Minute })
	long := strings.Repeat("The target has a lot to say about this. ", 10)
	s.FailUpdates(func(*p4v1.Update) error { return status.Error(codes.Internal, long) })
	updates := make([]p4rt.Update, 5000)
	for i := range updates {
		updates[i] = nexthop(p4v1.Update_INSERT, uint64(i), 1)
	}
	errs, err := c.Write(t.Context(), updates)
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range errs {
		if ue := (*p4rt.UpdateError)(nil); !errors.As(err, &ue) || ue.Message != long {
			t.Fatalf("update %d: %v", i, err)
		}
	}
}

func TestWriteThatFailsAsAWholeSaysWhatIsKnown(t *testing.T) {
	for name, c := range map[string]struct {
		fail  func(*p4rttest.Server, *p4rt.Client, context.CancelFunc)
		first error // of an update in the RPC that failed
		whole error
		there bool // the failed RPC took effect
	}{
		"the target refuses": {func(s *p4rttest.Server, _ *p4rt.Client, _ context.CancelFunc) {
			s.Intercept(inWrite(func() error { return status.Error(codes.PermissionDenied, "Not primary") }))
		}, p4rt.ErrNotWritten, p4rt.ErrNotPrimary, false},
		"the connection breaks before": {func(s *p4rttest.Server, _ *p4rt.Client, _ context.CancelFunc) {
			s.Intercept(inWrite(func() error { s.Disconnect(); return errors.New("late") }))
		}, p4rt.ErrUnknownOutcome, p4rt.ErrNotConnected, false},
		"the connection breaks after": {func(s *p4rttest.Server, _ *p4rt.Client, _ context.CancelFunc) {
			s.InterceptAnswer(inWrite(func() error { s.Disconnect(); return nil }))
		}, p4rt.ErrUnknownOutcome, p4rt.ErrNotConnected, true},
		"the details are lost": {func(s *p4rttest.Server, _ *p4rt.Client, _ context.CancelFunc) {
			s.InterceptAnswer(inWrite(func() error { return status.Error(codes.ResourceExhausted, "metadata") }))
		}, p4rt.ErrUnknownOutcome, nil, true},
		"the caller gives up": {func(s *p4rttest.Server, _ *p4rt.Client, cancel context.CancelFunc) {
			s.InterceptAnswer(func(rpc context.Context, r proto.Message) error {
				if _, ok := r.(*p4v1.WriteRequest); ok {
					cancel()
					<-rpc.Done() // an answer before that may still arrive
				}
				return nil
			})
		}, p4rt.ErrUnknownOutcome, context.Canceled, true},
	} {
		t.Run(name, func(t *testing.T) {
			client, s := up(t, p4rttest.Config{}, func(c *p4rt.Config) { c.MaxBatch = 1 })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.fail(s, client, cancel)
			errs, err := client.Write(ctx, []p4rt.Update{nexthop(p4v1.Update_INSERT, 1, 1), nexthop(p4v1.Update_INSERT, 2, 1)})
			if !errors.Is(errs[0], c.first) {
				t.Errorf("first update: %v, want %v", errs[0], c.first)
			}
			if !errors.Is(errs[1], p4rt.ErrNotWritten) {
				t.Errorf("second update: %v, want %v", errs[1], p4rt.ErrNotWritten)
			}
			if err == nil || c.whole != nil && !errors.Is(err, c.whole) {
				t.Errorf("the whole: %v, want %v", err, c.whole)
			}
			if got := len(s.Entries()) == 1; got != c.there {
				t.Errorf("the update took effect: %v, want %v", got, c.there)
			}
		})
	}
}

// inWrite makes an interceptor of the first Write alone.
func inWrite(f func() error) p4rttest.Interceptor {
	var once sync.Once
	return func(_ context.Context, r proto.Message) (err error) {
		if _, ok := r.(*p4v1.WriteRequest); ok {
			once.Do(func() { err = f() })
		}
		return err
	}
}

func TestWriteToATargetWithoutPipelineBringsItBack(t *testing.T) {
	c, s := up(t, p4rttest.Config{})
	s.Lose()
	if _, err := c.Write(t.Context(), []p4rt.Update{nexthop(p4v1.Update_INSERT, 1, 1)}); !errors.Is(err,
		p4rt.ErrNotConnected) {
		t.Errorf("Write: %v", err)
	}
	next[p4rt.Down](t, c)
	if !next[p4rt.Up](t, c).Pushed {
		t.Error("the pipeline was not pushed")
	}
}

func TestReadEndsWithTheErrorOfItsCaller(t *testing.T) {
	c, _ := up(t, p4rttest.Config{})
	write(t, c, nexthop(p4v1.Update_INSERT, 1, 1), nexthop(p4v1.Update_INSERT, 2, 1))
	enough, n := errors.New("enough"), 0
	err := c.Read(t.Context(), []*p4v1.Entity{tableOf(0)}, func(*p4v1.Entity) error { n++; return enough })
	if err != enough || n != 1 {
		t.Errorf("error %v after %d entities", err, n)
	}
}

func TestReadFindsWhatItIsAskedFor(t *testing.T) {
	c, s := up(t, p4rttest.Config{})
	write(t, c, nexthop(p4v1.Update_INSERT, 1, 1), nexthop(p4v1.Update_INSERT, 2, 2), source(p4v1.Update_INSERT, 9),
		group(p4v1.Update_INSERT, 4, 1, 2))
	s.SetCounter(dropsCounter, 3, &p4v1.CounterData{PacketCount: 7})
	groups := &p4v1.Entity{
		Entity: &p4v1.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: &p4v1.PacketReplicationEngineEntry{
			Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: &p4v1.MulticastGroupEntry{}},
		}}}
	counters := &p4v1.Entity{Entity: &p4v1.Entity_CounterEntry{CounterEntry: &p4v1.CounterEntry{CounterId: dropsCounter}}}
	for name, r := range map[string]struct {
		ask  []*p4v1.Entity
		want int
	}{
		"one entry":        {[]*p4v1.Entity{nexthop(0, 2, 0).GetEntity()}, 1},
		"an absent entry":  {[]*p4v1.Entity{nexthop(0, 3, 0).GetEntity()}, 0},
		"a table":          {[]*p4v1.Entity{tableOf(nexthopTable)}, 2},
		"all tables":       {[]*p4v1.Entity{tableOf(0)}, 3},
		"groups":           {[]*p4v1.Entity{groups}, 1},
		"a counter":        {[]*p4v1.Entity{counters}, 8},
		"several at once":  {[]*p4v1.Entity{tableOf(sourceTable), groups}, 2},
		"nothing whatever": {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var got []*p4v1.Entity
			if err := c.Read(t.Context(), r.ask, func(e *p4v1.Entity) error { got = append(got, e); return nil }); err != nil {
				t.Fatal(err)
			}
			if len(got) != r.want {
				t.Errorf("%d entities, want %d: %v", len(got), r.want, got)
			}
		})
	}
}
