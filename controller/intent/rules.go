package intent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/ether"
)

// Limits of fields.
const (
	MinID, MaxID = 4, 63
	MaxVLAN      = 4094
	MaxVNI       = 1<<24 - 1
	MaxIndex     = 4095
)

// CheckID checks an object's id: 4 to 63 characters (the OPI API), lower-case
// letters, digits and hyphens, the first a letter and the last no hyphen
// (AIP-122, which takes it from RFC 1034).
func CheckID(id string) error {
	if len(id) < MinID || len(id) > MaxID {
		return fmt.Errorf("%q has %d characters: want %d to %d", clip(id), len(id), MinID, MaxID)
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z':
		case (c >= '0' && c <= '9' || c == '-') && i > 0:
		default:
			return fmt.Errorf("%q: want lower-case letters, digits and hyphens, a letter first", id)
		}
	}
	if id[len(id)-1] == '-' {
		return fmt.Errorf("%q ends with a hyphen: want a letter or digit last", id)
	}
	return nil
}

// clip keeps messages readable whatever a client sends.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

// CheckVLAN checks a VLAN id (IEEE 802.1Q: 0 and 4095 are reserved).
func CheckVLAN(vlan uint32) error {
	if vlan < 1 || vlan > MaxVLAN {
		return fmt.Errorf("%d is not a VLAN id: want 1 to %d", vlan, MaxVLAN)
	}
	return nil
}

// CheckVNI checks a VNI that is given: 24 bits (RFC 7348), 0 left out.
func CheckVNI(vni uint32) error {
	if vni < 1 || vni > MaxVNI {
		return fmt.Errorf("%d is not a VNI: want 1 to %d", vni, MaxVNI)
	}
	return nil
}

// CheckMAC checks the address of a station.
func CheckMAC(m ether.MAC) error {
	switch {
	case m.IsZero():
		return errors.New("00:00:00:00:00:00 is no station's address")
	case m.IsMulticast():
		return fmt.Errorf("%v is a multicast address: want a unicast one", m)
	}
	return nil
}

// CheckVTEP checks a VTEP's address with its length; host bits are kept.
func CheckVTEP(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return errors.New("not an address with a length, such as 10.0.0.2/32")
	case a.Is4In6():
		return fmt.Errorf("%v is an IPv4-mapped IPv6 address: give it as IPv4", a)
	case p.Bits() == 0:
		return fmt.Errorf("%v has length 0: want 1 to %d", p, a.BitLen())
	case a.IsUnspecified(), a.IsMulticast(), a.IsLoopback(), a.IsLinkLocalUnicast(),
		a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%v cannot be a VTEP: want a unicast address that other VTEPs can reach", a)
	}
	return nil
}

// Validate checks the bridge alone.
func (b LogicalBridge) Validate() error {
	var v violations
	v.check("id", CheckID(b.ID))
	v.check("vlan_id", CheckVLAN(uint32(b.VLAN)))
	if b.VNI != 0 {
		v.check("vni", CheckVNI(b.VNI))
	}
	if b.VTEP != (netip.Prefix{}) {
		v.check("vtep_ip_prefix", CheckVTEP(b.VTEP))
	}
	return v.invalid(b.Ref())
}

// admit checks the bridge against all others and gives it its index.
func (b LogicalBridge) admit(tx *Tx, old *LogicalBridge) (LogicalBridge, error) {
	var v violations
	taken := make([]bool, MaxIndex+1) // by index
	for _, o := range tx.bridges.rows {
		if o.ID == b.ID {
			continue
		}
		taken[o.Index] = true
		if o.VLAN == b.VLAN {
			v = append(v, Violation{"vlan_id", fmt.Sprintf("%d belongs to %v: want one that is free", b.VLAN, o.Ref()), o.Ref()})
		}
		if o.VNI == b.VNI && b.VNI != 0 {
			v = append(v, Violation{"vni", fmt.Sprintf("%d belongs to %v: want one that is free", b.VNI, o.Ref()), o.Ref()})
		}
	}
	if v != nil {
		return b, &Error{Reason: Conflict, Object: b.Ref(), Violations: v}
	}
	if old != nil {
		b.Index = old.Index
		if b.Index < 1 || b.Index > MaxIndex || taken[b.Index] {
			return b, &Error{Reason: Conflict, Object: b.Ref(), Violations: []Violation{{Problem: fmt.Sprintf("index %d is not one of its own", b.Index)}}}
		}
		return b, nil
	}
	i := slices.Index(taken[1:], false)
	if i < 0 {
		return b, &Error{Exhausted, b.Ref(), []Violation{{Problem: fmt.Sprintf("all %d bridges are in use: delete one first", MaxIndex)}}}
	}
	b.Index = uint16(i + 1)
	return b, nil
}

// release checks that nothing refers to the bridge any more.
func (b LogicalBridge) release(tx *Tx) error {
	var v violations
	for _, p := range tx.ports.rows {
		if slices.Contains(p.Bridges, b.ID) {
			v = append(v, Violation{"", fmt.Sprintf("%v uses it: delete or change that first", p.Ref()), p.Ref()})
		}
	}
	if v != nil {
		return &Error{Reason: Conflict, Object: b.Ref(), Violations: v}
	}
	return nil
}

func (b LogicalBridge) clone() LogicalBridge { return b }

// Validate checks the port alone.
func (p BridgePort) Validate() error {
	var v violations
	v.check("id", CheckID(p.ID))
	v.check("mac_address", CheckMAC(p.MAC))
	switch {
	case p.Type != Access && p.Type != Trunk:
		v.add("ptype", "not set: want access or trunk")
	case p.Type == Access && len(p.Bridges) != 1:
		v.add("logical_bridges", fmt.Sprintf("%d given: an access port has exactly one", len(p.Bridges)))
	}
	seen := make(map[string]bool, len(p.Bridges))
	for i, id := range p.Bridges {
		field := fmt.Sprintf("logical_bridges[%d]", i)
		v.check(field, CheckID(id))
		if seen[id] {
			v.add(field, fmt.Sprintf("%q is there twice", clip(id)))
		}
		seen[id] = true
	}
	return v.invalid(p.Ref())
}

// admit checks that the port's bridges exist.
func (p BridgePort) admit(tx *Tx, _ *BridgePort) (BridgePort, error) {
	var v violations
	for i, id := range p.Bridges {
		if _, ok := tx.bridges.find(id); !ok {
			b := Ref{KindLogicalBridge, id}
			v = append(v, Violation{fmt.Sprintf("logical_bridges[%d]", i), fmt.Sprintf("there is no %v: create it first", b), b})
		}
	}
	if v != nil {
		return p, &Error{Reason: NotFound, Object: p.Ref(), Violations: v}
	}
	return p, nil
}

// release: nothing refers to a port.
func (p BridgePort) release(*Tx) error { return nil }

func (p BridgePort) clone() BridgePort {
	p.Bridges = slices.Clone(p.Bridges)
	return p
}
