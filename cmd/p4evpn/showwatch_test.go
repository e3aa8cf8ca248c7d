package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/internal/journal"
)

// output is what a command has written, which others read meanwhile.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// running is a command that goes on until it is told to stop.
type running struct {
	out, err output
	stop     context.CancelFunc
	done     chan error
}

func start(t *testing.T, onto io.Writer, args ...string) *running {
	t.Helper()
	r := &running{done: make(chan error, 1)}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(t.Context())
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&r.out)
	if onto != nil {
		root.SetOut(onto)
	}
	root.SetErr(&r.err)
	go func() { r.done <- root.ExecuteContext(ctx) }()
	t.Cleanup(r.stop)
	return r
}

// interrupted is how the command ends by Ctrl-C.
func (r *running) interrupted(t *testing.T) error {
	t.Helper()
	r.stop()
	select {
	case err := <-r.done:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("Ctrl-C does not end it")
		return nil
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it is not so that %s", what)
		}
	}
}

// changing is a gateway whose FDB a test changes, and that can be stopped and started.
type changing struct {
	controllertest.View
	mu    sync.Mutex
	rows  []view.FDBEntry
	asked int

	path string
	log  *journal.Log
	end  func()
}

func (c *changing) FDB(context.Context, string) ([]view.FDBEntry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	for i := range c.rows {
		c.rows[i].Age += time.Second // as they do
	}
	return append([]view.FDBEntry(nil), c.rows...), nil
}

func (c *changing) set(rows ...view.FDBEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows = rows
}

// askedAgain waits until the rows were asked for some times more.
func (c *changing) askedAgain(t *testing.T) {
	t.Helper()
	n := func() int { c.mu.Lock(); defer c.mu.Unlock(); return c.asked }
	before := n()
	eventually(t, "it asks again", func() bool { return n() >= before+3 })
}

func (c *changing) serve(t *testing.T) {
	t.Helper()
	srv, err := api.New(api.Config{Store: intent.NewMemory(), View: c, Events: c.log, Listen: []string{"unix://" + c.path},
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("unix", c.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, lis) }()
	c.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(c.end)
}

func newChanging(t *testing.T) (c *changing, address string) {
	c = &changing{path: filepath.Join(t.TempDir(), "api.sock"), log: journal.New()}
	c.set(view.FDBEntry{Bridge: "blue", MAC: mac, Kind: view.Local, Port: "port1", State: view.Up, Age: time.Minute})
	c.serve(t)
	return c, "unix:" + c.path
}

func moved() view.FDBEntry {
	return view.FDBEntry{Bridge: "blue", MAC: mac, Kind: view.Local, Port: "port2", State: view.Up, Age: time.Minute}
}

func TestAWatchedTableIsWrittenWheneverMoreThanAgesChanged(t *testing.T) {
	c, address := newChanging(t)
	text := start(t, nil, "show", "fdb", "--watch=100ms", "--api", address)
	lines := start(t, nil, "show", "fdb", "--watch=100ms", "-o", "json", "--api", address)
	both := func(what string) {
		t.Helper()
		eventually(t, what, func() bool {
			return strings.Contains(text.out.String(), what) && strings.Contains(lines.out.String(), what)
		})
	}
	both("port1")
	c.askedAgain(t)
	c.set(moved())
	both("port2")
	c.end()
	eventually(t, "both say that it is away", func() bool {
		return strings.Contains(text.err.String(), "no gateway answers") && strings.Contains(lines.err.String(), "no gateway")
	})
	c.set(view.FDBEntry{Bridge: "blue", MAC: mac, Kind: view.Local, Port: "port3", State: view.Up})
	c.serve(t)
	both("port3")
	for _, r := range []*running{text, lines} {
		if err := r.interrupted(t); err != nil {
			t.Errorf("Ctrl-C ends it with %v", err)
		}
	}
	documents := strings.Split(strings.TrimSuffix(lines.out.String(), "\n"), "\n")
	if len(documents) != 3 || strings.Count(text.out.String(), "BRIDGE") != 3 {
		t.Fatalf("of three states there are\n%s\n%s", text.out.String(), lines.out.String())
	}
	for i, d := range documents {
		var rows []struct{ Port string }
		err := json.Unmarshal([]byte(d), &rows)
		if err != nil || len(rows) != 1 || rows[0].Port != fmt.Sprintf("port%d", i+1) {
			t.Errorf("line %d: %v in %s", i+1, err, d)
		}
	}
}

// terminal gives the two ends of one with so many lines and columns.
func terminal(t *testing.T, rows, columns uint16) (program, person *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there are no terminals here: ", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0),
		unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})); err != nil {
		t.Fatal(err)
	}
	if program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skip("there are no terminals here: ", err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return program, person
}

