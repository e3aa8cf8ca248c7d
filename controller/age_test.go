package controller

import (
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

const testRound = 297 * time.Second

func testTurns(n int) []*turn {
	all := make([]*turn, n)
	for i := range all {
		all[i] = &turn{bridge: 1, mac: ether.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}}
	}
	return all
}

func TestEachMACHasItsTurnOnceARoundAndTurnsAreSpread(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := newRounds(testRound, func() time.Time { return now })
	all := testTurns(50_000)
	last := map[*turn]time.Time{}
	for _, one := range all { // they come together
		r.enter(one)
		last[one] = now
	}
	seconds := map[int64]int{}
	for end := now.Add(6 * testRound); now.Before(end); now = now.Add(max(r.due(now), time.Millisecond)) {
		for one := r.take(now); one != nil; one = r.take(now) {
			if since := now.Sub(last[one]); since > testRound+r.width || since < testRound/8 {
				t.Fatalf("a MAC has its turn after %v", since)
			}
			last[one] = now
			seconds[now.Unix()]++
			r.again(one, now)
		}
	}
	most := 0
	for _, n := range seconds {
		most = max(most, n)
	}
	// 50,000 in 0.8 of the first round are 210 a second, and later on 192.
	if most > 300 || r.count != len(all) {
		t.Errorf("up to %d turns in a second, of %d MACs", most, r.count)
	}
}

func TestAMACThatIsGoneHasNoTurn(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := newRounds(testRound, func() time.Time { return now })
	all := testTurns(1000)
	for _, one := range all {
		r.enter(one)
	}
	for _, one := range all[:500] {
		r.leave(one)
		r.leave(one)
	}
	now = now.Add(testRound)
	seen := map[*turn]bool{}
	for one := r.take(now); one != nil; one = r.take(now) {
		seen[one] = true
	}
	for i, one := range all {
		if seen[one] != (i >= 500) {
			t.Fatalf("MAC %d has a turn: %v", i, seen[one])
		}
	}
	if r.count != 0 || r.due(now) != idleTick {
		t.Errorf("%d are left, the next turn is in %v", r.count, r.due(now))
	}
}

func TestATurnComesAfterALongTimeWithoutAny(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := newRounds(testRound, func() time.Time { return now })
	now = now.Add(1000 * time.Hour)
	if r.take(now) != nil {
		t.Fatal("nobody has a turn")
	}
	one := &turn{}
	r.enter(one)
	if r.take(now.Add(testRound/8)) != nil || r.take(now.Add(testRound)) != one {
		t.Error("its turn does not come")
	}
}

func TestAShortRoundIsNotDividedTooFinely(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := newRounds(time.Second, func() time.Time { return now })
	one := &turn{}
	r.again(one, now)
	for range 10 {
		if r.take(now.Add(700*time.Millisecond)) != nil {
			t.Fatal("its turn is early")
		}
		now = now.Add(1050 * time.Millisecond)
		if r.take(now) != one {
			t.Fatal("its turn is late")
		}
		r.again(one, now)
	}
}
