package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

// AwaitAgreement waits until both gateways and the leaf, FRR and kernel, have an address
// where a host is. The host repeats its announcement, as VRRP does: a kernel takes none
// for a neighbour that FRR has put there, until FRR takes it away.
func (f *Fabric) AwaitAgreement(ctx context.Context, within time.Duration, address netip.Addr, h *Host,
	say func() error) error {
	return f.await(ctx, within, address, h, say, false)
}

// await waits for agreement. What may be unknown is right too where none has the address:
// a leaf's kernel does not learn it of everything that its hosts say.
func (f *Fabric) await(ctx context.Context, within time.Duration, address netip.Addr, h *Host, say func() error,
	unknown bool) error {
	at := f.placeOf(h)
	return Eventually(ctx, within, "all have "+address.String()+" at "+h.Name, func(ctx context.Context) error {
		if err := say(); err != nil {
			return err
		}
		if unknown && f.nobodyHas(ctx, address) == nil {
			return f.macAgrees(ctx, h.MAC, at)
		}
		return errors.Join(f.gatewayAgrees(ctx, f.Gateway, address, h.MAC, at),
			f.gatewayAgrees(ctx, f.Second, address, h.MAC, at), f.leafAgrees(ctx, address, h.MAC, at))
	})
}

// macAgrees checks where a MAC is by all three.
func (f *Fabric) macAgrees(ctx context.Context, mac ether.MAC, at place) error {
	return errors.Join(f.gatewayHasMAC(ctx, f.Gateway, mac, at), f.gatewayHasMAC(ctx, f.Second, mac, at),
		f.leafHasMAC(ctx, mac, at))
}

// place is where a host is: an end point, and the gateway's port.
type place struct {
	vtep netip.Addr
	port string // of whichever gateway
}

func (p place) String() string { return p.vtep.String() + " " + p.port }

// placeOf gives where a host of the fabric is.
func (f *Fabric) placeOf(h *Host) place {
	at, port := "", 0
	for _, e := range fabricHosts {
		if e.name == h.Name {
			at, port = e.at, e.port
		}
	}
	for _, p := range moverPlaces {
		if h.Name == "mover" && p.name == f.moverPlace[h.Dev] {
			at, port = p.at, p.port
		}
	}
	vtep := map[string]netip.Addr{"gw": gatewayVTEP, "leaf": leaf1VTEP, "second": secondVTEP}[at]
	if at == "leaf" {
		return place{vtep, ""}
	}
	return place{vtep, fmt.Sprintf("port%d", port)}
}

// hostRow finds the row of an address in a gateway's table of hosts; nil: there is none.
func (g *Gateway) hostRow(ctx context.Context, address netip.Addr) (*p4evpnv1.Host, error) {
	stream, err := g.view.ListHosts(ctx, &p4evpnv1.ListHostsRequest{Address: address.String()})
	var found *p4evpnv1.Host
	err = collect("hosts", stream, err, func(part *p4evpnv1.ListHostsResponse) {
		for _, h := range part.GetHosts() {
			if h.GetKind() != p4evpnv1.HostKind_HOST_KIND_UNSPECIFIED {
				found = h
			}
		}
	})
	return found, err
}

// behind is the VTEP of a place as a gateway has it: none for its own.
func (g *Gateway) behind(at place) string {
	if g.VTEP == at.vtep {
		return ""
	}
	return at.vtep.String()
}

// gatewayAgrees checks that a gateway has an address with a MAC, at a place.
func (f *Fabric) gatewayAgrees(ctx context.Context, g *Gateway, address netip.Addr, mac ether.MAC, at place) error {
	row, err := g.hostRow(ctx, address)
	if err != nil {
		return err
	}
	if row.GetMac() != mac.String() || row.GetVtep() != g.behind(at) {
		return fmt.Errorf("%s has %s as %v, want %s at %v", g.VTEP, address, row, mac, at)
	}
	return f.gatewayHasMAC(ctx, g, mac, at)
}

func (f *Fabric) gatewayHasMAC(ctx context.Context, g *Gateway, mac ether.MAC, at place) error {
	fdb, err := g.FDB(ctx, blue)
	if err != nil {
		return err
	}
	e, vtep := fdb[mac.String()], g.behind(at)
	if e.GetVtep() != vtep || vtep == "" && e.GetPort() != at.port || e.GetState() != p4evpnv1.State_STATE_UP {
		return fmt.Errorf("%s has %s as %v, want it up at %v", g.VTEP, mac, e, at)
	}
	return nil
}

// neighbourEntry is an address as FRR knows it in a VNI.
type neighbourEntry struct {
	Type  string `json:"type"` // "local" or "remote"
	State string `json:"state"`
	MAC   string `json:"mac"`
	VTEP  string `json:"remoteVtep"`
}

