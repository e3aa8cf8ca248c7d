package api

import (
	"cmp"
	"net/netip"
	"slices"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	netpb "github.com/opiproject/opi-api/network/opinetcommon/v1alpha1/gen/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// model is what a gateway should hold, by collection and id: written anew from
// the rules, to compare with.
type model map[string]map[string]proto.Message

func (m model) get(k modelKind, id string) proto.Message { return m[k.collection][id] }

func (m model) set(k modelKind, id string, o proto.Message) {
	if m[k.collection] == nil {
		m[k.collection] = map[string]proto.Message{}
	}
	m[k.collection][id] = o
}

// refersTo reports whether an object has the name in its spec.
func (m model) refersTo(name string) bool {
	for _, o := range m["bridgePorts"] {
		if slices.Contains(o.(*pb.BridgePort).Spec.LogicalBridges, name) {
			return true
		}
	}
	for _, o := range m["svis"] {
		if s := o.(*pb.Svi).Spec; s.Vrf == name || s.LogicalBridge == name {
			return true
		}
	}
	return false
}

func (m model) bridge(name string) bool { return m["logicalBridges"][lastPart(name)] != nil }

func lastPart(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			return name[i+1:]
		}
	}
	return name
}

// vniTaken reports whether another object has a VNI.
func (m model) vniTaken(own string, vni *uint32) bool {
	if vni == nil {
		return false
	}
	for _, o := range m["logicalBridges"] {
		if b := o.(*pb.LogicalBridge); b.Name != own && b.Spec.Vni != nil && *b.Spec.Vni == *vni {
			return true
		}
	}
	for _, o := range m["vrfs"] {
		if v := o.(*pb.Vrf); v.Name != own && v.Spec.Vni != nil && *v.Spec.Vni == *vni {
			return true
		}
	}
	return false
}

// modelKind is one kind of objects: how to make one, right or wrong, and the rules.
type modelKind struct {
	naming
	title  string
	fields []string
	object func(*choices) proto.Message
	valid  func(proto.Message) bool
	// conflict gives the code that other objects are the reason for.
	conflict func(model, proto.Message) codes.Code
}

var modelKinds = []modelKind{
	{bridgeNaming, "LogicalBridge", []string{"vlan_id", "vni", "vtep_ip_prefix"}, someBridge, validBridge, bridgeConflict},
	{portNaming, "BridgePort", []string{"mac_address", "ptype", "logical_bridges"}, somePort, validPort, portConflict},
	{vrfNaming, "Vrf", []string{"vni", "loopback_ip_prefix", "vtep_ip_prefix"}, someVRF, validVRF, vrfConflict},
	{sviNaming, "Svi", []string{"vrf", "logical_bridge", "mac_address", "gw_ip_prefix", "enable_bgp", "remote_as"}, someSVI, validSVI, sviConflict},
}

func (k modelKind) id(c *choices) string { return mostly(c, []string{"aaaa", "bbbb", "cccc"}, "Eeee") }

func (k modelKind) masks() [][]string {
	all := [][]string{nil, {"*"}, {"spec"}, {"status"}, {"spec.colour"}, {"name", "status.oper_status"}}
	for i, f := range k.fields {
		all = append(all, []string{"spec." + f}, []string{"spec." + f, "spec." + k.fields[(i+1)%len(k.fields)]},
			[]string{"spec." + f, "spec.colour"})
	}
	return all
}

// method finds an RPC of the kind by its verb.
func (k modelKind) method(verb string) protoreflect.MethodDescriptor {
	for _, s := range opiServices() {
		for _, name := range []string{verb + k.title, verb + k.title + "s"} {
			if m := s.Methods().ByName(protoreflect.Name(name)); m != nil {
				return m
			}
		}
	}
	panic("no " + verb + " of " + k.title)
}

