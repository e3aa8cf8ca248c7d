package wire

import (
	"encoding/binary"
	"slices"
)

// The codes of the capabilities that mean something here.
const (
	capMultiprotocol   = 1  // RFC 4760 section 8
	capRouteRefresh    = 2  // RFC 2918 section 2
	capExtendedMessage = 6  // RFC 8654 section 3
	capGracefulRestart = 64 // RFC 4724 section 3
	capAS4             = 65 // RFC 6793 section 3
	capEnhancedRefresh = 70 // RFC 7313 section 3.1
	capLongLived       = 71 // RFC 9494 section 3.1
)

// capability takes one. It reports whether it is as it has to be.
func (o *Open) capability(code uint8, v []byte) bool {
	switch code {
	case capMultiprotocol:
		if len(v) != 4 {
			return false
		}
		if f := (Family{binary.BigEndian.Uint16(v), v[3]}); !slices.Contains(o.Families, f) {
			o.Families = append(o.Families, f)
		}
		return true
	case capRouteRefresh:
		return flag(&o.RouteRefresh, v)
	case capExtendedMessage:
		return flag(&o.ExtendedMessage, v)
	case capEnhancedRefresh:
		return flag(&o.EnhancedRefresh, v)
	case capAS4:
		return o.as4(v)
	case capGracefulRestart:
		return o.gracefulRestart(v)
	case capLongLived:
		return o.longLived(v)
	}
	same := func(c Capability) bool { return c.Code == code && slices.Equal(c.Value, v) }
	if !slices.ContainsFunc(o.Unknown, same) {
		o.Unknown = append(o.Unknown, Capability{code, slices.Clone(v)})
	}
	return true
}

// flag takes a capability that has no value.
func flag(to *bool, v []byte) bool {
	*to = *to || len(v) == 0
	return len(v) == 0
}

// as4 takes the first: RFC 6793 knows one.
func (o *Open) as4(v []byte) bool {
	if len(v) != 4 || o.AS4 && binary.BigEndian.Uint32(v) != o.AS {
		return false
	}
	o.AS4, o.AS = true, binary.BigEndian.Uint32(v)
	return true
}

// gracefulRestart takes the last of several (RFC 4724 section 3).
func (o *Open) gracefulRestart(v []byte) bool {
	if len(v) < 2 || len(v)%4 != 2 {
		return false
	}
	flags := binary.BigEndian.Uint16(v)
	g := &GracefulRestart{Restarting: flags&0x8000 != 0, Notification: flags&0x4000 != 0, Time: flags & 0xfff}
	for v = v[2:]; len(v) > 0; v = v[4:] {
		g.Families = append(g.Families, Preserved{Family{binary.BigEndian.Uint16(v), v[2]}, v[3]&0x80 != 0})
	}
	o.GracefulRestart = g
	return true
}

// longLived takes the last of several, as its base capability does.
func (o *Open) longLived(v []byte) bool {
	if len(v)%7 != 0 {
		return false
	}
	list := make([]LongLived, 0, len(v)/7)
	for ; len(v) > 0; v = v[7:] {
		list = append(list, LongLived{
			Family{binary.BigEndian.Uint16(v), v[2]}, v[3]&0x80 != 0, uint24(v[4:]),
		})
	}
	o.LongLived = list
	return true
}

func (o *Open) appendCapabilities(b []byte) []byte {
	for _, f := range o.Families {
		b = binary.BigEndian.AppendUint16(append(b, capMultiprotocol, 4), f.AFI)
		b = append(b, 0, f.SAFI)
	}
	for _, c := range []struct {
		has  bool
		code byte
	}{
		{o.RouteRefresh, capRouteRefresh}, {o.ExtendedMessage, capExtendedMessage},
		{o.EnhancedRefresh, capEnhancedRefresh},
	} {
		if c.has {
			b = append(b, c.code, 0)
		}
	}
	if o.AS4 {
		b = binary.BigEndian.AppendUint32(append(b, capAS4, 4), o.AS)
	}
	if g := o.GracefulRestart; g != nil {
		flags := g.Time&0xfff | bit(g.Restarting, 0x8000) | bit(g.Notification, 0x4000)
		b = binary.BigEndian.AppendUint16(append(b, capGracefulRestart, byte(2+4*len(g.Families))), flags)
		for _, f := range g.Families {
			b = binary.BigEndian.AppendUint16(b, f.AFI)
			b = append(b, f.SAFI, byte(bit(f.Forwarding, 0x80)))
		}
	}
	if len(o.LongLived) > 0 {
		b = append(b, capLongLived, byte(7*len(o.LongLived)))
		for _, f := range o.LongLived {
			b = binary.BigEndian.AppendUint16(b, f.AFI)
			b = append(b, f.SAFI, byte(bit(f.Forwarding, 0x80)))
			b = append(b, byte(f.Time>>16), byte(f.Time>>8), byte(f.Time))
		}
	}
	for _, c := range o.Unknown {
		b = append(append(b, c.Code, byte(len(c.Value))), c.Value...)
	}
	return b
}

// bit is the bit where it is set.
func bit(set bool, b uint16) uint16 {
	if set {
		return b
	}
	return 0
}

// uint24 reads three octets, as labels and VNIs have.
func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }
