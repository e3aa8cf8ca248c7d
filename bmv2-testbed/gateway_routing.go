package testbed

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	net "github.com/opiproject/opi-api/network/opinetcommon/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/ether"
)

// opiPrefix gives an address with its length as the API has it.
func opiPrefix(p netip.Prefix) *net.IPPrefix {
	if !p.IsValid() {
		return nil
	}
	a := &net.IPAddress{Af: net.IpAf_IP_AF_INET6, V4OrV6: &net.IPAddress_V6Addr{V6Addr: p.Addr().AsSlice()}}
	if p.Addr().Is4() {
		a = &net.IPAddress{Af: net.IpAf_IP_AF_INET,
			V4OrV6: &net.IPAddress_V4Addr{V4Addr: binary.BigEndian.Uint32(p.Addr().AsSlice())}}
	}
	return &net.IPPrefix{Addr: a, Len: int32(p.Bits())}
}

// CreateVRF makes a VRF by the API; VNI 0 is none.
func (g *Gateway) CreateVRF(ctx context.Context, id string, vni uint32, loopback netip.Prefix) error {
	spec := &opi.VrfSpec{LoopbackIpPrefix: opiPrefix(loopback),
		VtepIpPrefix: opiPrefix(netip.PrefixFrom(g.VTEP, g.VTEP.BitLen()))}
	if vni != 0 {
		spec.Vni = &vni
	}
	_, err := opi.NewVrfServiceClient(g.conn).CreateVrf(ctx, &opi.CreateVrfRequest{VrfId: id, Vrf: &opi.Vrf{Spec: spec}})
	if err != nil {
		return fmt.Errorf("create VRF %s: %w", id, err)
	}
	return nil
}

// CreateSVI makes the SVI of a bridge by the API, with the bridge's id.
func (g *Gateway) CreateSVI(ctx context.Context, bridge, vrf string, mac ether.MAC, gateways ...netip.Prefix) error {
	spec := &opi.SviSpec{Vrf: "vrfs/" + vrf, LogicalBridge: "logicalBridges/" + bridge, MacAddress: mac[:]}
	for _, p := range gateways {
		spec.GwIpPrefix = append(spec.GwIpPrefix, opiPrefix(p))
	}
	_, err := opi.NewSviServiceClient(g.conn).CreateSvi(ctx,
		&opi.CreateSviRequest{SviId: bridge, Svi: &opi.Svi{Spec: spec}})
	if err != nil {
		return fmt.Errorf("create SVI %s: %w", bridge, err)
	}
	return nil
}

// AwaitRoutingUp waits until the API says that every VRF and SVI is up.
func (g *Gateway) AwaitRoutingUp(ctx context.Context) error {
	return Eventually(ctx, patience, "VRFs and SVIs are up", func(ctx context.Context) error {
		vrfs, err := opi.NewVrfServiceClient(g.conn).ListVrfs(ctx, &opi.ListVrfsRequest{})
		if err != nil {
			return err
		}
		for _, v := range vrfs.GetVrfs() {
			if v.GetStatus().GetOperStatus() != opi.VRFOperStatus_VRF_OPER_STATUS_UP {
				return fmt.Errorf("%s is %v: %v", v.GetName(), v.GetStatus().GetOperStatus(), v.GetStatus().GetComponents())
			}
		}
		svis, err := opi.NewSviServiceClient(g.conn).ListSvis(ctx, &opi.ListSvisRequest{})
		if err != nil {
			return err
		}
		for _, s := range svis.GetSvis() {
			if s.GetStatus().GetOperStatus() != opi.SVIOperStatus_SVI_OPER_STATUS_UP {
				return fmt.Errorf("%s is %v: %v", s.GetName(), s.GetStatus().GetOperStatus(), s.GetStatus().GetComponents())
			}
		}
		return nil
	})
}

// DeleteSVI deletes the SVI of a bridge.
func (g *Gateway) DeleteSVI(ctx context.Context, bridge string) error {
	if _, err := opi.NewSviServiceClient(g.conn).DeleteSvi(ctx,
		&opi.DeleteSviRequest{Name: "svis/" + bridge}); err != nil {
		return fmt.Errorf("delete SVI %s: %w", bridge, err)
	}
	return nil
}

// DeleteVRF deletes a VRF, which must have no SVIs.
func (g *Gateway) DeleteVRF(ctx context.Context, id string) error {
	if _, err := opi.NewVrfServiceClient(g.conn).DeleteVrf(ctx, &opi.DeleteVrfRequest{Name: "vrfs/" + id}); err != nil {
		return fmt.Errorf("delete VRF %s: %w", id, err)
	}
	return nil
}