// judge gives the code that creating an object, or changing one to it, ends with.
func (k modelKind) judge(m model, o proto.Message) codes.Code {
	if !k.valid(o) {
		return codes.InvalidArgument
	}
	return k.conflict(m, o)
}

// equal reports whether two objects ask for the same, in whatever order.
func (k modelKind) equal(a, b proto.Message) bool { return proto.Equal(sorted(a), sorted(b)) }

func sorted(m proto.Message) proto.Message {
	m = proto.CloneOf(m)
	switch m := m.(type) {
	case *pb.BridgePort:
		slices.Sort(m.Spec.GetLogicalBridges())
	case *pb.Svi:
		slices.SortFunc(m.Spec.GetGwIpPrefix(), func(a, b *netpb.IPPrefix) int {
			return cmp.Or(addressOf(a).Compare(addressOf(b)), cmp.Compare(a.GetLen(), b.GetLen()))
		})
	}
	return m
}

// named gives a copy with the name.
func named(m proto.Message, name string) proto.Message {
	m = proto.CloneOf(m)
	r := m.ProtoReflect()
	r.Set(r.Descriptor().Fields().ByName("name"), protoreflect.ValueOfString(name))
	return m
}

// patched applies an update by its mask; nil takes every field that is set.
func patched(old, sent proto.Message, paths []string) proto.Message {
	old = proto.CloneOf(old)
	spec := old.ProtoReflect().Descriptor().Fields().ByName("spec")
	to, from := old.ProtoReflect(), sent.ProtoReflect()
	if paths == nil {
		mergeSet(to.Mutable(spec).Message(), from.Get(spec).Message())
	}
	for _, p := range paths {
		if p == "*" || p == "spec" {
			if to.Clear(spec); from.Has(spec) {
				to.Set(spec, from.Get(spec))
			}
			continue
		}
		f := spec.Message().Fields().ByName(protoreflect.Name(p[min(len("spec."), len(p)):]))
		if f == nil || p[:len("spec.")] != "spec." {
			continue // the name or the status
		}
		if v := from.Get(spec).Message(); v.Has(f) {
			to.Mutable(spec).Message().Set(f, v.Get(f))
		} else {
			to.Mutable(spec).Message().Clear(f)
		}
	}
	return proto.CloneOf(old)
}

func mergeSet(to, from protoreflect.Message) {
	from.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() != nil && !f.IsList() && to.Has(f) {
			mergeSet(to.Mutable(f).Message(), v.Message())
		} else {
			to.Set(f, v)
		}
		return true
	})
}

// Values: few, so that they meet, and now and then a wrong one.

// mostly picks a right value, and a wrong one once in a while.
func mostly[T any](c *choices, right []T, wrong ...T) T {
	if c.below(24) == 0 {
		return pick(c, wrong...)
	}
	return pick(c, right...)
}

func someVNI(c *choices) *uint32 {
	return mostly(c, []*uint32{nil, proto.Uint32(100), proto.Uint32(200), proto.Uint32(300), proto.Uint32(400),
		proto.Uint32(500), proto.Uint32(600)},
		proto.Uint32(0), proto.Uint32(1<<24))
}

func somePrefix(c *choices, also ...*netpb.IPPrefix) *netpb.IPPrefix {
	return mostly(c, append(also, v4(10, 0, 0, 1, 32), v4(10, 1, 0, 1, 24), v6([]byte{0: 0x20, 1: 1, 15: 1}, 64)),
		v4(10, 2, 0, 1, 33), v4(224, 0, 0, 1, 32), &netpb.IPPrefix{}, nil)
}

func someMAC(c *choices) []byte {
	return mostly(c, [][]byte{stationMAC, {2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 3}}, nil, make([]byte, 6), []byte{1, 2, 3},
		[]byte{1, 0, 0, 0, 0, 1})
}

