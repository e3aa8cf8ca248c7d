package intent

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// Limits of fields.
const (
	minID, maxID = 4, 63
	maxVLAN      = 4094
	maxVNI       = 1<<24 - 1
	maxIndex     = 4095
	MaxGateways  = 64    // addresses of one SVI
	maxRemoteAS  = 65535 // the OPI API's, of a tenant's BGP speaker

	maxRouteTargets = 32 // of one instance and direction
	maxStaticIPs    = 64 // addresses of one static MAC
	maxPassword     = 80 // bytes, TCP MD5
)

// CheckID checks an object's id: 4 to 63 characters (the OPI API), lower-case
// letters, digits and hyphens, the first a letter and the last no hyphen
// (AIP-122, which takes it from RFC 1034), or a UUID (RFC 9562), which may begin
// with a digit.
func CheckID(id string) error {
	if len(id) < minID || len(id) > maxID {
		return fmt.Errorf("%q has %d characters: want %d to %d", clip(id), len(id), minID, maxID)
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z':
		case (c >= '0' && c <= '9' || c == '-') && (i > 0 || uuid.MatchString(id)):
		default:
			return fmt.Errorf("%q: want lower-case letters, digits and hyphens, a letter first", id)
		}
	}
	if id[len(id)-1] == '-' {
		return fmt.Errorf("%q ends with a hyphen: want a letter or digit last", id)
	}
	return nil
}

