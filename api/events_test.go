package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/internal/journal"
)

// eventful is an API with events, what logs them, and a client.
func eventful(t *testing.T) (*journal.Log, *slog.Logger, p4evpnv1.EventsClient) {
	t.Helper()
	l := journal.New()
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{}, Events: l}, nil)
	return l, slog.New(l.Handler(slog.DiscardHandler)), p4evpnv1.NewEventsClient(g.conn)
}

// received gives the events of a call that ends by itself.
func received(t *testing.T, c p4evpnv1.EventsClient, r *p4evpnv1.WatchEventsRequest) (texts []string, missed uint64,
	err error) {
	t.Helper()
	s, err := c.WatchEvents(t.Context(), r)
	if err != nil {
		return nil, 0, err
	}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return texts, missed, nil
		} else if err != nil {
			return texts, missed, err
		}
		missed += m.GetMissed()
		for _, e := range m.GetEvents() {
			texts = append(texts, e.GetText())
		}
	}
}

func TestEventsAreGivenByIDTimeAndKind(t *testing.T) {
	_, log, c := eventful(t)
	log.Info("one", events.Key, events.Session, "neighbor", "10.0.0.1")
	log.Warn("two", events.Key, events.Duplicate)
	between := time.Now()
	log.Warn("three", events.Key, events.Session)
	for name, tc := range map[string]struct {
		request *p4evpnv1.WatchEventsRequest
		want    int
		first   string
	}{
		"all":                 {&p4evpnv1.WatchEventsRequest{}, 3, "one"},
		"after one":           {&p4evpnv1.WatchEventsRequest{After: 1}, 2, "two"},
		"after the last":      {&p4evpnv1.WatchEventsRequest{After: 3}, 0, ""},
		"after what was lost": {&p4evpnv1.WatchEventsRequest{After: 99}, 3, "one"},
		"since then":          {&p4evpnv1.WatchEventsRequest{Since: timestamppb.New(between)}, 1, "three"},
		"of a kind":           {&p4evpnv1.WatchEventsRequest{Kinds: []string{"duplicate"}}, 1, "two"},
		"of two kinds, after one": {&p4evpnv1.WatchEventsRequest{After: 1, Kinds: []string{"duplicate", "session"}}, 2,
			"two"},
		"of a kind that is not": {&p4evpnv1.WatchEventsRequest{Kinds: []string{"link"}}, 0, ""},
	} {
		got, missed, err := received(t, c, tc.request)
		if err != nil || missed != 0 || len(got) != tc.want || tc.want > 0 && got[0] != tc.first {
			t.Errorf("%s: %q, %d missed, %v", name, got, missed, err)
		}
	}
	_, _, err := received(t, c, &p4evpnv1.WatchEventsRequest{Kinds: []string{"session", "sessions"}})
	wantCode(t, err, codes.InvalidArgument, "kinds[1]")
	_, _, err = received(t, c, &p4evpnv1.WatchEventsRequest{Since: &timestamppb.Timestamp{Nanos: -1}})
	wantCode(t, err, codes.InvalidArgument, "since")
}

func TestWhoFollowsIsTold(t *testing.T) {
	_, log, c := eventful(t)
	log.Info("before", events.Key, events.Link)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := c.WatchEvents(ctx, &p4evpnv1.WatchEventsRequest{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before", "then", "later"} {
		m, err := s.Recv()
		if err != nil || len(m.GetEvents()) != 1 || m.GetEvents()[0].GetText() != want {
			t.Fatalf("%v, %v, want %s", m, err, want)
		}
		if want != "later" {
			log.Info(map[string]string{"before": "then", "then": "later"}[want], events.Key, events.Link, "port", "port1")
		} else if m.GetEvents()[0].GetAttributes()["port"] != "port1" {
			t.Errorf("%v", m)
		}
	}
	cancel()
	if _, err := s.Recv(); err == nil {
		t.Error("it goes on")
	}
}

// stuck is a watcher that reads nothing, until it is let go.
type stuck struct {
	grpc.ServerStream
	ctx    context.Context
	begun  chan<- struct{}
	let    <-chan struct{}
	events int
	missed uint64
}

func (s *stuck) Context() context.Context { return s.ctx }

func (s *stuck) Send(m *p4evpnv1.WatchEventsResponse) error {
	if s.events == 0 {
		s.begun <- struct{}{}
	}
	select {
	case <-s.let:
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	s.events += len(m.GetEvents())
	s.missed += m.GetMissed()
	return nil
}

func TestAThousandWatchersThatDoNotReadHoldUpNothingAndCostLittle(t *testing.T) {
	l := journal.New()
	log := slog.New(l.Handler(slog.DiscardHandler))
	at := time.Unix(1000, 0)
	add := func(n int) {
		for range n {
			at = at.Add(time.Second)
			r := slog.NewRecord(at, slog.LevelInfo, "a port's carrier is as it is", 0)
			r.AddAttrs(events.Link.Attr(), slog.String("port", "port1"))
			if err := log.Handler().Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(journal.Kept)
	const watchers = 1000
	service, heap := &eventService{log: l}, liveHeap()
	begun, let := make(chan struct{}), make(chan struct{})
	var all []*stuck
	var running errgroup.Group
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for range watchers {
		s := &stuck{ctx: ctx, begun: begun, let: let}
		all = append(all, s)
		if len(all) == 1 {
			s.ctx = t.Context() // it reads at last
		}
		running.Go(func() error {
			if err := service.WatchEvents(&p4evpnv1.WatchEventsRequest{}, s); s.ctx.Err() == nil {
				return err
			}
			return nil
		})
		<-begun
	}
	add(journal.Kept / 2) // nobody waits for them
	if used := liveHeap() - heap; used > 100<<20 {
		t.Errorf("%d watchers that do not read hold %d MB", watchers, used>>20)
	}
	if got, _ := l.After(0); len(got) != journal.Kept || got[len(got)-1].ID != journal.Kept*3/2 {
		t.Errorf("%d events are kept, the last is %d", len(got), got[len(got)-1].ID)
	}
	leave()
	close(let)
	if err := running.Wait(); err != nil {
		t.Error(err)
	}
	if s := all[0]; s.events+int(s.missed) != journal.Kept*3/2 || s.missed == 0 {
		t.Errorf("who reads at last has %d events and hears that %d are gone, of %d", s.events, s.missed, journal.Kept*3/2)
	}
}

// liveHeap is what the heap holds.
func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestWhoIsLateIsToldHowMuchIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.log")
	if err := os.WriteFile(path, []byte(`{"id": 700, "kind": "link", "text": "the first that is kept"}`+"\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	l, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{}, Events: l}, nil)
	got, missed, err := received(t, p4evpnv1.NewEventsClient(g.conn), &p4evpnv1.WatchEventsRequest{After: 100})
	if err != nil || len(got) != 1 || missed != 599 {
		t.Errorf("%q, %d missed, %v", got, missed, err)
	}
}
