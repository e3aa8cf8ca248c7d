package api

import (
	"fmt"
	"net/netip"
	"strings"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	netpb "github.com/opiproject/opi-api/network/opinetcommon/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// fields collects the wrong fields of one message.
type fields struct{ e intent.Error }

func newFields(r intent.Ref) *fields { return &fields{intent.Error{Reason: intent.Invalid, Object: r}} }

func (f *fields) bad(field, problem string) {
	f.e.Violations = append(f.e.Violations, intent.Violation{Field: field, Problem: problem})
}

// check notes an error, and reports whether there was none.
func (f *fields) check(field string, err error) bool {
	if err != nil {
		f.bad(field, err.Error())
	}
	return err == nil
}

func (f *fields) err() error {
	if f.e.Violations == nil {
		return nil
	}
	return &f.e
}

// prefix reads an address with its length, host bits kept, that must pass a check.
// The family may be left out, since the address says it.
func (f *fields) prefix(field string, m *netpb.IPPrefix, check func(netip.Prefix) error) netip.Prefix {
	var addr netip.Addr
	var family netpb.IpAf
	switch a := m.GetAddr().GetV4OrV6().(type) {
	case *netpb.IPAddress_V4Addr:
		n := a.V4Addr
		addr = netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		family = netpb.IpAf_IP_AF_INET
	case *netpb.IPAddress_V6Addr:
		if len(a.V6Addr) != 16 {
			f.bad(field+".addr.v6_addr", fmt.Sprintf("%d bytes: want 16", len(a.V6Addr)))
			return netip.Prefix{}
		}
		addr = netip.AddrFrom16([16]byte(a.V6Addr))
		family = netpb.IpAf_IP_AF_INET6
	default:
		f.bad(field+".addr", "not set: want v4_addr or v6_addr")
		return netip.Prefix{}
	}
	if af := m.GetAddr().GetAf(); af != family && af != netpb.IpAf_IP_AF_UNSPECIFIED {
		f.bad(field+".addr.af", fmt.Sprintf("%v, but the address is of %v", af, family))
	}
	if n := m.GetLen(); n < 1 || int(n) > addr.BitLen() {
		f.bad(field+".len", fmt.Sprintf("%d: want 1 to %d", n, addr.BitLen()))
		return netip.Prefix{}
	}
	p := netip.PrefixFrom(addr, int(m.GetLen()))
	f.check(field, check(p))
	return p
}

// vtep is prefix for a VTEP. The reference bridge shows 0.0.0.0/0 where there is none, and
// so clients send it back.
func (f *fields) vtep(m *netpb.IPPrefix) netip.Prefix {
	if m == nil || m.GetLen() == 0 && unspecified(m.GetAddr()) {
		return netip.Prefix{}
	}
	return f.prefix("vtep_ip_prefix", m, intent.CheckVTEP)
}

// unspecified reports whether an address is given and is 0.0.0.0 or ::.
func unspecified(a *netpb.IPAddress) bool {
	switch v := a.GetV4OrV6().(type) {
	case *netpb.IPAddress_V4Addr:
		return v.V4Addr == 0
	case *netpb.IPAddress_V6Addr:
		addr, ok := netip.AddrFromSlice(v.V6Addr)
		return ok && addr == netip.IPv6Unspecified()
	}
	return false
}

func writePrefix(p netip.Prefix) *netpb.IPPrefix {
	if !p.IsValid() {
		return nil
	}
	a := &netpb.IPAddress{}
	if p.Addr().Is4() {
		b := p.Addr().As4()
		a.Af = netpb.IpAf_IP_AF_INET
		a.V4OrV6 = &netpb.IPAddress_V4Addr{V4Addr: uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])}
	} else {
		a.Af = netpb.IpAf_IP_AF_INET6
		a.V4OrV6 = &netpb.IPAddress_V6Addr{V6Addr: p.Addr().AsSlice()}
	}
	return &netpb.IPPrefix{Addr: a, Len: int32(p.Bits())}
}

func writeComponents(st intent.Status) []*pb.Component {
	var out []*pb.Component
	for _, c := range st.Components {
		out = append(out, &pb.Component{Name: c.Name, Status: pb.CompStatus(c.Status),
			Details: strings.ToValidUTF8(c.Details, "?")})
	}
	return out
}
