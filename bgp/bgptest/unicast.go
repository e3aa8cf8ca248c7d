package bgptest

import (
	"encoding/binary"
	"net/netip"
)

// UnicastAttributes are what an UPDATE says of all its unicast prefixes.
type UnicastAttributes struct {
	NextHop   netip.Addr
	ASPath    []uint32
	Origin    byte
	MED       uint32 // left out if 0
	LocalPref uint32 // left out if 0
}

// UnicastUpdate is a whole UPDATE message that announces prefixes of one IP
// version: IPv4 as RFC 4271 has it, IPv6 as RFC 2545.
func UnicastUpdate(a UnicastAttributes, prefixes ...netip.Prefix) []byte {
	b := attribute(nil, 0x40, 1, []byte{a.Origin})
	path := []byte{2, byte(len(a.ASPath))}
	for _, as := range a.ASPath {
		path = binary.BigEndian.AppendUint32(path, as)
	}
	if len(a.ASPath) == 0 {
		path = nil
	}
	b = attribute(b, 0x40, 2, path)
	nlri := unicastNLRI(prefixes)
	if a.NextHop.Is4() {
		b = attribute(b, 0x40, 3, a.NextHop.AsSlice())
	} else {
		reach := append([]byte{0, 2, 1, 16}, a.NextHop.AsSlice()...)
		b = attribute(b, 0x80, 14, append(append(reach, 0), nlri...))
		nlri = nil
	}
	if a.MED > 0 {
		b = attribute(b, 0x80, 4, binary.BigEndian.AppendUint32(nil, a.MED))
	}
	if a.LocalPref > 0 {
		b = attribute(b, 0x40, 5, binary.BigEndian.AppendUint32(nil, a.LocalPref))
	}
	body := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(b)))
	return Message(UpdateType, append(append(body, b...), nlri...))
}

// UnicastWithdraw is a whole UPDATE message that withdraws prefixes of one IP
// version.
func UnicastWithdraw(prefixes ...netip.Prefix) []byte {
	nlri := unicastNLRI(prefixes)
	if prefixes[0].Addr().Is6() {
		return updateMessage(attribute(nil, 0x80, 15, append([]byte{0, 2, 1}, nlri...)))
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(len(nlri)))
	return Message(UpdateType, append(append(b, nlri...), 0, 0))
}

// IPv4EndOfRIB and IPv6EndOfRIB are the markers of RFC 4724 section 2.
func IPv4EndOfRIB() []byte { return Message(UpdateType, make([]byte, 4)) }

// IPv6EndOfRIB see IPv4EndOfRIB.
func IPv6EndOfRIB() []byte { return updateMessage(attribute(nil, 0x80, 15, []byte{0, 2, 1})) }

func unicastNLRI(prefixes []netip.Prefix) []byte {
	var b []byte
	for _, p := range prefixes {
		b = append(append(b, byte(p.Bits())), p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	}
	return b
}
