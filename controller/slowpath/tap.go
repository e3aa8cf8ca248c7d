package slowpath

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// place is where a frame enters or leaves the kernel; bridge 0 is the VRF tap.
type place struct{ vrf, bridge uint16 }

// tap is one open tap and the goroutine that reads it.
type tap struct {
	place
	file   *os.File
	conn   syscall.RawConn
	mac    atomic.Pointer[ether.MAC] // as Linux has it; only the VRF tap's is asked for
	reader sync.WaitGroup
	dead   atomic.Bool // the reader ended, since the interface is gone

	advertiser *advertiser // nil = none; of the SVI's goroutine alone, replaced with mu held
	mu         sync.RWMutex
}

// tapName is that of an interface in the VRF's namespace.
func tapName(bridge uint16) string {
	if bridge == 0 {
		return "vrf"
	}
	return "svi" + strconv.Itoa(int(bridge))
}

// bridgeOfTap is the way back; false = not a tap of ours.
func bridgeOfTap(l netlink.Link) (uint16, bool) {
	if l.Type() != "tuntap" {
		return 0, false
	}
	name := l.Attrs().Name
	if name == tapName(0) {
		return 0, true
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(name, "svi"), 10, 16)
	return uint16(n), err == nil && n > 0 && tapName(uint16(n)) == name
}

// openTap opens the persistent tap of that name, making it when it is missing.
func openTap(ns netns.NsHandle, name string) (*os.File, error) {
	fd := -1
	err := inNamespace(ns, func() (err error) {
		// The namespace of a tap is that of the thread that opens the device.
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun (needs the tun module and CAP_NET_ADMIN): %w", err)
		}
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
			if errors.Is(err, unix.EBUSY) {
				return fmt.Errorf("attach to tap %s: another process has it open", name)
			}
			return fmt.Errorf("attach to tap %s: %w", name, err)
		}
		if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
			return fmt.Errorf("make tap %s persistent: %w", name, err)
		}
		return tapSettings(name)
	})
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil // non-blocking: the runtime polls it
}

// startTap reads the tap until stop; lost is called when it went away before.
func (s *Slowpath) startTap(p place, file *os.File, lost func(*tap, error)) (*tap, error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	t := &tap{place: p, file: file, conn: conn}
	t.reader.Go(func() {
		buffer := make([]byte, maxFrame)
		for {
			n, err := file.Read(buffer)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil {
				lost(t, err)
				return
			}
			s.sent(p, buffer[:n])
		}
	})
	return t, nil
}

// stop ends the reader; the tap itself stays.
func (t *tap) stop() {
	t.advertise(nil)
	_ = t.file.Close()
	t.reader.Wait()
}

// maxFrame is more than a tap can have: 65,535 bytes of IP packet.
const maxFrame = 65535 + packet.EthernetLength

// sent gives a frame of the kernel to Inject.
func (s *Slowpath) sent(p place, frame []byte) {
	if len(frame) < packet.EthernetLength || muted(frame) {
		s.counts.muted.Add(1)
		return
	}
	s.inject(Frame{VRF: p.vrf, Bridge: p.bridge, Data: append([]byte(nil), frame...)})
}

func (s *Slowpath) inject(f Frame) {
	s.counts.injected.Add(1)
	if s.cfg.Inject != nil {
		s.cfg.Inject(f)
	}
}

// muted reports whether a frame of the kernel is of no use to tenants, where no
// setting keeps the kernel from sending it: reports of the groups it listens to
// (IGMPv3 to 224.0.0.22, MLDv2 to ff02::16), and ND redirects, by which hosts
// would pass by a gateway that several share.
func muted(frame []byte) bool {
	switch ether.MAC(frame[:6]) {
	case ether.MAC{0x33, 0x33, 0, 0, 0, 0x16}, ether.MAC{0x01, 0, 0x5e, 0, 0, 0x16}:
		return true
	}
	return packet.ICMPv6Type(frame) == packet.ICMPv6Redirect
}

// write gives a frame to the kernel without ever waiting for it. Frames to the
// VRF tap come with our router MAC, or whatever the bridge saw, as destination:
// the kernel takes only those for the tap.
func (t *tap) write(data []byte) error {
	parts := [][]byte{data}
	if mac := t.mac.Load(); mac != nil {
		parts = [][]byte{mac[:], data[len(mac):]}
	}
	var err error
	if lost := t.conn.Write(func(fd uintptr) bool {
		_, err = unix.Writev(int(fd), parts)
		return true // also when the tap would block: the frame is dropped
	}); lost != nil {
		return lost
	}
	return err
}

// solicit tells the SVI's advertiser, if it has one, that a host asks for it.
func (t *tap) solicit(f Frame) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	switch {
	case t.advertiser == nil:
	case f.Far && !t.advertiser.advert.far:
		t.advertiser.ask(askerOf(f.Data))
	default:
		t.advertiser.solicit()
	}
}

// askerOf is who sent a router solicitation.
func askerOf(frame []byte) Asker {
	a := Asker{MAC: ether.MAC(frame[6:12])}
	if ip := netip.AddrFrom16([16]byte(frame[22:38])); ip.IsLinkLocalUnicast() {
		a.IP = ip
	}
	return a
}

// advertise replaces the SVI's advertiser and ends the one it had.
func (t *tap) advertise(a *advertiser) {
	t.mu.Lock()
	old := t.advertiser
	t.advertiser = a
	t.mu.Unlock()
	if old != nil {
		old.stop()
	}
}
