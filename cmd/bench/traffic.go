package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// burst is how many frames a generator hands to the kernel at once: enough for
// a high rate, and less than the queue of 64 frames that BMv2 has by default.
const burst = 32

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// generator sends frames on one interface.
type generator struct {
	fd     int
	frames [][]byte
	iovs   []unix.Iovec
	msgs   []mmsghdr
}

// newGenerator sends the frames in turn; the thread must be in the namespace of
// the interface. Their number is a multiple of burst.
func newGenerator(ifindex int, frames [][]byte) (*generator, error) {
	// Protocol 0: it receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1) // faster, if it can
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("bind a packet socket to interface %d: %w", ifindex, err)
	}
	g := &generator{fd: fd, frames: frames, iovs: make([]unix.Iovec, len(frames)), msgs: make([]mmsghdr, len(frames))}
	for i, f := range frames {
		g.iovs[i].Base = unsafe.SliceData(f)
		g.iovs[i].SetLen(len(f))
		g.msgs[i].hdr.Iov = &g.iovs[i]
		g.msgs[i].hdr.Iovlen = 1
	}
	return g, nil
}

func (g *generator) close() { _ = unix.Close(g.fd) }

// send sends bursts for a time, at a rate in frames/s or, where that is 0, as
// fast as it can, and gives how many frames it offered. A rate that it cannot
// keep up with it does not catch up with later.
func (g *generator) send(ctx context.Context, rate float64, d time.Duration) (offered uint64, err error) {
	runtime.LockOSThread() // one thread less to wake
	defer runtime.UnlockOSThread()
	start := time.Now()
	due := start
	for next := 0; ctx.Err() == nil; next = (next + burst) % len(g.frames) {
		now := time.Now()
		if now.Sub(start) >= d {
			break
		}
		if rate > 0 {
			if wait := due.Sub(now); wait > 0 {
				time.Sleep(wait)
			} else if wait < -20*time.Millisecond {
				due = now
			}
			due = due.Add(time.Duration(burst / rate * float64(time.Second)))
		}
		if err := g.sendBurst(next); err != nil {
			return offered, err
		}
		offered += burst
	}
	return offered, nil
}

// sendBurst sends the frames from the first on. One that the other end of the
// cable has no room for counts as sent: it is lost, as on a wire.
func (g *generator) sendBurst(first int) error {
	for end := first + burst; first < end; {
		sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(g.fd), uintptr(unsafe.Pointer(&g.msgs[first])),
			uintptr(end-first), 0, 0, 0)
		switch errno {
		case 0:
			first += int(sent)
		case unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS:
			first++
		default:
			return fmt.Errorf("send frames: %w", errno)
		}
	}
	return nil
}

// sink counts the frames that arrive at one interface with a given beginning of
// the destination and length. The kernel counts them in a socket that nobody reads, so that
// the sink takes next to nothing of the machine that is measured.
type sink struct{ fd int }

// newSink counts frames from now on; the thread must be in the namespace of the
// interface.
func newSink(ifindex int, destination []byte, length int) (*sink, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	s := &sink{fd}
	filter := frameFilter(destination, length)
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: unsafe.SliceData(filter)}
	for _, set := range []func() error{
		func() error { return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog) },
		func() error { return unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1) },
		func() error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0) }, // the least there is
		func() error {
			return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: ifindex})
		},
	} {
		if err := set(); err != nil {
			s.close()
			return nil, fmt.Errorf("count frames at interface %d: %w", ifindex, err)
		}
	}
	return s, nil
}

func (s *sink) close() { _ = unix.Close(s.fd) }

// take gives how many frames arrived since the last call.
func (s *sink) take() (uint64, error) {
	st, err := unix.GetsockoptTpacketStats(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("count frames: %w", err)
	}
	return uint64(st.Packets), nil // those that had no room are among them
}

// frameFilter is the classic BPF program that passes frames of a length to a
// destination that begins with two bytes.
func frameFilter(destination []byte, length int) []unix.SockFilter {
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_LEN},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(length), Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(binary.BigEndian.Uint16(destination)), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
}

func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
