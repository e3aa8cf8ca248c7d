package testbed

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/p4evpn/p4evpn/packet/packettest"
)

// dadPatience is how long a host waits for somebody who has an address (RFC 4862 section
// 5.1, RFC 5227 section 1.1: seconds).
const dadPatience = time.Second

// finds sends the probes of duplicate address detection (RFC 5227 section 2.1, RFC 4862
// section 5.4) as of a host that is new, and checks whether somebody answers that the
// address is taken.
func (h *Host) finds(a netip.Addr, taken bool) error {
	s, err := h.NS.OpenRaw(h.Dev)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	newcomer := h.MAC
	newcomer[1] = 0x77
	ask := packettest.DADSolicitation(newcomer, a)
	if a.Is4() {
		ask = packettest.ARP(packettest.Request, newcomer, netip.IPv4Unspecified(), [6]byte{}, a)
	}
	if err := s.Send(ask); err != nil {
		return err
	}
	buffer := make([]byte, maxFrame)
	for deadline := time.Now().Add(dadPatience); ; {
		frame, err := s.Receive(buffer, deadline)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if taken {
				return fmt.Errorf("nobody tells %s that %s is taken", h.Name, a)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if !says(frame, a) {
			continue
		}
		if !taken {
			return fmt.Errorf("%s is told that %s is taken: %x", h.Name, a, frame)
		}
		return nil
	}
}

// says reports whether a frame is ARP or a neighbour advertisement by which somebody has
// an address.
func says(frame []byte, a netip.Addr) bool {
	if a.Is4() {
		return len(frame) >= 42 && bytes.Equal(frame[12:14], []byte{8, 6}) && bytes.Equal(frame[28:32], a.AsSlice())
	}
	return len(frame) >= 78 && bytes.Equal(frame[12:14], []byte{0x86, 0xdd}) && frame[20] == 58 && frame[54] == 136 &&
		bytes.Equal(frame[62:78], a.AsSlice())
}
