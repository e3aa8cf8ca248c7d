package p4rt_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
)

func TestNewNamesEachFaultOfAConfig(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*p4rt.Config)
		want   string
	}{
		"no target":        {func(c *p4rt.Config) { c.Target = "" }, "want host:port"},
		"no port":          {func(c *p4rt.Config) { c.Target = "switch" }, "want host:port"},
		"empty port":       {func(c *p4rt.Config) { c.Target = "switch:" }, "want host:port"},
		"no socket":        {func(c *p4rt.Config) { c.Target = "unix:" }, "there is no path"},
		"no election id":   {func(c *p4rt.Config) { c.ElectionID = p4rt.ElectionID{} }, "election id"},
		"no P4Info":        {func(c *p4rt.Config) { c.P4Info = nil }, "P4Info"},
		"no device config": {func(c *p4rt.Config) { c.DeviceConfig = nil }, "device config"},
		"negative batch":   {func(c *p4rt.Config) { c.MaxBatch = -1 }, "negative"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, "[::1]:9559")
			if _, err := p4rt.New(cfg); err != nil {
				t.Fatalf("sound config: %v", err)
			}
			c.change(&cfg)
			if _, err := p4rt.New(cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestPipelineIsPushedOnlyWhenTheCookieDiffers(t *testing.T) {
	for name, c := range map[string]struct {
		running *p4v1.ForwardingPipelineConfig
		pushes  int
	}{
		"target without pipeline": {nil, 1},
		"our pipeline":            {running(t, cookie), 0},
		"another's pipeline":      {running(t, cookie+1), 1},
		"pipeline without cookie": {&p4v1.ForwardingPipelineConfig{P4Info: p4info(t)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := p4rttest.New(t, p4rttest.Config{Running: c.running})
			client := start(t, config(t, s.Target()))
			if got := next[p4rt.Up](t, client); got.Pushed != (c.pushes == 1) {
				t.Errorf("Up says Pushed %v", got.Pushed)
			}
			if got := s.Counts().Pushes; got != c.pushes {
				t.Errorf("%d pushes, want %d", got, c.pushes)
			}
		})
	}
}

// PI forgets the groups of a pipeline that is replaced, BMv2 keeps them.
func TestGroupsAreDeletedBeforeAnotherPipelineIsReplaced(t *testing.T) {
	s := p4rttest.New(t, p4rttest.Config{Running: running(t, cookie+1)})
	s.Put(group(p4v1.Update_INSERT, 7, 1, 2).GetEntity(), group(p4v1.Update_INSERT, 8, 3).GetEntity())
	left := -1
	s.Intercept(func(_ context.Context, r proto.Message) error {
		if _, ok := r.(*p4v1.SetForwardingPipelineConfigRequest); ok {
			left = len(s.Entries())
		}
		return nil
	})
	next[p4rt.Up](t, start(t, config(t, s.Target())))
	if left != 0 {
		t.Errorf("%d groups left when the pipeline was pushed, want 0", left)
	}
}

// without is a pipeline with the same tables but one.
func without(tb testing.TB, cookie uint64, table uint32) *p4v1.ForwardingPipelineConfig {
	tb.Helper()
	config := running(tb, cookie)
	config.P4Info.Tables = slices.DeleteFunc(config.P4Info.Tables,
		func(t *p4configv1.Table) bool { return t.GetPreamble().GetId() == table })
	return config
}

func TestATargetThatKeepsWhatFitsIsAskedTo(t *testing.T) {
	const refused, lost = "refused", "connection lost"
	for name, c := range map[string]struct {
		keeps    bool
		running  bool
		trouble  string
		requests []pushAction
		want     p4rt.Up
		kept     int
	}{
		"a target that promises nothing is not": {
			running: true, want: p4rt.Up{Pushed: true, Emptied: true}, requests: []pushAction{commitIt},
		},
		"one without a pipeline is not": {
			keeps: true, want: p4rt.Up{Pushed: true, Emptied: true}, requests: []pushAction{commitIt},
		},
		"it keeps entries and groups": {
			keeps: true, running: true, want: p4rt.Up{Pushed: true}, kept: 3, requests: []pushAction{reconcileIt},
		},
		"what it refuses after all is pushed over its entries": {
			keeps: true, running: true, trouble: refused, want: p4rt.Up{Pushed: true, Emptied: true},
			requests: []pushAction{reconcileIt, commitIt},
		},
		"where the connection was lost it is asked again": {
			keeps: true, running: true, trouble: lost, want: p4rt.Up{Pushed: true}, kept: 3,
			requests: []pushAction{reconcileIt, reconcileIt},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := p4rttest.Config{Keeps: c.keeps}
			if c.running {
				cfg.Running = without(t, cookie+1, sourceTable)
			}
			s := p4rttest.New(t, cfg)
			if c.running {
				for _, u := range []*p4v1.Update{
					nexthop(p4v1.Update_INSERT, 1, 1), route(p4v1.Update_INSERT, 1, 1), group(p4v1.Update_INSERT, 7, 1),
				} {
					s.Put(u.GetEntity())
				}
			}
			var requests []pushAction
			s.Intercept(func(_ context.Context, r proto.Message) error {
				push, ok := r.(*p4v1.SetForwardingPipelineConfigRequest)
				if !ok {
					return nil
				}
				requests = append(requests, push.GetAction())
				switch {
				case c.trouble == refused && push.GetAction() == reconcileIt:
					return status.Error(codes.Unimplemented, "not today")
				case c.trouble == lost && len(requests) == 1:
					return status.Error(codes.Unavailable, "cable cut")
				}
				return nil
			})
			if got := nextUp(t, start(t, config(t, s.Target()))); got != c.want {
				t.Errorf("Up is %+v, want %+v", got, c.want)
			}
			if !slices.Equal(requests, c.requests) {
				t.Errorf("asked for %v, want %v", requests, c.requests)
			}
			if got := len(s.Entries()); got != c.kept {
				t.Errorf("the target holds %d entries, want %d", got, c.kept)
			}
		})
	}
}

// What was read before the push is given once for each table that is the same, and not
// after it was written to.
func TestWhatATargetKeepsNeedsNotBeReadWhileItLacksTheRest(t *testing.T) {
	s := p4rttest.New(t, p4rttest.Config{Keeps: true, Running: without(t, cookie+1, sourceTable)})
	s.Put(nexthop(p4v1.Update_INSERT, 1, 1).GetEntity(), route(p4v1.Update_INSERT, 1, 1).GetEntity())
	c := start(t, config(t, s.Target()))
	nextUp(t, c)
	count := func(table uint32) (entries, reads int) {
		t.Helper()
		before := s.Counts().Reads
		if err := c.Read(t.Context(), []*p4v1.Entity{tableOf(table)},
			func(*p4v1.Entity) error { entries++; return nil }); err != nil {
			t.Fatal(err)
		}
		return entries, s.Counts().Reads - before
	}
	write(t, c, route(p4v1.Update_INSERT, 2, 1))
	for _, x := range []struct {
		what           string
		table          uint32
		entries, reads int
	}{
		{"a table that is the same", nexthopTable, 1, 0},
		{"the same table once more", nexthopTable, 1, 1},
		{"a table that was written to", routeTable, 2, 1},
		{"a table that was not there before", sourceTable, 0, 1},
	} {
		if entries, reads := count(x.table); entries != x.entries || reads != x.reads {
			t.Errorf("%s: %d entries by %d reads, want %d by %d", x.what, entries, reads, x.entries, x.reads)
		}
	}
}

type pushAction = p4v1.SetForwardingPipelineConfigRequest_Action

const (
	commitIt    = p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT
	reconcileIt = p4v1.SetForwardingPipelineConfigRequest_RECONCILE_AND_COMMIT
)

func TestDigestsAreEnabledOncePerPush(t *testing.T) {
	c, s := up(t, p4rttest.Config{})
	if got := s.Counts().Updates; got != 1 {
		t.Fatalf("%d updates after the first connection, want the digest's", got)
	}
	s.Disconnect()
	next[p4rt.Down](t, c)
	if got := next[p4rt.Up](t, c); got.Pushed {
		t.Error("the second connection pushed")
	}
	if got := s.Counts().Updates; got != 1 {
		t.Errorf("%d updates after the second connection, want no more", got)
	}
	s.Restart()
	next[p4rt.Down](t, c)
	next[p4rt.Up](t, c)
	if got := s.Counts().Updates; got != 2 {
		t.Errorf("%d updates after a restart of the target, want the digest's again", got)
	}
}

func TestDigestsAreEnabledAfterThePushWasCutShort(t *testing.T) {
	s := p4rttest.New(t, p4rttest.Config{})
	var once sync.Once
	s.Intercept(func(_ context.Context, r proto.Message) (err error) {
		if _, ok := r.(*p4v1.WriteRequest); ok {
			once.Do(func() { err = status.Error(codes.Unavailable, "cable cut") })
		}
		return err
	})
	c := start(t, config(t, s.Target()))
	next[p4rt.Down](t, c)
	next[p4rt.Up](t, c)
	if _, ok := s.SendDigest(learnDigest); !ok {
		t.Error("digest is not enabled")
	}
}

func TestPushThatIsRefusedIsTriedAgain(t *testing.T) {
	s := p4rttest.New(t, p4rttest.Config{})
	s.Intercept(func(_ context.Context, r proto.Message) error {
		if _, ok := r.(*p4v1.SetForwardingPipelineConfigRequest); ok {
			return status.Error(codes.InvalidArgument, "unsupported extern")
		}
		return nil
	})
	c := start(t, config(t, s.Target()))
	down := next[p4rt.Down](t, c)
	if !errors.Is(down.Err, p4rt.ErrRefused) || !strings.Contains(down.Err.Error(), "unsupported extern") {
		t.Errorf("Down says %v, want refused and the target's reason", down.Err)
	}
	s.Intercept(nil)
	if !next[p4rt.Up](t, c).Pushed {
		t.Error("Up says that nothing was pushed")
	}
}

func TestClientComesBack(t *testing.T) {
	for name, c := range map[string]struct {
		harm   func(*p4rttest.Server)
		pushed bool
	}{
		"from a broken connection":    {(*p4rttest.Server).Disconnect, false},
		"from an absence":             {func(s *p4rttest.Server) { s.Stop(); s.Start() }, false},
		"from a restart":              {(*p4rttest.Server).Restart, true},
		"from a loss of the pipeline": {(*p4rttest.Server).Lose, true},
		"from another's pipeline":     {func(s *p4rttest.Server) { s.SetCookie(1) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			client, s := up(t, p4rttest.Config{}, func(c *p4rt.Config) { c.ProbeInterval = 200 * time.Millisecond })
			write(t, client, nexthop(p4v1.Update_INSERT, 1, 1))
			c.harm(s)
			if down := next[p4rt.Down](t, client); !errors.Is(down.Err, p4rt.ErrNotConnected) {
				t.Errorf("Down says %v", down.Err)
			}
			if got := nextUp(t, client); got.Pushed != c.pushed {
				t.Errorf("Up says Pushed %v, want %v", got.Pushed, c.pushed)
			}
			if got := len(s.Entries()) == 0; got != c.pushed {
				t.Errorf("target is empty: %v, want %v", got, c.pushed)
			}
			write(t, client, nexthop(p4v1.Update_INSERT, 2, 1))
		})
	}
}

func TestAbsentTargetIsReportedOnce(t *testing.T) {
	s := p4rttest.New(t, p4rttest.Config{})
	s.Stop()
	c := start(t, config(t, s.Target()))
	down := next[p4rt.Down](t, c)
	if !errors.Is(down.Err, p4rt.ErrNotConnected) || !strings.Contains(down.Err.Error(), "refused") {
		t.Errorf("Down says %v", down.Err)
	}
	s.Start()
	next[p4rt.Up](t, c) // and no second Down, however many attempts it took
}

func TestHungTargetIsNoticed(t *testing.T) {
	for name, hung := range map[string]func(proto.Message) bool{
		"on the probe":       func(m proto.Message) bool { _, ok := m.(*p4v1.GetForwardingPipelineConfigRequest); return ok },
		"on the arbitration": func(m proto.Message) bool { _, ok := m.(*p4v1.MasterArbitrationUpdate); return ok },
	} {
		t.Run(name, func(t *testing.T) {
			c, s := up(t, p4rttest.Config{}, func(c *p4rt.Config) { c.ProbeInterval = 200 * time.Millisecond })
			s.Intercept(func(ctx context.Context, m proto.Message) error {
				if hung(m) {
					<-ctx.Done()
				}
				return nil
			})
			if strings.Contains(name, "arbitration") {
				s.Disconnect()
				next[p4rt.Down](t, c)
			}
			if down := next[p4rt.Down](t, c); !strings.Contains(down.Err.Error(), "within 200ms") ||
				!errors.Is(down.Err, p4rt.ErrNotConnected) {
				t.Errorf("Down says %v", down.Err)
			}
			s.Intercept(nil)
			nextUp(t, c)
		})
	}
}

func TestMastershipIsLostAndRegained(t *testing.T) {
	c, s := up(t, p4rttest.Config{})
	write(t, c, nexthop(p4v1.Update_INSERT, 1, 1))
	s.TakeMastership(p4rt.ElectionID{High: 1})
	if got := next[p4rt.NotPrimary](t, c); got.Primary != (p4rt.ElectionID{High: 1}) {
		t.Errorf("NotPrimary names %v", got.Primary)
	}
	errs, err := c.Write(t.Context(), []p4rt.Update{nexthop(p4v1.Update_INSERT, 2, 1)})
	if !errors.Is(err, p4rt.ErrNotPrimary) || !errors.Is(errs[0], p4rt.ErrNotWritten) {
		t.Errorf("Write as a backup: %v, %v", errs[0], err)
	}
	if err := c.PacketOut(t.Context(), &p4v1.PacketOut{}); !errors.Is(err, p4rt.ErrNotPrimary) {
		t.Errorf("PacketOut as a backup: %v", err)
	}
	n := 0
	if err := c.Read(t.Context(), []*p4v1.Entity{tableOf(0)}, func(*p4v1.Entity) error { n++; return nil }); err != nil ||
		n != 1 {
		t.Errorf("Read as a backup: %d entities, %v", n, err)
	}
	s.ReleaseMastership()
	if next[p4rt.Up](t, c).Pushed {
		t.Error("pushed a pipeline that was ours")
	}
	write(t, c, nexthop(p4v1.Update_INSERT, 2, 1))
}

// P4Runtime 5.3: such a target accepts no primary below the highest id it saw.
func TestClientClaimsATargetThatPromotesNobody(t *testing.T) {
	c, s := up(t, p4rttest.Config{NoPromotion: true})
	s.TakeMastership(p4rt.ElectionID{High: 1})
	next[p4rt.NotPrimary](t, c)
	s.ReleaseMastership()
	next[p4rt.Up](t, c)
	write(t, c, nexthop(p4v1.Update_INSERT, 1, 1))
}

// Two backups may claim the same id at once: the one that comes second stays
// a backup, with the id that it was given.
func TestLostClaimIsNotTurnedIntoAnother(t *testing.T) {
	c, s := up(t, p4rttest.Config{NoPromotion: true})
	s.TakeMastership(p4rt.ElectionID{High: 1})
	next[p4rt.NotPrimary](t, c)
	claimed := p4rt.ElectionID{High: 1, Low: 1}
	var once sync.Once
	s.Intercept(func(_ context.Context, r proto.Message) error {
		if a, ok := r.(*p4v1.MasterArbitrationUpdate); ok && a.GetElectionId().GetHigh() == 1 {
			once.Do(func() { s.TakeMastership(claimed) })
		}
		return nil
	})
	s.ReleaseMastership()
	s.WaitFor("the client is back as a backup", func() bool {
		_, err := c.Write(t.Context(), []p4rt.Update{nexthop(p4v1.Update_INSERT, 1, 1)})
		return s.Counts().Connections == 2 && errors.Is(err, p4rt.ErrNotPrimary)
	})
}

func TestPushRefusalKeepsTheElectionID(t *testing.T) {
	c, s := up(t, p4rttest.Config{})
	var refused atomic.Int32
	var id atomic.Uint64
	s.Intercept(func(_ context.Context, r proto.Message) error {
		switch r := r.(type) {
		case *p4v1.MasterArbitrationUpdate:
			id.Store(r.GetElectionId().GetLow())
		case *p4v1.SetForwardingPipelineConfigRequest:
			if refused.Add(1) < 4 {
				return status.Error(codes.InvalidArgument, "not now")
			}
		}
		return nil
	})
	s.Restart()
	nextUp(t, c)
	if got := id.Load(); got != 10 {
		t.Errorf("arbitrated with %d, want 10", got)
	}
}

// Who reads and writes meanwhile is told so; ending the session for it would begin the
// push anew, for as long as somebody asks.
func TestAPushUnderWayIsNotDisturbedByWhoReads(t *testing.T) {
	c, s := up(t, p4rttest.Config{})
	pushing, asked := make(chan struct{}), make(chan struct{})
	var begun sync.Once
	s.Intercept(func(_ context.Context, r proto.Message) error {
		if _, ok := r.(*p4v1.SetForwardingPipelineConfigRequest); ok {
			begun.Do(func() { close(pushing) })
			<-asked
		}
		return nil
	})
	s.Restart()
	next[p4rt.Down](t, c)
	<-pushing
	all := []*p4v1.Entity{nexthop(p4v1.Update_INSERT, 1, 1).Entity}
	err := c.Read(t.Context(), all, func(*p4v1.Entity) error { return nil })
	if !errors.Is(err, p4rt.ErrNotConnected) {
		t.Errorf("Read during the push says %v", err)
	}
	close(asked)
	if !next[p4rt.Up](t, c).Pushed {
		t.Error("Up says that nothing was pushed")
	}
}

func TestElectionIDInUseIsRefusedUntilItIsFree(t *testing.T) {
	s := p4rttest.New(t, p4rttest.Config{})
	s.TakeMastership(p4rt.ElectionID{Low: 10})
	c := start(t, config(t, s.Target()))
	if down := next[p4rt.Down](t, c); !errors.Is(down.Err, p4rt.ErrRefused) ||
		!strings.Contains(down.Err.Error(), "Election id") {
		t.Errorf("Down says %v", down.Err)
	}
	s.ReleaseMastership()
	next[p4rt.Up](t, c)
}

// The target has not noticed that the client's old connection is gone.
func TestClientPassesByItsOwnStaleConnection(t *testing.T) {
	c, s := up(t, p4rttest.Config{})
	s.Stop()
	s.TakeMastership(p4rt.ElectionID{Low: 10})
	s.Start()
	nextUp(t, c)
	write(t, c, nexthop(p4v1.Update_INSERT, 1, 1))
}

func TestNothingWorksBeforeRunAndAfterIt(t *testing.T) {
	s := p4rttest.New(t, p4rttest.Config{})
	c, err := p4rt.New(config(t, s.Target()))
	if err != nil {
		t.Fatal(err)
	}
	refused := func() {
		t.Helper()
		errs, err := c.Write(t.Context(), []p4rt.Update{nexthop(p4v1.Update_INSERT, 1, 1)})
		if !errors.Is(err, p4rt.ErrNotConnected) || !errors.Is(errs[0], p4rt.ErrNotWritten) {
			t.Errorf("Write: %v, %v", errs[0], err)
		}
		if err := c.Read(t.Context(), nil, nil); !errors.Is(err, p4rt.ErrNotConnected) {
			t.Errorf("Read: %v", err)
		}
		if err := c.PacketOut(t.Context(), nil); !errors.Is(err, p4rt.ErrNotConnected) {
			t.Errorf("PacketOut: %v", err)
		}
	}
	refused()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	next[p4rt.Up](t, c)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	for range c.Events() { // ends only because the channel is closed
	}
	refused()
}

func TestUseDuringDisconnectsIsSafe(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("", func(t *testing.T) {
		c, s := up(t, p4rttest.Config{MayFail: true})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var written atomic.Int64
		for w := range uint64(4) {
			wg.Go(func() {
				for i := uint64(0); ctx.Err() == nil; i++ {
					errs, err := c.Write(ctx, []p4rt.Update{nexthop(p4v1.Update_INSERT, 1+w*4000+i%4000, 1)})
					if (err != nil) && errs[0] == nil {
						t.Error("an update of a failed write looks acknowledged")
					}
					if errs[0] == nil {
						written.Add(1)
					}
					_ = c.PacketOut(ctx, &p4v1.PacketOut{})
					_ = c.Read(ctx, []*p4v1.Entity{tableOf(sourceTable)}, func(*p4v1.Entity) error { return nil })
				}
			})
		}
		wg.Go(func() {
			for range c.Events() {
				if ctx.Err() != nil {
					return
				}
			}
		})
		for range 20 {
			at := written.Load()
			s.WaitFor("writes between two disconnects", func() bool { return written.Load() > at+5 })
			s.Disconnect()
		}
		cancel()
		s.Disconnect() // an event for the reader, which ends with it
		wg.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}
