package netport

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
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