// neighbours reads what zebra knows of a VNI's addresses (show evpn arp-cache).
func (l *Leaf) neighbours(ctx context.Context, vni uint32) (map[string]neighbourEntry, error) {
	var answer map[string]json.RawMessage
	out, err := l.Show(ctx, fmt.Sprintf("show evpn arp-cache vni %d json", vni))
	if err != nil || strings.TrimSpace(out) == "" {
		return nil, err
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return nil, fmt.Errorf("show evpn arp-cache: %w in %.200q", err, out)
	}
	found := map[string]neighbourEntry{}
	for key, raw := range answer {
		var e neighbourEntry
		if _, err := netip.ParseAddr(key); err != nil {
			continue // a count
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("show evpn arp-cache, %s: %w", key, err)
		}
		found[key] = e
	}
	return found, nil
}

// leafAgrees checks FRR's tables and those of its kernel: arp-cache, MACs, FDB and
// neighbours. A leaf that only bridges knows no addresses of its own hosts.
func (f *Fabric) leafAgrees(ctx context.Context, address netip.Addr, mac ether.MAC, at place) error {
	known, err := f.Leaf.neighbours(ctx, blueVNI)
	if err != nil {
		return err
	}
	e, has := known[address.String()]
	here := at.vtep == leaf1VTEP
	if here && !f.options.LeafSVI {
		if has {
			return fmt.Errorf("the leaf still has %s behind another: %+v", address, e)
		}
	} else if e.MAC != mac.String() || here != (e.Type == "local") || !here && e.VTEP != at.vtep.String() {
		return fmt.Errorf("show evpn arp-cache has %s as %+v, want %s at %v", address, e, mac, at)
	}
	if err := f.leafHasMAC(ctx, mac, at); err != nil || !f.options.LeafSVI {
		return err
	}
	neigh, err := f.Leaf.NS.Output(ctx, "ip", "neigh", "show", address.String(), "dev", bridgeOf(blueVNI))
	if err == nil && !strings.Contains(neigh, mac.String()) {
		err = fmt.Errorf("ip neigh has %q, want %s", neigh, mac)
	}
	return err
}

// leafHasMAC checks where FRR and the bridge of its kernel have a MAC. What the VXLAN
// device has by itself may be old: the bridge decides.
func (f *Fabric) leafHasMAC(ctx context.Context, mac ether.MAC, at place) error {
	macs, err := f.Leaf.MACs(ctx, blueVNI)
	if err != nil {
		return err
	}
	here := at.vtep == leaf1VTEP
	if m := macs[mac.String()]; here != (m.Type == "local") || !here && m.VTEP != at.vtep.String() {
		return fmt.Errorf("show evpn mac has %s as %+v, want it at %v", mac, m, at)
	}
	fdb, err := f.Leaf.NS.Output(ctx, "bridge", "fdb", "show", "br", bridgeOf(blueVNI))
	if err != nil {
		return err
	}
	byVXLAN, behind := false, ""
	for line := range strings.Lines(fdb) {
		switch words := strings.Fields(line); {
		case words[0] != mac.String():
		case strings.Contains(line, " master "):
			byVXLAN = words[2] == vxlanOf(blueVNI)
		case strings.Contains(line, " dst "):
			behind = words[4]
		}
	}
	if byVXLAN == here || byVXLAN && behind != at.vtep.String() {
		return fmt.Errorf("bridge fdb has %s by VXLAN: %t, behind %q, want it at %v:\n%s", mac, byVXLAN, behind, at, fdb)
	}
	return nil
}

// nobodyHas checks that an address is in no table of the three.
func (f *Fabric) nobodyHas(ctx context.Context, a netip.Addr) error {
	var errs []error
	for _, g := range []*Gateway{f.Gateway, f.Second} {
		row, err := g.hostRow(ctx, a)
		if err == nil && row != nil {
			err = fmt.Errorf("%s has %v", g.VTEP, row)
		}
		errs = append(errs, err)
		for _, table := range []string{"arp.host", "nd.host"} {
			held, err := g.Held(ctx, table)
			for _, text := range held {
				if strings.Contains(text, "="+a.String()+" ") {
					err = fmt.Errorf("the switch of %s has %s", g.VTEP, text)
				}
			}
			errs = append(errs, err)
		}
	}
	known, err := f.Leaf.neighbours(ctx, blueVNI)
	if e, has := known[a.String()]; err == nil && has {
		err = fmt.Errorf("show evpn arp-cache has %+v", e)
	}
	return errors.Join(append(errs, err)...)
}
