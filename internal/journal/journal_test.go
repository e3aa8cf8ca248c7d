package journal

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/p4evpn/p4evpn/internal/events"
)

// quiet is a logger whose log shows nothing below a level, and what it shows.
func quiet(l *Log, level slog.Level) (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(l.Handler(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: level}))), &b
}

func TestALineOfTheLogWithAKindIsAnEvent(t *testing.T) {
	l := New()
	log, out := quiet(l, slog.LevelInfo)
	log = log.With("neighbor", "10.0.0.1")
	log.Info("no event")
	log.Warn("session down", events.Key, events.Session, "reason", fmt.Errorf("hold timer"), "after", 3*time.Second)
	log.Log(t.Context(), events.Level, "a MAC moved", events.Key, events.Move, "mac", "02:00:00:00:00:01")
	log.Debug("a debug line with a kind is one where debug is on", events.Key, events.Move)
	got, _ := l.After(0)
	if len(got) != 2 {
		t.Fatalf("%d events: %+v", len(got), got)
	}
	if e := got[0]; e.Kind != events.Session || e.Level != "WARN" || e.Text != "session down" || e.ID != 1 ||
		e.Time.IsZero() ||
		fmt.Sprint(e.Attributes) != "map[after:3s neighbor:10.0.0.1 reason:hold timer]" {
		t.Errorf("%+v", e)
	}
	if e := got[1]; e.Kind != events.Move || e.Level != "INFO" || e.ID != 2 {
		t.Errorf("%+v", e)
	}
	if s := out.String(); strings.Count(s, "\n") != 2 || strings.Contains(s, "moved") {
		t.Errorf("the log has %q", s)
	}
}

func TestWhoWatchesHearsOfTheNextEvent(t *testing.T) {
	l := New()
	log, _ := quiet(l, slog.LevelError)
	log.Info("one", events.Key, events.Link)
	_, more := l.After(1)
	select {
	case <-more:
		t.Fatal("there is no more yet")
	default:
	}
	log.Info("two", events.Key, events.Link)
	<-more
	if got, _ := l.After(1); len(got) != 1 || got[0].Text != "two" {
		t.Errorf("%+v", got)
	}
}

// fill adds events without a bound.
func fill(l *Log, n int) {
	for i := range n {
		l.add(Event{Time: time.Unix(int64(i), 0), Kind: events.Move, Text: fmt.Sprint(i)})
	}
}

func TestTheLastEventsAreKept(t *testing.T) {
	l := New()
	fill(l, 3*Kept+7)
	got, _ := l.After(0)
	if len(got) != Kept || got[0].ID != 2*Kept+8 || got[Kept-1].ID != 3*Kept+7 {
		t.Errorf("%d events from %d", len(got), got[0].ID)
	}
	if got, _ := l.After(3*Kept + 6); len(got) != 1 {
		t.Errorf("%d after the last but one", len(got))
	}
	if got, _ := l.After(1 << 60); len(got) != 0 {
		t.Errorf("%d after the future", len(got))
	}
}

func TestAFloodOfOneKindIsBoundedAndCounted(t *testing.T) {
	l := New()
	at := time.Unix(1000, 0)
	for range 3 * perSecond {
		l.add(Event{Time: at, Kind: events.Move})
	}
	l.add(Event{Time: at, Kind: events.Session})
	l.add(Event{Time: at.Add(time.Second), Kind: events.Move})
	if got, _ := l.After(0); len(got) != perSecond+2 {
		t.Errorf("%d events", len(got))
	}
	if n := testutil.ToFloat64(l.suppressed); n != 2*perSecond {
		t.Errorf("%v counted", n)
	}
}

// run writes what waits to the file.
func run(t *testing.T, l *Log) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestEventsOutliveTheProgramAndTheirNumbersGoOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.log")
	for n := range 4 {
		l, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := l.After(0); len(got) != min(n*6000, Kept) {
			t.Fatalf("run %d begins with %d events", n, len(got))
		}
		for part := range 3 { // the file is appended to and written anew
			fill(l, 2000)
			run(t, l)
			got, _ := l.After(0)
			if last := got[len(got)-1].ID; last != uint64(n*6000+(part+1)*2000) {
				t.Fatalf("run %d: the last event is %d", n, last)
			}
		}
	}
	b, err := os.ReadFile(path)
	if n := bytes.Count(b, []byte("\n")); err != nil || n > maxLines {
		t.Errorf("the file has %d lines, %v", n, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestADamagedFileLosesWhatIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.log")
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	fill(l, 3)
	run(t, l)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := bytes.SplitAfter(b, []byte("\n"))
	damaged := bytes.Join([][]byte{all[0], []byte("{\"id\": 2, \"ti\x00\n"), all[2], all[0], []byte(`{"id": 9`)}, nil)
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(path); err != nil {
		t.Fatal(err)
	}
	if got, _ := l.After(0); len(got) != 2 || got[1].ID != 3 {
		t.Errorf("%+v", got)
	}
	fill(l, 1)
	run(t, l)
	if l, err = Open(path); err != nil {
		t.Fatal(err)
	}
	if got, _ := l.After(0); len(got) != 3 || got[2].ID != 4 {
		t.Errorf("%+v", got)
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("a folder is taken for a file of events")
	}
}

func FuzzAnyFileIsReadOrRefused(f *testing.F) {
	f.Add([]byte(`{"id":1,"kind":"move"}` + "\n"))
	f.Add([]byte("\n\n{}\n[]\nnull\n{\"id\":18446744073709551615}\n{\"id\":3}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "events.log")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(path)
		if err != nil {
			return
		}
		fill(l, 1)
		got, _ := l.After(0)
		for i := 1; i < len(got); i++ {
			if got[i].ID <= got[i-1].ID {
				t.Errorf("event %d comes after %d", got[i].ID, got[i-1].ID)
			}
		}
	})
}

func TestAFileThatCannotBeWrittenIsInTheMetricsUntilItCan(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := Open(filepath.Join(folder, "events.log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	fill(l, 1)
	run(t, l)
	if got := testutil.ToFloat64(l.failed); got != 1 {
		t.Errorf("the gauge is %v", got)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	fill(l, 1)
	run(t, l)
	if got := testutil.ToFloat64(l.failed); got != 0 {
		t.Errorf("the gauge is %v after the file was written", got)
	}
}