// BridgePortID is the id of a bridge port on a port of the target with a name: that name
// where it can be an id, else one that is made of it, such as port-vm1.
func BridgePortID(port string) string {
	if CheckID(port) == nil {
		return port
	}
	if id := "port-" + port; CheckID(id) == nil {
		return id
	}
	sum := sha256.Sum256([]byte(port))
	return "port-" + hex.EncodeToString(sum[:8])
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// clip keeps messages readable whatever a client sends.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

// CheckVLAN checks a VLAN id (IEEE 802.1Q: 0 and 4095 are reserved).
func CheckVLAN(vlan uint32) error {
	if vlan < 1 || vlan > maxVLAN {
		return fmt.Errorf("%d is not a VLAN id: want 1 to %d", vlan, maxVLAN)
	}
	return nil
}

// CheckVNI checks a VNI that is given: 24 bits (RFC 7348), 0 left out.
func CheckVNI(vni uint32) error {
	if vni < 1 || vni > maxVNI {
		return fmt.Errorf("%d is not a VNI: want 1 to %d", vni, maxVNI)
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

// checkAddress checks what holds for every address with a length; host bits are
// kept. Packets are routed to each, and so it is not link-local as those of hosts
// may be.
func checkAddress(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return errors.New("not an address with a length, such as 10.0.0.2/32")
	case a.Is4In6():
		return fmt.Errorf("%v is an IPv4-mapped IPv6 address: give it as IPv4", a)
	case p.Bits() == 0:
		return fmt.Errorf("%v has length 0: want 1 to %d", p, a.BitLen())
	case !packet.IsHost(a), a.IsLinkLocalUnicast():
		return fmt.Errorf("%v cannot be used here: want a unicast address that can be routed to", a)
	}
	return nil
}

// CheckVTEP checks a VTEP's address with its length; host bits are kept.
func CheckVTEP(p netip.Prefix) error { return checkAddress(p) }

// CheckLoopback checks a VRF's loopback: an address with a length.
func CheckLoopback(p netip.Prefix) error { return checkAddress(p) }

// CheckGateway checks a gateway's address with the length of its subnet. The
// first address of a subnet is the subnet's own (in IPv6 every router's, RFC 4291
// section 2.6.1) and the last of an IPv4 one its broadcast address, unless the
// subnet is a point-to-point link (RFC 3021, RFC 6164) or a single address.
func CheckGateway(p netip.Prefix) error {
	if err := checkAddress(p); err != nil {
		return err
	}
	a := p.Addr()
	if a.BitLen()-p.Bits() < 2 {
		return nil
	}
	if a == p.Masked().Addr() {
		return fmt.Errorf("%v is the address of the subnet itself: want one in it", p)
	}
	if a.Is4() && !p.Contains(a.Next()) {
		return fmt.Errorf("%v is the broadcast address of its subnet: want another in it", p)
	}
	return nil
}

func (b LogicalBridge) Check() error {
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
	taken := make([]bool, maxIndex+1) // by index
	for _, o := range tx.bridges.rows {
		if o.ID == b.ID {
			continue
		}
		taken[o.Index] = true
		if o.VLAN == b.VLAN {
			v.taken("vlan_id", b.VLAN, o.Ref())
		}
	}
	v.vni(tx, b.VNI, b.Ref())
	if err := v.conflict(b.Ref()); err != nil {
		return b, err
	}
	if old != nil {
		b.Index = old.Index
		return b, keepIndex(b.Ref(), b.Index, taken)
	}
	var err error
	b.Index, err = freeIndex(b.Ref(), taken)
	return b, err
}

// vni checks that no other bridge or VRF has a VNI.
func (v *violations) vni(tx *Tx, vni uint32, own Ref) {
	if vni == 0 {
		return
	}
	for _, o := range tx.bridges.rows {
		if o.VNI == vni && o.Ref() != own {
			v.taken("vni", vni, o.Ref())
		}
	}
	for _, o := range tx.vrfs.rows {
		if o.VNI == vni && o.Ref() != own {
			v.taken("vni", vni, o.Ref())
		}
	}
}

// freeIndex gives the lowest index that no other object of the kind has.
func freeIndex(r Ref, taken []bool) (uint16, error) {
	i := slices.Index(taken[1:], false)
	if i < 0 {
		return 0, &Error{Exhausted, r, []Violation{{Problem: fmt.Sprintf("all %d %ss are in use: delete one first", maxIndex,
			r.Kind)}}}
	}
	return uint16(i + 1), nil
}

// keepIndex checks an index that was given before.
func keepIndex(r Ref, index uint16, taken []bool) error {
	if index < 1 || index > maxIndex || taken[index] {
		return &Error{Conflict, r, []Violation{{Problem: fmt.Sprintf("index %d is not one of its own", index)}}}
	}
	return nil
}

// release checks that nothing refers to the bridge any more.
func (b LogicalBridge) release(tx *Tx) error {
	var v violations
	for _, p := range tx.ports.rows {
		if slices.Contains(p.Bridges, b.ID) {
			v.inUse(p.Ref())
		}
	}
	for _, s := range tx.svis.rows {
		if s.Bridge == b.ID {
			v.inUse(s.Ref())
		}
	}
	for _, s := range tx.statics.rows {
		if s.Bridge == b.ID {
			v.inUse(s.Ref())
		}
	}
	v.instance(tx, b.Ref())
	return v.conflict(b.Ref())
}

func (b LogicalBridge) clone() LogicalBridge { return b }

func (p BridgePort) Check() error {
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

// admit checks that the port's bridges exist and that it goes on carrying those of
// its static MACs, and gives it its serial.
func (p BridgePort) admit(tx *Tx, old *BridgePort) (BridgePort, error) {
	if old != nil {
		p.Serial = old.Serial
	} else {
		p.Serial = 1
		for _, o := range tx.ports.rows {
			p.Serial = max(p.Serial, o.Serial+1)
		}
	}
	var v violations
	for i, id := range p.Bridges {
		if _, ok := tx.bridges.find(id); !ok {
			v.missing(fmt.Sprintf("logical_bridges[%d]", i), Ref{KindLogicalBridge, id})
		}
	}
	if v != nil {
		return p, v.notFound(p.Ref())
	}
	for _, s := range tx.statics.rows {
		if s.Port == p.ID && !p.carries(s.Bridge) {
			v = append(v, Violation{"logical_bridges", fmt.Sprintf("%v is on this port in %v: delete or move that first",
				s.Ref(), Ref{KindLogicalBridge, s.Bridge}), s.Ref()})
		}
	}
	return p, v.conflict(p.Ref())
}

// release checks that no static MAC is on the port any more.
func (p BridgePort) release(tx *Tx) error {
	var v violations
	for _, s := range tx.statics.rows {
		if s.Port == p.ID {
			v.inUse(s.Ref())
		}
	}
	return v.conflict(p.Ref())
}

func (p BridgePort) clone() BridgePort {
	p.Bridges = slices.Clone(p.Bridges)
	return p
}
