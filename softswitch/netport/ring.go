package netport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxBatch is the largest number of frames a handler gets at once.
const MaxBatch = 64

// Layout of a slot of a TPACKET_V2 ring (linux/if_packet.h): struct
// tpacket2_hdr, in host byte order, then padding, struct virtio_net_hdr, and
// the frame at tp_mac.
const (
	slotStatus  = 0  // u32, owner of the slot and flags
	slotLen     = 4  // u32, length on the wire
	slotSnaplen = 8  // u32, length in the slot
	slotMac     = 12 // u16, offset of the frame
	slotTCI     = 24 // u16
	slotTPID    = 26 // u16

	vnetHdrLen = 10
	// slotOverhead bounds what precedes the frame in a slot.
	slotOverhead = 128
	vlanTagLen   = 4
	ethHdrLen    = 14
)

// ring is a receiving socket bound to one interface.
type ring struct {
	file    *os.File
	conn    syscall.RawConn
	mem     []byte
	slotLen int
	slots   int
	next    int // the slot the kernel fills next
	mtu     int

	fd       int
	batch    [MaxBatch][]byte
	frames   int               // in batch
	held     [MaxBatch]*uint32 // status words of the slots in the batch
	large    []byte            // a frame longer than a slot; made at the first
	segments []byte            // the frames cut from one; made at the first
	ready    func(fd uintptr) bool
	looks    int // at ready, since receive began
	readyErr error
	count    *counters
}

func openRing(l link, bytes int, count *counters) (*ring, error) {
	// Protocol 0: nothing is received before bind.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	r := &ring{fd: fd, mtu: l.mtu, count: count}
	if err := r.setUp(fd, l, bytes); err != nil {
		if r.mem != nil {
			_ = unix.Munmap(r.mem)
		}
		_ = unix.Close(fd)
		return nil, err
	}
	r.file = os.NewFile(uintptr(fd), "packet socket")
	if r.conn, err = r.file.SyscallConn(); err != nil {
		r.close()
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	r.ready = func(fd uintptr) bool {
		r.looks++
		if atomic.LoadUint32(r.status(r.next))&unix.TP_STATUS_USER != 0 {
			return true
		}
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		r.readyErr = err
		return err != nil
	}
	return r, nil
}

// setUp makes fd a promiscuous socket with a mapped ring, bound to the link,
// which receives nothing until [openRings] lets it.
func (r *ring) setUp(fd int, l link, bytes int) error {
	for _, opt := range []struct {
		name        string
		level, code int
		value       int
	}{
		{"PACKET_VERSION", unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2},
		{"PACKET_IGNORE_OUTGOING", unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
		{"PACKET_VNET_HDR", unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1},
		// A frame longer than its slot can be read from the socket too.
		{"PACKET_COPY_THRESH", unix.SOL_PACKET, unix.PACKET_COPY_THRESH, 1},
	} {
		if err := unix.SetsockoptInt(fd, opt.level, opt.code, opt.value); err != nil {
			return fmt.Errorf("set %s: %w", opt.name, err)
		}
	}
	// Best effort: room for long frames.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	if err := r.mapSlots(fd, l.mtu, bytes); err != nil {
		return err
	}
	if err := refuseAll(fd); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: l.index}); err != nil {
		return fmt.Errorf("bind to interface %d: %w", l.index, err)
	}
	promisc := unix.PacketMreq{Ifindex: int32(l.index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &promisc); err != nil {
		return fmt.Errorf("set promiscuous mode: %w", err)
	}
	return nil
}

// mapSlots maps slots that hold a frame of the MTU, a power of two long each.
func (r *ring) mapSlots(fd, mtu, bytes int) error {
	r.slotLen = 2048
	for r.slotLen < mtu+ethHdrLen+2*vlanTagLen+slotOverhead {
		r.slotLen *= 2
	}
	block := max(r.slotLen, 1<<16)
	blocks := max(bytes/block, 2*MaxBatch*r.slotLen/block, 2)
	req := unix.TpacketReq{
		Block_size: uint32(block), Block_nr: uint32(blocks),
		Frame_size: uint32(r.slotLen), Frame_nr: uint32(blocks * block / r.slotLen),
	}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("make a receive ring of %d bytes: %w", blocks*block, err)
	}
	r.slots = int(req.Frame_nr)
	mem, err := unix.Mmap(fd, 0, blocks*block, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the receive ring: %w", err)
	}
	r.mem = mem
	return nil
}

func (r *ring) close() {
	_ = r.file.Close()
	_ = unix.Munmap(r.mem)
}

// interrupt makes receive return os.ErrDeadlineExceeded until resume.
func (r *ring) interrupt() { _ = r.file.SetReadDeadline(time.Unix(1, 0)) }

func (r *ring) resume() { _ = r.file.SetReadDeadline(time.Time{}) }

func (r *ring) status(slot int) *uint32 {
	return (*uint32)(unsafe.Pointer(&r.mem[slot*r.slotLen]))
}

