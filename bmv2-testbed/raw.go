package testbed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RawSocket sends and receives whole frames on one device, tags included.
type RawSocket struct {
	file *os.File
	dev  string
}

const ethPAll = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // in network order

// OpenRaw opens a raw socket on a device. It receives what comes in, also for
// other stations, and not what the device sends.
func (n *Namespace) OpenRaw(dev string) (*RawSocket, error) {
	var fd int
	err := n.Do(func() (err error) {
		fd, err = openRaw(n, dev)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("raw socket on %s in %s: %w", dev, n.Name, err)
	}
	return &RawSocket{file: os.NewFile(uintptr(fd), dev), dev: dev}, nil
}

func openRaw(n *Namespace, dev string) (int, error) {
	link, err := n.link.LinkByName(dev)
	if err != nil {
		return 0, err
	}
	// Protocol 0 until it is bound: nothing of other devices gets in.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ethPAll, Ifindex: link.Attrs().Index}),
	)
	if err == nil {
		err = promiscuous(fd, link)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

func promiscuous(fd int, link netlink.Link) error {
	return unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
		&unix.PacketMreq{Ifindex: int32(link.Attrs().Index), Type: unix.PACKET_MR_PROMISC})
}

// Send sends one frame as it is.
func (s *RawSocket) Send(frame []byte) error {
	if _, err := s.file.Write(frame); err != nil {
		return fmt.Errorf("send on %s: %w", s.dev, err)
	}
	return nil
}

// Receive waits for one frame until the deadline (zero = for ever) and puts the
// 802.1Q tag, which the kernel takes out, back into it. The result is valid
// until the next call with the same buffer, which must have room for a tag.
func (s *RawSocket) Receive(buffer []byte, deadline time.Time) ([]byte, error) {
	if err := s.file.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	conn, err := s.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var n, oobn int
	var failed error
	oob := make([]byte, 64)
	err = conn.Read(func(fd uintptr) bool {
		n, oobn, _, _, failed = unix.Recvmsg(int(fd), buffer[:len(buffer)-4], oob, 0)
		return failed != unix.EAGAIN
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	return retag(buffer, n, oob[:oobn]), nil
}

// retag puts a stripped tag back between source address and EtherType.
func retag(buffer []byte, n int, oob []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || n < 12 {
		return buffer[:n]
	}
	for _, m := range messages {
		// struct tpacket_auxdata: status, len, snaplen (32 bits each), mac, net, vlan_tci, vlan_tpid (16 each)
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < 20 {
			continue
		}
		if binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID == 0 {
			continue
		}
		copy(buffer[16:], buffer[12:n])
		binary.BigEndian.PutUint16(buffer[12:], unix.ETH_P_8021Q)
		binary.BigEndian.PutUint16(buffer[14:], binary.NativeEndian.Uint16(m.Data[16:]))
		n += 4
	}
	return buffer[:n]
}

// Close ends the socket; a Receive under way gives an error.
func (s *RawSocket) Close() error { return s.file.Close() }