func TestATerminalIsDrawnAnewWithinItsSize(t *testing.T) {
	c, address := newChanging(t)
	rows := make([]view.FDBEntry, 30)
	for i := range rows {
		rows[i] = moved()
		rows[i].MAC[5] = byte(i)
	}
	c.set(rows...)
	program, person := terminal(t, 10, 40)
	var seen output
	go func() { _, _ = io.Copy(&seen, person) }()
	r := start(t, program, "show", "fdb", "--watch=100ms", "--api", address)
	drawn := func() []string { return strings.Split(seen.String(), "\x1b[H") }
	eventually(t, "it is drawn again", func() bool { return len(drawn()) > 3 })
	c.end()
	eventually(t, "it says that nobody answers", func() bool { return strings.Contains(seen.String(), "no gateway ans") })
	c.set(moved())
	c.serve(t)
	eventually(t, "it goes on", func() bool {
		all := drawn()
		last := all[len(all)-1]
		return strings.HasSuffix(last, "\x1b[J") && strings.Contains(last, "port2") && !strings.Contains(last, "lines more")
	})
	if err := r.interrupted(t); err != nil {
		t.Errorf("Ctrl-C ends it with %v", err)
	}
	all := drawn()
	for i, screen := range all[1 : len(all)-1] {
		lines := strings.Split(screen, "\r\n")
		for _, l := range lines {
			if l = strings.TrimSuffix(l, "\x1b[K"); len(l) >= 40 {
				t.Errorf("screen %d has a line of %d columns: %s", i, len(l), l)
			}
		}
		if len(lines) > 10 {
			t.Errorf("screen %d has %d lines", i, len(lines))
		}
	}
	if first := all[1]; !strings.Contains(first, "p4evpn show fdb, every 100ms") ||
		!strings.Contains(first, "02:00:00:00:00:04") || !strings.Contains(first, "25 lines more") {
		t.Errorf("the first screen is %q", first)
	}
}

func TestEveryTableCanBeWatched(t *testing.T) {
	address := serve(t)
	for _, cmd := range newShow().Commands() {
		args := []string{"show", cmd.Name(), "--api", address, "--watch", "-o", "json"}
		if cmd.Name() == "route" {
			args = append(args, "green", "6.6.6.6")
		}
		t.Run(cmd.Name(), func(t *testing.T) {
			r := start(t, nil, args...)
			eventually(t, "there is a line", func() bool { return strings.Count(r.out.String(), "\n") == 1 })
			if err := r.interrupted(t); err != nil || r.err.String() != "" {
				t.Errorf("it ends with %v, %s", err, r.err.String())
			}
		})
	}
}

func TestWatchSaysWhatIsWrongFromTheBeginning(t *testing.T) {
	for want, args := range map[string]string{
		"100ms or more": "bridges --watch=0s", "no gateway answers": "bridges --watch", "invalid argument": "bridges --watch=x",
		"want in, out": "routes inn --watch",
	} {
		args := append([]string{"show", "--api", "unix:" + filepath.Join(t.TempDir(), "none")}, strings.Fields(args)...)
		if _, err := command(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v; want it to hold %q", args, err, want)
		}
	}
}

func TestEventsAreFollowedOverARestart(t *testing.T) {
	c, address := newChanging(t)
	log := slog.New(c.log.Handler(slog.DiscardHandler))
	log.Info("one", events.Key, events.Link)
	r := start(t, nil, "events", "-f", "--api", address)
	eventually(t, "the first is told", func() bool { return strings.Contains(r.out.String(), "one") })
	c.end()
	log.Info("two", events.Key, events.Link)
	c.serve(t)
	eventually(t, "the second is told", func() bool { return strings.Contains(r.out.String(), "two") })
	if err := r.interrupted(t); err != nil || strings.Count(r.out.String(), "one") != 1 {
		t.Errorf("it ends with %v, and said\n%s", err, r.out.String())
	}
}