// receive waits for frames and hands one batch to handle. Any error but
// os.ErrDeadlineExceeded ends the use of the ring.
func (r *ring) receive(handle func([][]byte)) error {
	r.readyErr, r.looks = nil, 0
	if err := r.conn.Read(r.ready); err != nil {
		return err
	}
	if r.readyErr != nil {
		if errors.Is(r.readyErr, unix.ENETDOWN) {
			return errors.New("the interface went down")
		}
		return fmt.Errorf("receive: %w", r.readyErr)
	}
	held := 0
	for held < MaxBatch {
		word := r.status(r.next)
		status := atomic.LoadUint32(word)
		if status&unix.TP_STATUS_USER == 0 {
			break
		}
		slot := r.mem[r.next*r.slotLen:][:r.slotLen:r.slotLen]
		r.held[held] = word
		held++
		if r.next++; r.next == r.slots {
			r.next = 0
		}
		if frame := r.frame(slot, status, handle); frame != nil {
			r.batch[r.frames] = frame
			r.frames++
		}
	}
	r.deliver(handle)
	for _, word := range r.held[:held] {
		atomic.StoreUint32(word, unix.TP_STATUS_KERNEL)
	}
	if r.looks == 1 { // it did not wait, and need not the next time
		runtime.Gosched() // else the other rings wait until Go's own 10 ms are over
	}
	return nil
}

// deliver hands over what is in the batch.
func (r *ring) deliver(handle func([][]byte)) {
	if r.frames == 0 {
		return
	}
	octets := 0
	for _, frame := range r.batch[:r.frames] {
		octets += len(frame)
	}
	r.count.rxFrames.Add(uint64(r.frames))
	r.count.rxBytes.Add(uint64(octets))
	handle(r.batch[:r.frames])
	r.frames = 0
}

// frame returns the frame in a slot as it was on the wire, or nil after
// counting why there is none. An unsegmented frame is cut up and delivered,
// after what is in the batch.
func (r *ring) frame(slot []byte, status uint32, handle func([][]byte)) []byte {
	host := binary.NativeEndian
	length, snaplen := host.Uint32(slot[slotLen:]), host.Uint32(slot[slotSnaplen:])
	mac := int(host.Uint16(slot[slotMac:]))
	if mac < vnetHdrLen+vlanTagLen || uint64(mac)+uint64(snaplen) > uint64(len(slot)) {
		r.count.rxMalformed.Add(1)
		return nil
	}
	if length != snaplen { // too long for the slot
		if status&unix.TP_STATUS_COPY == 0 || !r.readLarge(int(length)) {
			r.count.rxTooLong.Add(1)
			return nil
		}
		r.segment(slot, status, r.large[vnetHdrLen:vnetHdrLen+int(length)], r.large[:vnetHdrLen], handle)
		return nil
	}
	vnet, frame := slot[mac-vnetHdrLen:mac], slot[mac:mac+int(snaplen)]
	if vnet[vnetGSOType] != 0 {
		r.segment(slot, status, frame, vnet, handle)
		return nil
	}
	if vnet[vnetFlags]&vnetNeedsChecksum != 0 && !completeChecksum(frame, vnet) {
		r.count.rxMalformed.Add(1)
		return nil
	}
	if tpid, tci, ok := strippedTag(slot, status); ok && len(frame) >= ethHdrLen {
		frame = restoreTag(slot, mac, len(frame), tpid, tci)
	}
	return frame
}

// maxLarge bounds an unsegmented frame.
const maxLarge = 1 << 17

// readLarge reads a frame that did not fit its slot, and its virtio_net_hdr;
// the kernel has queued it at the socket.
func (r *ring) readLarge(length int) bool {
	if r.large == nil {
		r.large = make([]byte, vnetHdrLen+maxLarge)
	}
	n, err := unix.Read(r.fd, r.large)
	return err == nil && n == vnetHdrLen+length
}

// segment cuts an unsegmented frame and delivers the segments, after what is
// in the batch.
func (r *ring) segment(slot []byte, status uint32, frame, vnet []byte, handle func([][]byte)) {
	s, ok := newSegmenter(frame, vnet)
	longest := s.payload + s.size
	if !ok || longest > r.mtu+ethHdrLen+2*vlanTagLen {
		r.count.rxTooLong.Add(1)
		return
	}
	r.deliver(handle)
	if r.segments == nil {
		r.segments = make([]byte, MaxBatch*r.slotLen)
	}
	r.count.rxSegmented.Add(1)
	tpid, tci, tagged := strippedTag(slot, status)
	free := r.segments
	for {
		if r.frames == MaxBatch || len(free) < vlanTagLen+longest {
			r.deliver(handle)
			free = r.segments
		}
		out := s.next(free[vlanTagLen:])
		if out == nil {
			break
		}
		used := vlanTagLen + len(out)
		if tagged {
			out = restoreTag(free, vlanTagLen, len(out), tpid, tci)
		}
		r.batch[r.frames] = out
		r.frames++
		free = free[used:]
	}
	r.deliver(handle)
}

// kernelDrops returns the frames lost since the last call.
func (r *ring) kernelDrops() uint64 {
	var drops uint64
	_ = r.conn.Control(func(fd uintptr) {
		if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			drops = uint64(s.Drops)
		}
	})
	return drops
}

func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
