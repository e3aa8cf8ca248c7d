package controller

import (
	"net/netip"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

// asking is a prober with a clock that tests put on, and what came of it.
type asking struct {
	*prober
	now    time.Time
	sent   map[probed]int
	lost   bool // nothing can be sent
	failed []probed
}

func newAsking() *asking {
	a := &asking{now: time.Unix(1e9, 0), sent: map[probed]int{}}
	a.prober = newProber(func(who probed) bool {
		if !a.lost {
			a.sent[who]++
		}
		return !a.lost
	}, func(who probed) { a.failed = append(a.failed, who) })
	return a
}

// pass has time pass, and does what is due whenever something is.
func (a *asking) pass(d time.Duration) {
	for end := a.now.Add(d); ; {
		a.tick(a.now)
		next := a.now.Add(max(a.next(a.now), time.Millisecond))
		if next.After(end) {
			a.now = end
			return
		}
		a.now = next
	}
}

func (a *asking) total() (n int) {
	for _, sent := range a.sent {
		n += sent
	}
	return n
}

func someone(n int) probed {
	return probed{1, netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), ether.MAC{2, 0, 0, 0, 0, 1}}
}

func TestAHostIsAskedThreeTimesASecondApartBeforeItIsGone(t *testing.T) {
	a, who := newAsking(), someone(1)
	a.ask(who, a.now)
	a.ask(who, a.now) // it is being asked
	for n := 1; n <= 3; n++ {
		if a.sent[who] != n || len(a.failed) > 0 {
			t.Fatalf("after %d s it was asked %d times, failed: %v", n-1, a.sent[who], a.failed)
		}
		a.pass(999 * time.Millisecond)
		a.ask(who, a.now)
		if a.sent[who] != n {
			t.Fatalf("just before second %d it was asked %d times", n, a.sent[who])
		}
		a.pass(time.Millisecond)
	}
	if a.sent[who] != 3 || len(a.failed) != 1 || a.failed[0] != who || a.asks(who) {
		t.Errorf("after 3 s it was asked %d times, failed: %v", a.sent[who], a.failed)
	}
	if next := a.next(a.now); next != idleTick {
		t.Errorf("something is due in %v", next)
	}
}

func TestAHostThatAnswersIsAskedNoMore(t *testing.T) {
	a := newAsking()
	a.ask(someone(1), a.now)
	a.ask(someone(2), a.now)
	a.pass(1500 * time.Millisecond)
	a.end(someone(1))
	a.end(someone(3)) // nobody asks it
	a.pass(time.Minute)
	if a.sent[someone(1)] != 2 || a.sent[someone(2)] != 3 || len(a.failed) != 1 || a.failed[0] != someone(2) {
		t.Errorf("asked %v, failed %v", a.sent, a.failed)
	}
}

func TestWhatCannotBeSentIsNoQuestion(t *testing.T) {
	a := newAsking()
	a.ask(someone(1), a.now)
	a.askSoon(someone(2))
	a.pass(time.Second / 2)
	a.lost = true
	a.askSoon(someone(3))
	a.pass(time.Minute)
	if len(a.failed) > 0 || a.total() != 2 {
		t.Fatalf("asked %v, failed %v", a.sent, a.failed)
	}
	a.lost = false
	a.pass(2*probePause - probeTick)
	if len(a.failed) > 0 {
		t.Fatalf("asked %v, failed %v", a.sent, a.failed)
	}
	a.pass(2 * probePause)
	if len(a.failed) != 3 || a.sent[someone(1)] != 3 || a.sent[someone(2)] != 3 || a.sent[someone(3)] != 3 {
		t.Errorf("asked %v, failed %v", a.sent, a.failed)
	}
}

func TestALoopThatWasBusyGivesAnAnswerTimeToBeRead(t *testing.T) {
	a := newAsking()
	a.ask(someone(1), a.now)
	a.pass(2 * probePause)
	a.now = a.now.Add(time.Minute) // it did not run
	a.tick(a.now)
	if len(a.failed) > 0 {
		t.Fatal("it failed though nobody looked for its answer")
	}
	a.pass(probePause)
	if len(a.failed) != 1 {
		t.Errorf("failed %v", a.failed)
	}
}

func TestThoseWhoCanWaitDoNotCrowd(t *testing.T) {
	a := newAsking()
	const hosts = 4000
	for n := range hosts {
		for range 2 { // the second time changes nothing
			if !a.askSoon(someone(n)) {
				t.Fatal("it has no turn")
			}
		}
	}
	most := 0
	for range 30 { // what begins is asked 3 times
		before := a.total()
		a.pass(time.Second)
		most = max(most, a.total()-before)
		if len(a.failed) == hosts {
			break
		}
		if a.total() == before {
			t.Fatal("nobody was asked for a second")
		}
	}
	// What a prober may do in a second, and two more of each that began.
	if len(a.failed) < hosts/2 || most > 3*leastProbes {
		t.Errorf("up to %d frames a second; %d of %d failed", most, len(a.failed), hosts)
	}
}

func TestAnUrgentQuestionDoesNotWaitForOthers(t *testing.T) {
	a := newAsking()
	for n := range 4000 {
		a.askSoon(someone(n))
	}
	a.pass(probeTick)
	last := someone(3999)
	a.ask(last, a.now)
	if a.sent[last] != 1 {
		t.Error("it was not asked at once")
	}
	a.pass(time.Minute)
	if a.sent[last] != 3 || len(a.failed) != 4000 {
		t.Errorf("it was asked %d times; %d failed", a.sent[last], len(a.failed))
	}
}

func TestThoseWhoWaitAreBounded(t *testing.T) {
	a := newAsking()
	for n := range maxWaiting {
		a.askSoon(someone(n))
	}
	if a.askSoon(someone(maxWaiting)) || a.asks(someone(maxWaiting)) {
		t.Error("one more has its turn")
	}
	if !a.askSoon(someone(7)) {
		t.Error("who waits has no turn")
	}
	a.ask(someone(maxWaiting), a.now)
	if a.sent[someone(maxWaiting)] != 1 {
		t.Error("what is urgent waits")
	}
}

func TestAfterATimeWithoutATargetAllAreAskedAnew(t *testing.T) {
	a := newAsking()
	for n := range 100 {
		a.ask(someone(n), a.now)
	}
	a.pass(2500 * time.Millisecond)
	clear(a.sent)
	a.now = a.now.Add(time.Hour)
	a.again()
	a.pass(time.Second)
	if len(a.failed) > 0 {
		t.Fatalf("%d failed at once", len(a.failed))
	}
	a.pass(time.Minute)
	if len(a.failed) != 100 || a.total() != 300 {
		t.Errorf("%d questions, %d failed", a.total(), len(a.failed))
	}
}

func TestNothingFollowsIfAHostIsAskedIdly(t *testing.T) {
	a := newAsking()
	a.askIdly(someone(1))
	a.askIdly(someone(2))
	a.ask(someone(2), a.now)
	a.ask(someone(3), a.now)
	a.askIdly(someone(3))
	a.pass(time.Minute)
	if a.total() != 9 || len(a.failed) != 2 || a.asks(someone(1)) {
		t.Errorf("asked %v, failed %v", a.sent, a.failed)
	}
}
