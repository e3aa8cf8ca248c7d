package p4rtserver

import (
	"math"
	"runtime"
	"sync"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

func TestMessagesWaitInTheirOrderUpToTheirNumberAndBytes(t *testing.T) {
	q := queue{ready: make(chan struct{}, 1)}
	messages := make([]*p4v1.StreamMessageResponse, 6)
	for i := range messages {
		messages[i] = &p4v1.StreamMessageResponse{}
	}
	for i, put := range []struct {
		size, messages int
		bytes          int64
		want           bool
	}{
		{10, 5, 100, true},
		{90, 5, 100, true},           // just as many bytes
		{1, 5, 100, false},           // one byte more
		{0, 2, math.MaxInt64, false}, // one message more
		{50, 3, math.MaxInt64, true}, // of one that must not be lost
		{0, 3, math.MaxInt64, false},
	} {
		if got := q.put(queued{messages[i], put.size}, put.messages, put.bytes); got != put.want {
			t.Errorf("message %d: taken %v, want %v", i, got, put.want)
		}
	}
	for _, want := range []int{0, 1, 4} {
		<-q.ready
		if q.take().message != messages[want] {
			t.Errorf("want message %d", want)
		}
	}
	select {
	case <-q.ready:
		t.Error("something waits that was taken")
	default:
	}
	if !q.put(queued{messages[2], 100}, 1, 100) {
		t.Error("there is no room where all was taken")
	}
}

func TestEachMessageIsTakenOnceWhileOthersCome(t *testing.T) {
	const all = 20_000
	q := queue{ready: make(chan struct{}, 1)}
	var owned sync.WaitGroup
	owned.Go(func() {
		for i := 0; i < all; {
			if q.put(queued{size: i}, queueLength, math.MaxInt64) {
				i++
			} else {
				runtime.Gosched()
			}
		}
	})
	defer owned.Wait()
	for want := range all {
		<-q.ready
		if got := q.take().size; got != want {
			t.Fatalf("message %d after %d", got, want-1)
		}
	}
}

func TestAStreamThatIsToldNothingTakesNoMemoryForMessages(t *testing.T) {
	const bound = 512 // bytes
	size := func() (n uint64) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	before := size()
	kept := make([]*stream, 1000)
	for i := range kept {
		kept[i] = newStream(nil)
	}
	if each := (size() - before) / uint64(len(kept)); each > bound {
		t.Errorf("%d bytes a stream, want no more than %d", each, bound)
	}
	runtime.KeepAlive(kept)
}
