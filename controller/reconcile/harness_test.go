package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/p4"
)

// model wants what it is told to.
type model struct {
	r         *Reconciler
	want      map[p4.Key]p4.Typed
	tentative bool
	adopted   []p4.Key
	gone      []p4.Key
	flipped   []p4.Key
	given     map[p4.Key]bool
	most      int
	declined  []p4.Key
}

func (m *model) Desired(k p4.Typed) p4.Typed   { return m.want[k.Key()] }
func (m *model) Settle()                       {}
func (m *model) Gone(k p4.Typed)               { m.gone = append(m.gone, k.Key()) }
func (m *model) Flipped(k p4.Typed)            { m.flipped = append(m.flipped, k.Key()) }
func (m *model) Given(want p4.Typed) bool      { return m.given[want.Key()] }
func (m *model) Most(p4.Typed) int             { return m.most }
func (m *model) Declined(k p4.Typed, _ string) { m.declined = append(m.declined, k.Key()) }
func (m *model) Tentative(want p4.Typed) bool  { return m.tentative }

func (m *model) All() {
	for _, k := range m.want {
		m.r.Mark(k)
	}
}

func (m *model) Adopt(held *[p4.Types][]p4.Typed) {
	m.adopted = nil
	for _, of := range held {
		for _, k := range of {
			m.adopted = append(m.adopted, k.Key())
		}
	}
}

// bench is a model and a target, joined by a real P4Runtime client. The test is the
// goroutine that owns them, and its clock goes on only when it says so.
type bench struct {
	testing.TB
	*Reconciler
	model  *model
	server *p4rttest.Server
	client *p4rt.Client
	now    time.Time
	stats  Stats
	next   time.Duration // what Flush gave
}

const retry = time.Second

// options are what differs from a bench that most tests want.
type options struct {
	server    *p4rttest.Server // nil = a new one
	mayFail   bool             // updates may be refused
	audits    time.Duration
	deferring bool // nothing is released yet
	want      []p4.Typed
	sizes     map[uint32]int
	given     map[p4.Key]bool // what the operator asks for
	most      int
}

// start gives a bench whose target was read, and holds what is wanted.
func start(t testing.TB, o options) *bench {
	t.Helper()
	b := &bench{TB: t, server: o.server, now: time.Unix(1e9, 0),
		model: &model{want: map[p4.Key]p4.Typed{}, given: o.given, most: o.most}}
	if b.server == nil {
		b.server = p4rttest.New(t, p4rttest.Config{Check: checkOrder, MayFail: o.mayFail})
	}
	var err error
	b.client, err = p4rt.New(p4rt.Config{
		Target: b.server.Target(), ElectionID: p4rt.ElectionID{Low: 1},
		P4Info: p4.P4Info(), DeviceConfig: p4.DeviceConfig(), Cookie: p4.Cookie(), MinBackoff: time.Millisecond,
		MaxBackoff: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Reconciler = New(Config{
		Retry: retry, AuditInterval: o.audits, Sizes: o.sizes, Now: func() time.Time { return b.now }, Stats: &b.stats,
		Logger: slog.New(slog.DiscardHandler),
	}, b.client, b.model)
	b.model.r = b.Reconciler
	b.wants(o.want...)
	if !o.deferring {
		b.EndDeferral()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.client.Run(ctx) })
	wg.Go(func() { b.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	b.until("read", b.Ready)
	b.settle()
	return b
}

// wants changes what the model wants, and marks it.
func (b *bench) wants(all ...p4.Typed) {
	for _, k := range all {
		b.model.want[k.Key()] = k
		b.Mark(k)
	}
}

func (b *bench) wantsNot(all ...p4.Typed) {
	for _, k := range all {
		delete(b.model.want, k.Key())
		b.Mark(k)
	}
}

// turn is one of the owner's loop.
func (b *bench) turn() {
	select {
	case e := <-b.client.Events():
		switch e := e.(type) {
		case p4rt.Up:
			b.Up(e)
		case p4rt.Down:
			b.Lost("not connected: " + e.Err.Error())
		case p4rt.NotPrimary:
			b.Lost("not primary")
		}
	case res := <-b.Results():
		b.Take(res)
	case <-time.After(time.Millisecond):
	}
	b.Retry()
	b.next = b.Flush()
}

func (b *bench) until(what string, cond func() bool) {
	b.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); b.turn() {
		if time.Now().After(end) {
			b.Fatalf("after 20 s not: %s; the target holds\n%v", what, b.held())
		}
	}
}

// settle waits until all is done that can be, before the clock goes on.
func (b *bench) settle() {
	b.Helper()
	b.turn()
	b.until("settled", func() bool { return b.Ready() && b.jobs == 0 && b.Depth() == 0 })
}

// advance puts the clock on, and has done what is due then.
func (b *bench) advance(d time.Duration) {
	b.Helper()
	b.now = b.now.Add(d)
	b.settle()
}

// held is what the target holds.
func (b *bench) held() []string {
	var out []string
	for _, e := range b.server.Entries() {
		if got, err := p4.FromEntity(e); err == nil {
			out = append(out, got.String())
		}
	}
	slices.Sort(out)
	return out
}

// holds checks what the target holds.
func (b *bench) holds(want ...p4.Typed) {
	b.Helper()
	var texts []string
	for _, k := range want {
		texts = append(texts, k.Entry().String())
	}
	slices.Sort(texts)
	if got := b.held(); !slices.Equal(got, texts) {
		b.Errorf("the target holds\n%v\nwant\n%v", got, texts)
	}
}

var errTest = errors.New("refused on purpose")

// refuse has updates of some entries refused, and gives how many were.
func (b *bench) refuse(ks ...p4.Typed) (count func() int) {
	got := make(chan struct{}, 1000)
	b.server.FailUpdates(func(u *p4v1.Update) error {
		for _, k := range ks {
			if p4rttest.Identity(u.GetEntity()) == p4rttest.Identity(k.Entry().Entity()) {
				got <- struct{}{}
				return errTest
			}
		}
		return nil
	})
	return func() int { return len(got) }
}

func typed(e *p4v1.Entity) (p4.Typed, bool) {
	got, err := p4.FromEntity(e)
	if err != nil {
		return nil, false
	}
	k, err := p4.Decode(got)
	return k, err == nil
}

// checkOrder is what must hold before each update: what an entry refers to is
// there, and what is removed is referred to by nothing.
func checkOrder(u *p4v1.Update, s *p4rttest.State) error {
	all := map[p4.Key]bool{}
	used := map[p4.Key]p4.Key{}
	for e := range s.All() {
		if k, ok := typed(e); ok {
			all[k.Key()] = true
			for _, to := range k.Refs() {
				used[to] = k.Key()
			}
		}
	}
	if u.GetType() == p4v1.Update_DELETE {
		got := map[string]p4.Key{}
		for to, by := range used {
			got[to.String()] = by
		}
		for e := range s.All() {
			k, ok := typed(e)
			if ok && p4rttest.Identity(e) == p4rttest.Identity(u.GetEntity()) && used[k.Key()] != "" {
				return fmt.Errorf("%v is deleted while %v refers to it", k.Key(), used[k.Key()])
			}
		}
		return nil
	}
	k, ok := typed(u.GetEntity())
	if !ok {
		return nil
	}
	for _, to := range k.Refs() {
		if !all[to] && to.ID() != (p4.Flows{}).Key().ID() { // a VTEP has flows or a path
			return fmt.Errorf("%v needs %v, which is not there", k.Key(), to)
		}
	}
	return nil
}
