package underlay

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

func TestAVTEPThatWasLostOftenHasToStay(t *testing.T) {
	var f flaps
	now := time.Unix(1e9, 0)
	at := func(after time.Duration, reached, counts bool) {
		t.Helper()
		now = now.Add(after)
		if got := f.take(now, reached).IsZero(); got != counts {
			t.Errorf("at %v it counts %t, want %t", now.Sub(time.Unix(1e9, 0)), got, counts)
		}
	}
	const ms = time.Millisecond
	at(0, false, true)
	at(0, true, true)
	for range losses - 1 { // its routes move
		at(ms, false, true)
		at(ms, true, true)
	}
	at(ms, false, true) // a loss always counts
	at(ms, true, false)
	at(stay-ms, true, false)
	at(ms, true, true)
	at(ms, false, true)
	at(ms, true, false)
	at(stay-ms, false, true) // not long enough
	at(ms, true, false)
	at(stay, true, true)
	now = now.Add(window)
	for range losses - 1 {
		at(ms, false, true)
		at(ms, true, true)
	}
}

// flapping is a lab with a VTEP behind a host route, which lose and regain take away and give
// back.
func flapping(t *testing.T) (l *lab, lose, regain func()) {
	l = newLab(t)
	l.cable("up1", "10.1.0.1/24")
	l.address(l.peer, "up1", "10.1.0.2/24")
	route := l.routeVia("10.0.0.2/32", "10.1.0.2@up1")
	change := func(how func(*netlink.Route) error) func() { return func() { t.Helper(); must(t, how(route)) } }
	return l, change(l.gw.RouteDel), change(l.gw.RouteAdd)
}

// 100 times a second for a second, which is what the processor's time is measured of.
func TestAVTEPThatFlapsSoonStaysLostAndCostsLittle(t *testing.T) {
	l, lose, regain := flapping(t)
	regain()
	var reader sync.WaitGroup
	t.Cleanup(reader.Wait) // once Run has ended
	r := l.start("up1")
	vtep := netip.MustParseAddr("10.0.0.2")
	r.Track(vtep)
	await(t, r, "the path", paths(l.path("up1")))
	var returns atomic.Int32
	var up atomic.Bool
	reader.Go(func() {
		for c := range r.Events() {
			if up.Store(len(c.Paths) > 0); up.Load() {
				returns.Add(1)
			}
		}
	})
	began := processorTime(t)
	for range 100 {
		lose()
		time.Sleep(5 * time.Millisecond)
		regain()
		time.Sleep(5 * time.Millisecond)
	}
	took := processorTime(t) - began
	for deadline := time.Now().Add(10 * time.Second); !up.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is not reached in the end")
		}
	}
	t.Logf("a VTEP that is lost and comes back 100 times a second came back %d times and cost %.1f %% of a core, "+
		"what made it flap included", returns.Load(), 100*took.Seconds())
	if n := returns.Load(); n > 50 { // 3, where nothing stands still for long
		t.Errorf("it came back %d times of 100", n)
	}
}

func processorTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
