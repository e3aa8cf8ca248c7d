package api

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

func (s *viewService) ListFDB(r *p4evpnv1.ListFDBRequest,
	out grpc.ServerStreamingServer[p4evpnv1.ListFDBResponse]) error {
	bridge, err := existing(s.store, bridgeNaming, "bridge", r.GetBridge(), (*intent.Tx).Bridges)
	if err != nil {
		return err
	}
	rows, err := s.macs(out.Context(), bridge, r.GetMacAddress())
	if err != nil {
		return err
	}
	slices.SortFunc(rows, func(a, b view.MAC) int {
		return cmp.Or(cmp.Compare(a.Bridge, b.Bridge), a.MAC.Compare(b.MAC), cmp.Compare(a.Kind, b.Kind))
	})
	return stream(rows, out, func(e view.MAC) *p4evpnv1.FDBEntry {
		m := &p4evpnv1.FDBEntry{
			Bridge: e.Bridge, Mac: e.MAC.String(), Kind: fdbKinds[e.Kind], Port: e.Port, Vtep: text(e.VTEP), Vni: e.VNI,
			Sequence: e.Sequence, Sticky: e.Sticky, Age: duration(e.Age), State: states[e.State], Reason: utf8(e.Reason),
			Claims: claimRows(e.Claims),
		}
		slices.SortFunc(e.Addresses, netip.Addr.Compare)
		for _, a := range e.Addresses {
			m.Addresses = append(m.Addresses, text(a))
		}
		return m
	}, func(p []*p4evpnv1.FDBEntry) *p4evpnv1.ListFDBResponse { return &p4evpnv1.ListFDBResponse{Entries: p} })
}

// macs gives the entries of a bridge, of all if it is "": all, or those of one MAC with its
// claims.
func (s *viewService) macs(ctx context.Context, bridge, only string) ([]view.MAC, error) {
	if only == "" {
		entries, err := s.view.FDB(ctx, bridge)
		if err != nil {
			return nil, failed(err)
		}
		rows := make([]view.MAC, 0, len(entries))
		for _, e := range entries {
			rows = append(rows, view.MAC{FDBEntry: e})
		}
		return rows, nil
	}
	mac, err := macField("mac_address", only)
	if err != nil {
		return nil, err
	}
	rows, err := s.view.MAC(ctx, mac)
	if err != nil {
		return nil, failed(err)
	}
	return slices.DeleteFunc(rows, func(m view.MAC) bool { return bridge != "" && m.Bridge != bridge }), nil
}

func (s *viewService) ListHosts(r *p4evpnv1.ListHostsRequest,
	out grpc.ServerStreamingServer[p4evpnv1.ListHostsResponse]) error {
	bridge, err := existing(s.store, bridgeNaming, "bridge", r.GetBridge(), (*intent.Tx).Bridges)
	if err != nil {
		return err
	}
	rows, err := s.hosts(out.Context(), bridge, r.GetAddress())
	if err != nil {
		return err
	}
	slices.SortFunc(rows, func(a, b view.Host) int {
		return cmp.Or(cmp.Compare(a.Bridge, b.Bridge), a.IP.Compare(b.IP), cmp.Compare(a.Kind, b.Kind), a.MAC.Compare(b.MAC))
	})
	return stream(rows, out, func(h view.Host) *p4evpnv1.Host {
		return &p4evpnv1.Host{
			Bridge: h.Bridge, Ip: text(h.IP), Mac: mac(h.MAC), Kind: hostKinds[h.Kind], Port: h.Port, Vtep: text(h.VTEP),
			State: states[h.State], Reason: utf8(h.Reason), Claims: claimRows(h.Claims),
		}
	}, func(p []*p4evpnv1.Host) *p4evpnv1.ListHostsResponse { return &p4evpnv1.ListHostsResponse{Hosts: p} })
}

// hosts gives the addresses of a bridge, of all if it is "": all, or one.
func (s *viewService) hosts(ctx context.Context, bridge, only string) ([]view.Host, error) {
	if only == "" {
		rows, err := s.view.Hosts(ctx, bridge)
		if err != nil {
			return nil, failed(err)
		}
		return rows, nil
	}
	address, err := addressField(only)
	if err != nil {
		return nil, err
	}
	rows, err := s.view.Address(ctx, address)
	if err != nil {
		return nil, failed(err)
	}
	return slices.DeleteFunc(rows, func(h view.Host) bool { return bridge != "" && h.Bridge != bridge }), nil
}

func claimRows(claims []view.Claim) []*p4evpnv1.Claim {
	var rows []*p4evpnv1.Claim
	for _, c := range claims {
		m := &p4evpnv1.Claim{
			Mac: mac(c.MAC), Port: c.Port, Vtep: text(c.VTEP), Sequence: c.Sequence, Sticky: c.Sticky, Age: duration(c.Age),
			FlagsKnown: c.FlagsKnown, Router: c.Router, Override: c.Override, Immutable: c.Immutable,
			State: claimStates[c.State], Reason: utf8(c.Reason),
		}
		for _, s := range c.Sources {
			m.Sources = append(m.Sources, claimSources[s])
		}
		rows = append(rows, m)
	}
	return rows
}

func refusalRows(refusals []view.Refusal) []*p4evpnv1.RefusalCount {
	slices.SortFunc(refusals, func(a, b view.Refusal) int { return cmp.Compare(a.Reason, b.Reason) })
	var rows []*p4evpnv1.RefusalCount
	for _, r := range refusals {
		rows = append(rows, &p4evpnv1.RefusalCount{
			Reason: r.Reason, Count: r.Count, Address: text(r.Address), Mac: mac(r.MAC),
		})
	}
	return rows
}

// duration is a time, nothing for 0.
func duration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// macField reads a field of a request that is a MAC.
func macField(field, s string) (ether.MAC, error) {
	m, err := ether.ParseMAC(s)
	if err != nil {
		return ether.MAC{}, badField(field, "want a MAC address such as 02:00:00:00:00:01")
	}
	return m, nil
}

// addressField reads the field address of a request.
func addressField(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return netip.Addr{}, badField("address", "want an IPv4 or IPv6 address, such as 10.0.0.1, without length or zone")
	}
	return a, nil
}
