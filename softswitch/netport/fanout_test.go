package netport

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// flowFrame is a UDP datagram of a flow, with a number in it.
func flowFrame(flow, number int) []byte {
	f := make([]byte, 64)
	copy(f, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 50})
	copy(f[22:], []byte{64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(f[34:], uint16(1000+flow))
	binary.BigEndian.PutUint16(f[36:], 9)
	binary.BigEndian.PutUint32(f[42:], uint32(number))
	return f
}

func TestFlowsAreSpreadOverTheRingsAndStayInOrder(t *testing.T) {
	needRoot(t)
	addVeth(t, "va", "vb", 1500)
	const flows, rounds, rings = 64, 50, 3
	var mu sync.Mutex
	got := map[int][]int{}  // numbers by flow, as they came
	ringOf := map[int]int{} // by flow
	var handlers []func([][]byte)
	for ring := range rings {
		handlers = append(handlers, func(frames [][]byte) {
			mu.Lock()
			defer mu.Unlock()
			for _, f := range frames {
				if len(f) != 64 {
					continue // the host's own
				}
				flow := int(binary.BigEndian.Uint16(f[34:])) - 1000
				ringOf[flow] = ring
				got[flow] = append(got[flow], int(binary.BigEndian.Uint32(f[42:])))
			}
		})
	}
	tx := startPort(t, "va", func([][]byte) {})
	rx, err := New(Config{Interface: "vb"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- rx.Run(ctx, handlers...) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = rx.Close()
	}()
	eventually(t, "ports up", func() bool { return tx.Up() && rx.Up() })
	s := NewSender()
	want := make([]int, rounds)
	for n := range rounds {
		want[n] = n
		var batch [][]byte
		for flow := range flows {
			batch = append(batch, flowFrame(flow, n))
		}
		s.Send(tx, batch)
	}
	eventually(t, "all frames arrive", func() bool {
		mu.Lock()
		defer mu.Unlock()
		total := 0
		for _, numbers := range got {
			total += len(numbers)
		}
		return total >= flows*rounds
	})
	mu.Lock()
	defer mu.Unlock()
	used := map[int]bool{}
	for flow := range flows {
		if !slices.Equal(got[flow], want) {
			t.Errorf("flow %d came as %v", flow, got[flow])
		}
		used[ringOf[flow]] = true
	}
	if len(used) != rings {
		t.Errorf("%d of %d rings are used for %d flows", len(used), rings, flows)
	}
}

// TestEachFrameArrivesOnceWhateverTheIDOfTheGroup takes the id that the kernel
// chooses first after a boot, 0, and others.
func TestEachFrameArrivesOnceWhateverTheIDOfTheGroup(t *testing.T) {
	needRoot(t)
	for _, first := range []struct {
		name  string
		group int
	}{
		{"0", sharing << 16}, {"1", sharing<<16 | 1}, {"65535", sharing<<16 | 0xffff}, {"the kernel's choice", newGroup},
	} {
		for _, rings := range []int{1, 2, 5} {
			t.Run(fmt.Sprintf("group %s, %d rings", first.name, rings), func(t *testing.T) {
				addVeth(t, "va", "vb", 1500)
				eachFrameArrivesOnce(t, first.group, rings)
			})
		}
	}
}

func eachFrameArrivesOnce(t *testing.T, group, rings int) {
	const flows, rounds = 64, 20
	var mu sync.Mutex
	got := map[[2]int]int{} // by flow and number
	total := 0
	handle := func(frames [][]byte) {
		mu.Lock()
		defer mu.Unlock()
		for _, f := range frames {
			if len(f) == 64 {
				total++
				got[[2]int{int(binary.BigEndian.Uint16(f[34:])) - 1000, int(binary.BigEndian.Uint32(f[42:]))}]++
			}
		}
	}
	tx := startPort(t, "va", func([][]byte) {})
	rx, err := New(Config{Interface: "vb", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	rx.group = group
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = rx.Run(ctx, slices.Repeat([]func([][]byte){handle}, rings)...) })
	defer func() {
		cancel()
		running.Wait()
		_ = rx.Close()
	}()
	eventually(t, "ports up", func() bool { return tx.Up() && rx.Up() })
	s := NewSender()
	for n := range rounds {
		for flow := range flows {
			s.Send(tx, [][]byte{flowFrame(flow, n)})
		}
	}
	eventually(t, "all frames arrive", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) == flows*rounds
	})
	eventually(t, "the rings are empty", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return rx.Stats().RxFrames == uint64(total)
	})
	for frame, times := range got {
		if times != 1 {
			t.Fatalf("frame %d of flow %d arrived %d times", frame[1], frame[0], times)
		}
	}
}

func TestRingsOfTwoGroupsAreRefused(t *testing.T) {
	needRoot(t)
	addVeth(t, "va", "vb", 1500)
	l := link{index: linkNamed(t, "vb").Attrs().Index, mtu: 1500}
	var rings []*ring
	defer func() { closeRings(rings) }()
	for _, group := range []int{7, 8} {
		r, err := openRing(l, 1<<20, &counters{})
		if err != nil {
			t.Fatal(err)
		}
		rings = append(rings, r)
		if err := r.join(sharing<<16 | group); err != nil {
			t.Fatal(err)
		}
	}
	if err := checkGroup(rings[:1], sharing<<16|7); err != nil {
		t.Errorf("one group: %v", err)
	}
	if err := checkGroup(rings, sharing<<16|7); err == nil {
		t.Error("two groups were accepted")
	}
	if err := checkGroup(rings[:1], unix.PACKET_FANOUT_LB<<16|7); err == nil {
		t.Error("a group that shares by turns was accepted")
	}
}
