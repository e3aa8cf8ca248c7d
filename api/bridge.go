package api

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	netpb "github.com/opiproject/opi-api/network/opinetcommon/v1alpha1/gen/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// bridgeService is LogicalBridgeService.
type bridgeService struct {
	pb.UnimplementedLogicalBridgeServiceServer
	c collection[intent.LogicalBridge, *pb.LogicalBridge]
}

func newBridgeService(store *intent.Store, st intent.StatusSource) *bridgeService {
	return &bridgeService{c: collection[intent.LogicalBridge, *pb.LogicalBridge]{
		naming: bridgeNaming, store: store, status: st,
		table: (*intent.Tx).Bridges,
		read:  readBridge,
		write: writeBridge,
	}}
}

func (s *bridgeService) CreateLogicalBridge(ctx context.Context, r *pb.CreateLogicalBridgeRequest) (*pb.LogicalBridge, error) {
	return s.c.create(ctx, r.GetLogicalBridgeId(), r.GetLogicalBridge())
}

func (s *bridgeService) GetLogicalBridge(ctx context.Context, r *pb.GetLogicalBridgeRequest) (*pb.LogicalBridge, error) {
	return s.c.get(ctx, r.GetName())
}

func (s *bridgeService) ListLogicalBridges(ctx context.Context, r *pb.ListLogicalBridgesRequest) (*pb.ListLogicalBridgesResponse, error) {
	page, next, err := s.c.list(ctx, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListLogicalBridgesResponse{LogicalBridges: page, NextPageToken: next}, nil
}

func (s *bridgeService) UpdateLogicalBridge(ctx context.Context, r *pb.UpdateLogicalBridgeRequest) (*pb.LogicalBridge, error) {
	return s.c.update(ctx, r.GetLogicalBridge(), r.GetUpdateMask(), r.GetAllowMissing())
}

func (s *bridgeService) DeleteLogicalBridge(_ context.Context, r *pb.DeleteLogicalBridgeRequest) (*emptypb.Empty, error) {
	if err := s.c.remove(r.GetName(), r.GetAllowMissing()); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

func readBridge(id string, m *pb.LogicalBridge) (intent.LogicalBridge, error) {
	b := intent.LogicalBridge{ID: id}
	f := newFields(b.Ref())
	f.check("id", intent.CheckID(id))
	spec := m.GetSpec()
	if spec == nil {
		f.bad("spec", "not set")
		return b, f.err()
	}
	// Checked here already, since these do not fit or mean none in intent.
	if f.check("vlan_id", intent.CheckVLAN(spec.GetVlanId())) {
		b.VLAN = uint16(spec.GetVlanId())
	}
	if spec.Vni != nil && f.check("vni", intent.CheckVNI(spec.GetVni())) {
		b.VNI = spec.GetVni()
	}
	if spec.VtepIpPrefix != nil {
		b.VTEP = f.prefix("vtep_ip_prefix", spec.VtepIpPrefix)
	}
	return b, f.err()
}

func writeBridge(b intent.LogicalBridge, st intent.Status) *pb.LogicalBridge {
	m := &pb.LogicalBridge{
		Name: bridgeNaming.name(b.ID),
		Spec: &pb.LogicalBridgeSpec{VlanId: uint32(b.VLAN), VtepIpPrefix: writePrefix(b.VTEP)},
		// The numbers of the operational states are the same for all kinds.
		Status: &pb.LogicalBridgeStatus{OperStatus: pb.LBOperStatus(st.Oper), Components: writeComponents(st)},
	}
	if b.VNI != 0 {
		m.Spec.Vni = proto.Uint32(b.VNI)
	}
	return m
}

func writeComponents(st intent.Status) []*pb.Component {
	var out []*pb.Component
	for _, c := range st.Components {
		out = append(out, &pb.Component{Name: c.Name, Status: pb.CompStatus(c.Status), Details: strings.ToValidUTF8(c.Details, "?")})
	}
	return out
}

// prefix reads an address with its length, host bits kept. The family may be
// left out, since the address says it.
func (f *fields) prefix(field string, m *netpb.IPPrefix) netip.Prefix {
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
	f.check(field, intent.CheckVTEP(p))
	return p
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

// fields collects the wrong fields of one message.
type fields struct{ e intent.Error }

func newFields(r intent.Ref) *fields { return &fields{intent.Error{Reason: intent.Invalid, Object: r}} }

func (f *fields) bad(field, problem string) {
	f.e.Violations = append(f.e.Violations, intent.Violation{Field: field, Problem: problem})
}

// check notes an error, and says whether there was none.
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