func someBridge(c *choices) proto.Message {
	if c.below(24) == 0 {
		return &pb.LogicalBridge{}
	}
	return &pb.LogicalBridge{Spec: &pb.LogicalBridgeSpec{VlanId: mostly(c, []uint32{10, 20, 30, 40, 50, 60}, 0, 4095,
		1<<16), Vni: someVNI(c), VtepIpPrefix: somePrefix(c, nil)}}
}

func somePort(c *choices) proto.Message {
	one := mostly(c, []string{"logicalBridges/aaaa", "logicalBridges/bbbb", "logicalBridges/cccc"}, "vrfs/aaaa")
	spec := &pb.BridgePortSpec{MacAddress: someMAC(c), Ptype: pb.BridgePortType_BRIDGE_PORT_TYPE_ACCESS,
		LogicalBridges: []string{one}}
	if c.below(2) == 0 {
		spec.Ptype = mostly(c, []pb.BridgePortType{pb.BridgePortType_BRIDGE_PORT_TYPE_TRUNK}, 0, 1, 3)
		spec.LogicalBridges = mostly(c, [][]string{nil, {one}, {"logicalBridges/aaaa", "logicalBridges/cccc"},
			{"logicalBridges/cccc", "logicalBridges/aaaa"}},
			[]string{"logicalBridges/aaaa", "logicalBridges/aaaa"})
	}
	return &pb.BridgePort{Spec: spec}
}

func someVRF(c *choices) proto.Message {
	return &pb.Vrf{Spec: &pb.VrfSpec{Vni: someVNI(c), LoopbackIpPrefix: somePrefix(c), VtepIpPrefix: somePrefix(c, nil)}}
}

func someSVI(c *choices) proto.Message {
	two, three := []*netpb.IPPrefix{v4(10, 3, 0, 1, 24),
		v6([]byte{0: 0x20, 1: 2, 15: 1}, 64)}, []*netpb.IPPrefix{v4(10, 4, 0, 1, 24)}
	spec := &pb.SviSpec{
		Vrf:           mostly(c, []string{"vrfs/aaaa", "vrfs/bbbb"}, "", "aaaa"),
		LogicalBridge: mostly(c, []string{"logicalBridges/aaaa", "logicalBridges/bbbb", "logicalBridges/cccc"}, "vrfs/aaaa"),
		MacAddress:    someMAC(c),
		GwIpPrefix: mostly(c, [][]*netpb.IPPrefix{{v4(10, 1, 0, 1, 24)}, {v4(10, 2, 0, 1, 24)}, two, {two[1], two[0]}, three},
			nil, []*netpb.IPPrefix{v4(10, 2, 0, 1, 16), v4(10, 2, 3, 1, 24)}, []*netpb.IPPrefix{v4(10, 2, 0, 0, 24)}),
	}
	if c.below(3) == 0 {
		spec.EnableBgp, spec.RemoteAs = true, mostly(c, []uint32{65000}, 0, 65536)
	}
	return &pb.Svi{Spec: spec}
}

// Rules, each as simply as it can be said.

func addressOf(p *netpb.IPPrefix) netip.Addr {
	switch a := p.GetAddr().GetV4OrV6().(type) {
	case *netpb.IPAddress_V4Addr:
		return netip.AddrFrom4([4]byte{byte(a.V4Addr >> 24), byte(a.V4Addr >> 16), byte(a.V4Addr >> 8), byte(a.V4Addr)})
	case *netpb.IPAddress_V6Addr:
		a6, _ := netip.AddrFromSlice(a.V6Addr)
		return a6
	}
	return netip.Addr{}
}

func validPrefix(p *netpb.IPPrefix) bool {
	a := addressOf(p)
	return a.IsGlobalUnicast() && p.Len >= 1 && int(p.Len) <= a.BitLen() && a.Is4() == (p.Addr.Af == netpb.IpAf_IP_AF_INET)
}

func subnet(p *netpb.IPPrefix) netip.Prefix { return netip.PrefixFrom(addressOf(p), int(p.Len)) }

