package testbed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// JoinTrunk gives each VLAN of a trunk cable a station with an IP stack of its
// own: a tap device in the station's namespace, joined to that VLAN of a raw
// socket. It stands in for the kernel's 802.1Q device, which not every kernel
// has. The taps are named dev; the joining ends with the lab.
func (l *Lab) JoinTrunk(trunk End, dev string, stations map[uint16]*Namespace) error {
	raw, err := trunk.NS.OpenRaw(trunk.Dev)
	if err != nil {
		return err
	}
	j := &junction{raw: raw, taps: map[uint16]*os.File{}}
	l.onClose(j.close)
	for vlan, ns := range stations {
		tap, err := ns.openTap(dev)
		if err != nil {
			return fmt.Errorf("tap of VLAN %d: %w", vlan, err)
		}
		j.taps[vlan] = tap
		if err := ns.Up(dev); err != nil {
			return err
		}
	}
	for vlan := range stations {
		j.running.Go(func() { j.up(vlan) })
	}
	j.running.Go(j.down)
	return nil
}

// openTap makes a tap device. Without offloads the kernel finishes every
// checksum before it hands a frame over.
func (n *Namespace) openTap(dev string) (*os.File, error) {
	var file *os.File
	err := n.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		request, err := unix.NewIfreq(dev)
		if err == nil {
			request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		if err != nil {
			_ = unix.Close(fd)
			return fmt.Errorf("make tap %s in %s: %w", dev, n.Name, err)
		}
		file = os.NewFile(uintptr(fd), dev) // after TUNSETIFF, or it cannot be polled
		return nil
	})
	return file, err
}

// junction joins the VLANs of a raw socket to taps.
type junction struct {
	raw     *RawSocket
	taps    map[uint16]*os.File
	running sync.WaitGroup
}

const maxFrame = 9216

// up carries what a station sends to the trunk, with its tag.
func (j *junction) up(vlan uint16) {
	buffer := make([]byte, maxFrame)
	for {
		n, err := j.taps[vlan].Read(buffer[4:])
		if err != nil {
			return // closed
		}
		if n < 14 {
			continue
		}
		copy(buffer, buffer[4:16])
		binary.BigEndian.PutUint16(buffer[12:], unix.ETH_P_8021Q)
		binary.BigEndian.PutUint16(buffer[14:], vlan)
		_ = j.raw.Send(buffer[:n+4]) // a cable that is down loses frames
	}
}

// down carries what comes by the trunk to the tag's station. Untagged frames
// and other VLANs have no station and are lost, as with a real trunk.
func (j *junction) down() {
	buffer := make([]byte, maxFrame)
	for {
		frame, err := j.raw.Receive(buffer, time.Time{})
		if errors.Is(err, unix.ENETDOWN) {
			continue // said once, when the cable goes down
		}
		if err != nil {
			return // closed
		}
		if len(frame) < 18 || binary.BigEndian.Uint16(frame[12:]) != unix.ETH_P_8021Q {
			continue
		}
		tap := j.taps[binary.BigEndian.Uint16(frame[14:])&0xfff]
		if tap == nil {
			continue
		}
		copy(frame[4:], frame[:12])
		_, _ = tap.Write(frame[4:])
	}
}

func (j *junction) close() error {
	errs := []error{j.raw.Close()}
	for _, tap := range j.taps {
		errs = append(errs, tap.Close())
	}
	j.running.Wait()
	return errors.Join(errs...)
}
