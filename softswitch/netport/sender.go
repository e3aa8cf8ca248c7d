package netport

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/softswitch/claim"
)

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// sendBatch is how many frames go to the kernel at once.
const sendBatch = 64

// Sender holds the buffers to send frames with. Each goroutine that sends has
// its own.
type Sender struct {
	addr unix.RawSockaddrLinklayer
	msgs [sendBatch]mmsghdr
	iovs [sendBatch]unix.Iovec
}

// NewSender returns a Sender for one goroutine.
func NewSender() *Sender {
	s := &Sender{addr: unix.RawSockaddrLinklayer{Family: unix.AF_PACKET}}
	for i := range s.msgs {
		s.msgs[i].hdr = unix.Msghdr{
			Name: (*byte)(unsafe.Pointer(&s.addr)), Namelen: unix.SizeofSockaddrLinklayer,
			Iov: &s.iovs[i], Iovlen: 1,
		}
	}
	return s
}

// Send sends frames on a port in their order, never waits, and counts what
// could not be sent. It does not keep the frames.
func (s *Sender) Send(p *Port, frames [][]byte) {
	index := p.ifindex.Load()
	if index == 0 {
		p.counters.txDown.Add(uint64(len(frames)))
		return
	}
	s.addr.Ifindex = index
	for len(frames) > 0 {
		n := 0
		for n < len(frames) && n < sendBatch {
			s.iovs[n].Base = unsafe.SliceData(frames[n])
			s.iovs[n].SetLen(len(frames[n]))
			n++
		}
		s.sendSome(p, frames[:n])
		frames = frames[n:]
	}
}

// sendSome sends the first frames of s.iovs. A frame that the kernel refuses
// is skipped; when the queue is full the rest is dropped.
func (s *Sender) sendSome(p *Port, frames [][]byte) {
	for first := 0; first < len(frames); {
		sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(p.tx), uintptr(unsafe.Pointer(&s.msgs[first])),
			uintptr(len(frames)-first), unix.MSG_DONTWAIT, 0, 0)
		left := uint64(len(frames) - first)
		switch errno {
		case 0:
			octets := 0
			for _, f := range frames[first : first+int(sent)] {
				octets += len(f)
			}
			p.counters.txFrames.Add(uint64(sent))
			p.counters.txBytes.Add(uint64(octets))
			first += int(sent)
		case unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS:
			p.counters.txFull.Add(left)
			return
		case unix.ENETDOWN, unix.ENXIO, unix.ENODEV:
			p.counters.txDown.Add(left)
			return
		default:
			p.counters.txError.Add(1)
			first++
		}
	}
}

// openTx opens a socket that receives nothing and sends to any interface, and
// reports whether what it sends carries claim.Mark.
func openTx() (fd int, marked bool, err error) {
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, false, fmt.Errorf("open a packet socket (CAP_NET_RAW is needed): %w", err)
	}
	// Best effort: a burst finds room.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20)
	}
	return fd, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, claim.Mark) == nil, nil
}