func validMAC(b []byte) bool { return len(b) == 6 && b[0]&1 == 0 && !slices.Equal(b, make([]byte, 6)) }

func validVNI(vni *uint32) bool { return vni == nil || *vni >= 1 && *vni < 1<<24 }

func validBridge(m proto.Message) bool {
	s := m.(*pb.LogicalBridge).Spec
	return s != nil && s.VlanId >= 1 && s.VlanId <= 4094 && validVNI(s.Vni) &&
		(s.VtepIpPrefix == nil || validPrefix(s.VtepIpPrefix))
}

func bridgeConflict(m model, o proto.Message) codes.Code {
	b := o.(*pb.LogicalBridge)
	for _, other := range m["logicalBridges"] {
		if x := other.(*pb.LogicalBridge); x.Name != b.Name && x.Spec.VlanId == b.Spec.VlanId {
			return codes.FailedPrecondition
		}
	}
	if m.vniTaken(b.Name, b.Spec.Vni) {
		return codes.FailedPrecondition
	}
	return codes.OK
}

func validPort(m proto.Message) bool {
	s := m.(*pb.BridgePort).Spec
	names := slices.Clone(s.GetLogicalBridges())
	slices.Sort(names)
	return s != nil && validMAC(s.MacAddress) && (s.Ptype == 1 && len(names) == 1 || s.Ptype == 2) &&
		len(slices.Compact(slices.Clone(names))) == len(names) && !slices.Contains(names, "vrfs/aaaa")
}

func portConflict(m model, o proto.Message) codes.Code {
	for _, name := range o.(*pb.BridgePort).Spec.GetLogicalBridges() {
		if !m.bridge(name) {
			return codes.NotFound
		}
	}
	return codes.OK
}

func validVRF(m proto.Message) bool {
	s := m.(*pb.Vrf).Spec
	return s != nil && validVNI(s.Vni) && validPrefix(s.LoopbackIpPrefix) &&
		(s.VtepIpPrefix == nil || validPrefix(s.VtepIpPrefix))
}

func vrfConflict(m model, o proto.Message) codes.Code {
	v := o.(*pb.Vrf)
	if m.vniTaken(v.Name, v.Spec.Vni) {
		return codes.FailedPrecondition
	}
	return codes.OK
}

func validSVI(m proto.Message) bool {
	s := m.(*pb.Svi).Spec
	if s == nil || len(s.Vrf) != len("vrfs/aaaa") || lastPart(s.LogicalBridge) == s.LogicalBridge ||
		s.LogicalBridge == "vrfs/aaaa" || !validMAC(s.MacAddress) || len(s.GwIpPrefix) == 0 {
		return false
	}
	for i, g := range s.GwIpPrefix {
		if !validPrefix(g) || subnet(g).Masked().Addr() == addressOf(g) {
			return false
		}
		for _, other := range s.GwIpPrefix[:i] {
			if subnet(g).Overlaps(subnet(other)) {
				return false
			}
		}
	}
	return s.RemoteAs <= 65535 && s.EnableBgp == (s.RemoteAs > 0)
}

func sviConflict(m model, o proto.Message) codes.Code {
	s := o.(*pb.Svi)
	v, _ := m["vrfs"][lastPart(s.Spec.Vrf)].(*pb.Vrf)
	if v == nil || !m.bridge(s.Spec.LogicalBridge) {
		return codes.NotFound
	}
	for _, x := range m["svis"] {
		other := x.(*pb.Svi)
		if other.Name == s.Name {
			continue
		}
		if other.Spec.LogicalBridge == s.Spec.LogicalBridge {
			return codes.FailedPrecondition
		}
		for _, a := range other.Spec.GwIpPrefix {
			for _, b := range s.Spec.GwIpPrefix {
				if other.Spec.Vrf == s.Spec.Vrf && subnet(a).Overlaps(subnet(b)) {
					return codes.FailedPrecondition
				}
			}
		}
	}
	return codes.OK
}
