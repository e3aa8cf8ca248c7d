package footprint

import "testing"

const mb = 1 << 20

func TestThePaceOfCollectionsFollowsWhatStays(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, mostPercent}, {10 * mb, mostPercent}, {garbage / 3, mostPercent},
		{garbage / 2, 200}, {garbage, 100}, {2 * garbage, 50}, {100 * garbage, leastPercent},
	} {
		var k keeper
		if got, _ := k.look(0, c.live); got != c.want {
			t.Errorf("%d bytes stay: %d %%, want %d %%", c.live, got, c.want)
		}
	}
}

func TestThePaceStaysForASmallChange(t *testing.T) {
	var k keeper
	k.look(0, garbage)
	if got, _ := k.look(0, garbage+garbage/20); got != 0 {
		t.Errorf("set to %d %% for 5 %% more", got)
	}
	if got, _ := k.look(0, garbage/2); got != 200 {
		t.Errorf("set to %d %% for half of it", got)
	}
}

func TestMemoryIsGivenBackOnceAfterABurst(t *testing.T) {
	var k keeper
	allocated, times := uint64(0), 0
	look := func(more uint64) bool {
		allocated += more
		_, giveBack := k.look(allocated, garbage)
		if giveBack {
			times++
		}
		return giveBack
	}
	for range 100 {
		if look(little + 1) {
			t.Fatal("given back in the midst of work")
		}
	}
	for i := 1; i < quietTicks; i++ {
		if look(0) {
			t.Fatalf("given back after %d quiet looks", i)
		}
	}
	if !look(0) {
		t.Fatalf("not given back after %d quiet looks", quietTicks)
	}
	for range 10 * quietTicks {
		look(1000)
	}
	if times != 1 {
		t.Errorf("given back %d times for one burst", times)
	}
	for range 20 * quietTicks {
		look(mb)
	}
	if times < 2 || times > 10 {
		t.Errorf("given back %d times, want it again for what has gathered, and not at each look", times)
	}
}

func TestALittleAllTheTimeIsNoBurst(t *testing.T) {
	var k keeper
	const live, each = garbage, little / 2
	allocated, times := uint64(0), 0
	for range 600 {
		allocated += each
		if _, giveBack := k.look(allocated, live); giveBack {
			times++
		}
	}
	if most := 600 / pauseTicks; times == 0 || times > most {
		t.Errorf("given back %d times, want up to %d: once in two minutes", times, most)
	}
}
