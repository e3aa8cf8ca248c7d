package bgptest

import (
	"encoding/binary"
	"time"
)

// Family is an address family as messages have it (RFC 4760 section 3).
type Family struct {
	AFI  uint16
	SAFI byte
}

// The families of which the messages of this package are.
var (
	EVPN         = Family{25, 70}
	IPv4Unicast  = Family{1, 1}
	IPv6Unicast  = Family{2, 1}
	RTConstraint = Family{1, 132} // RFC 4684
)

// The capabilities that a session may offer.
const (
	CapMultiprotocol   = 1  // RFC 4760 section 8
	CapRouteRefresh    = 2  // RFC 2918 section 2
	CapExtendedMessage = 6  // RFC 8654 section 3
	CapGracefulRestart = 64 // RFC 4724 section 3
	CapAS4             = 65 // RFC 6793 section 3
)

// AppendCapability appends a capability (RFC 5492 section 4), whose value has at most 255
// bytes.
func AppendCapability(b []byte, code byte, value []byte) []byte {
	return append(append(b, code, byte(len(value))), value...)
}

func (c *Config) holdTime() time.Duration {
	if c.HoldTime == 0 {
		return 90 * time.Second
	}
	return c.HoldTime
}

// families that a session offers.
func (c *Config) families() []Family {
	list := []Family{EVPN}
	if c.Unicast {
		list = append(list, IPv4Unicast, IPv6Unicast)
	}
	if c.Constraint {
		list = append(list, RTConstraint)
	}
	return list
}

// open is the OPEN message of a session.
func (c *Config) open() []byte {
	if c.OpenMessage != nil {
		return c.OpenMessage
	}
	return c.Open(append(c.capabilities(), c.Capabilities...))
}

// capabilities are the families and 4-byte AS numbers, and graceful restart if it is
// wanted.
func (c *Config) capabilities() []byte {
	var b []byte
	for _, f := range c.families() {
		b = AppendCapability(b, CapMultiprotocol, []byte{byte(f.AFI >> 8), byte(f.AFI), 0, f.SAFI})
	}
	b = AppendCapability(b, CapAS4, binary.BigEndian.AppendUint32(nil, c.AS))
	if c.RestartTime > 0 {
		flags := uint16(c.RestartTime / time.Second)
		if c.Restarted {
			flags |= 0x8000
		}
		value := binary.BigEndian.AppendUint16(nil, flags)
		for _, f := range c.families() {
			value = append(value, byte(f.AFI>>8), byte(f.AFI), f.SAFI, 0x80)
		}
		b = AppendCapability(b, CapGracefulRestart, value)
	}
	return b
}

// Open is an OPEN message with encoded capabilities in one optional parameter, in the form
// of RFC 9072 where they need it.
func (c *Config) Open(capabilities []byte) []byte {
	var parameters []byte
	switch n := len(capabilities); {
	case n == 0:
	case n+2 < 255:
		parameters = append([]byte{2, byte(n)}, capabilities...)
	default:
		parameters = append(binary.BigEndian.AppendUint16([]byte{2}, uint16(n)), capabilities...)
	}
	return c.OpenWith(parameters, len(capabilities)+2 >= 255)
}

// OpenWith is an OPEN message with optional parameters as they are, in the form of RFC 9072
// if they are long.
func (c *Config) OpenWith(parameters []byte, long bool) []byte {
	as := uint16(23456)
	if c.AS < 1<<16 {
		as = uint16(c.AS)
	}
	id := [4]byte{192, 0, 2, 1}
	if c.Local.Is4() {
		id = c.Local.As4()
	}
	b := []byte{4}
	b = binary.BigEndian.AppendUint16(b, as)
	b = binary.BigEndian.AppendUint16(b, uint16(c.holdTime()/time.Second))
	b = append(b, id[:]...)
	if long {
		b = binary.BigEndian.AppendUint16(append(b, 255, 255), uint16(len(parameters)))
	} else {
		b = append(b, byte(len(parameters)))
	}
	return Message(Open, append(b, parameters...))
}

// Restart says what the other side's OPEN holds of graceful restart (RFC 4724
// section 3): the R bit, its restart time, and for how many families it has the
// F bit. The time is -1 without the capability.
func (s *Session) Restart() (restarted bool, restart time.Duration, forwarding int) {
	const optionsAt = 10 // behind version, AS, hold time, identifier and length
	for options := s.open[min(optionsAt, len(s.open)):]; len(options) >= 2; {
		size := min(2+int(options[1]), len(options))
		for caps := options[2:size]; len(caps) >= 2; {
			n := min(2+int(caps[1]), len(caps))
			if value := caps[2:n]; caps[0] == 64 && len(value) >= 2 {
				flags := binary.BigEndian.Uint16(value)
				for value = value[2:]; len(value) >= 4; value = value[4:] {
					forwarding += int(value[3] >> 7)
				}
				return flags&0x8000 != 0, time.Duration(flags&0xfff) * time.Second, forwarding
			}
			caps = caps[n:]
		}
		options = options[size:]
	}
	return false, -1, 0
}
