package netport

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

func TestARingThatNeverRunsDryLetsOthersRun(t *testing.T) {
	needRoot(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	addVeth(t, "va", "vb", 1500)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	to := &unix.SockaddrLinklayer{Ifindex: linkNamed(t, "vb").Attrs().Index}
	send := func() {
		if err := unix.Sendto(fd, testFrame(60, 1), 0, to); err != nil {
			t.Fatal(err)
		}
	}
	const full = 20 // batches that wait
	var batches atomic.Int64
	began, goOn := make(chan struct{}), make(chan struct{})
	p := startPort(t, "va", func([][]byte) {
		if batches.Add(1) == 1 {
			close(began)
			<-goOn
		}
	})
	eventually(t, "the port is up", p.Up)
	send()
	<-began
	for range full * MaxBatch {
		send()
	}
	turns := map[int64]bool{} // how many batches there were when another goroutine ran
	var owned sync.WaitGroup
	owned.Go(func() {
		for n := int64(0); n <= full; runtime.Gosched() {
			n = batches.Load()
			turns[n] = true
		}
	})
	close(goOn)
	owned.Wait()
	if len(turns) < full/2 {
		t.Errorf("another goroutine had %d turns while %d batches were received", len(turns), full)
	}
}
