package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Leaf is an EVPN leaf as operators build it today: FRR, and per VNI a bridge
// with a kernel VXLAN device that learns nothing by itself.
type Leaf struct {
	*FRR
	Name string
	AS   uint32
	VTEP netip.Addr
	VRFs map[string]LeafVRF

	vxlanMTU int
}

// Peer is a BGP neighbour of a leaf.
type Peer struct {
	Address  netip.Addr
	AS       uint32
	Password string // TCP MD5, if any
	Multihop bool   // from our VTEP address to one that is not on the link
	Passive  bool   // it connects to us: two connections that cross cost seconds
	Underlay bool   // exchange VTEP addresses too, by ipv4 unicast
	// BFD watches the path, patiently: a machine that others keep busy loses none.
	BFD bool
}

// leafAgeing is how long a leaf's bridge keeps a MAC that is silent.
const leafAgeing = 10 * time.Second

// Leaf puts the VTEP address on a namespace's loopback and starts FRR in it.
// Cables, addresses and routes of the underlay are the caller's.
func (l *Lab) Leaf(ctx context.Context, n *Namespace, name string, as uint32, vtep netip.Addr,
	peers []Peer) (*Leaf, error) {
	leaf, err := l.NewLeaf(n, name, as, vtep, peers, 1500)
	if err != nil {
		return nil, err
	}
	return leaf, leaf.Start(ctx)
}

// NewLeaf prepares a leaf with VRFs. What is to be in the namespaces of its VRFs
// comes before Start: zebra misses some of what changes there afterwards. mtu is
// that of its VXLAN devices.
func (l *Lab) NewLeaf(n *Namespace, name string, as uint32, vtep netip.Addr, peers []Peer, mtu int,
	vrfs ...LeafVRF) (*Leaf, error) {
	if err := n.AddAddress("lo", netip.PrefixFrom(vtep, vtep.BitLen())); err != nil {
		return nil, err
	}
	if err := n.Sysctl("net.ipv4.ip_forward", "1"); err != nil {
		return nil, err
	}
	leaf := &Leaf{Name: name, AS: as, VTEP: vtep, VRFs: map[string]LeafVRF{}, vxlanMTU: mtu}
	var err error
	if leaf.FRR, err = l.NewFRR(n, name, leafConfig(as, vtep, peers, vrfs), vrfs...); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, v := range vrfs {
		leaf.VRFs[v.Name] = v
		if err := v.NS.forwarding(); err != nil {
			return nil, err
		}
		if v.VNI == 0 {
			continue
		}
		if err := leaf.addL3VNI(v); err != nil {
			return nil, err
		}
	}
	return leaf, nil
}

func leafConfig(as uint32, id netip.Addr, peers []Peer, vrfs []LeafVRF) string {
	var b strings.Builder
	fmt.Fprintf(&b, "router bgp %d\n bgp router-id %s\n no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n"+
		" timers bgp 10 30\n", as, id)
	for _, p := range peers {
		fmt.Fprintf(&b, " neighbor %[1]s remote-as %[2]d\n neighbor %[1]s timers connect 1\n", p.Address, p.AS)
		if p.BFD {
			fmt.Fprintf(&b, " neighbor %s bfd 10 100 100\n", p.Address)
		}
		if p.Passive {
			fmt.Fprintf(&b, " neighbor %s passive\n", p.Address)
		}
		if p.Password != "" {
			fmt.Fprintf(&b, " neighbor %s password %s\n", p.Address, p.Password)
		}
		if p.Multihop {
			fmt.Fprintf(&b, " neighbor %s update-source %s\n", p.Address, id)
		}
		if p.Multihop && p.AS != as {
			fmt.Fprintf(&b, " neighbor %s ebgp-multihop 2\n", p.Address)
		}
	}
	b.WriteString(" address-family l2vpn evpn\n")
	for _, p := range peers {
		fmt.Fprintf(&b, "  neighbor %s activate\n", p.Address)
	}
	b.WriteString("  advertise-all-vni\n exit-address-family\n")
	b.WriteString(unicastConfig(id, peers))
	for _, v := range vrfs {
		b.WriteString(v.bgpConfig(as, id))
	}
	return b.String()
}

// unicastConfig learns VTEP addresses from the peers that give them, and gives
// them ours.
func unicastConfig(vtep netip.Addr, peers []Peer) string {
	var b strings.Builder
	for _, p := range peers {
		if p.Underlay {
			fmt.Fprintf(&b, "  neighbor %s activate\n", p.Address)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return fmt.Sprintf(" address-family ipv4 unicast\n  network %s/32\n%s exit-address-family\n", vtep, b.String())
}

// bridgeOf and vxlanOf name a VNI's devices.
func bridgeOf(vni uint32) string { return fmt.Sprintf("br%d", vni) }
func vxlanOf(vni uint32) string  { return fmt.Sprintf("vx%d", vni) }

// AddVNI makes the bridge and the VXLAN device of a VNI.
func (l *Leaf) AddVNI(vni uint32) error { return l.addVNI(l.NS, vni) }

func (l *Leaf) addVNI(n *Namespace, vni uint32) error {
	if err := addVNI(l.NS, n, l.VTEP, vni, l.vxlanMTU); err != nil {
		return fmt.Errorf("%s: %w", l.Name, err)
	}
	return nil
}

// addVNI makes the bridge and the VXLAN device of a VNI in a namespace. The
// VXLAN device is made where the underlay is, whose addresses and routes it goes
// on to use.
func addVNI(underlay, n *Namespace, vtep netip.Addr, vni uint32, mtu int) error {
	ageing := uint32(leafAgeing / (10 * time.Millisecond)) // USER_HZ
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeOf(vni)}, AgeingTime: &ageing}
	vx := &netlink.Vxlan{
		LinkAttrs: netlink.LinkAttrs{Name: vxlanOf(vni), MTU: mtu},
		VxlanId:   int(vni), SrcAddr: net.IP(vtep.AsSlice()), Port: 4789, Learning: false,
	}
	if err := underlay.link.LinkAdd(vx); err != nil {
		return fmt.Errorf("make %s: %w", vx.Name, err)
	}
	if n != underlay {
		if err := underlay.link.LinkSetNsFd(vx, int(n.handle)); err != nil {
			return fmt.Errorf("move %s to %s: %w", vx.Name, n.Name, err)
		}
	}
	if err := n.link.LinkAdd(br); err != nil {
		return fmt.Errorf("make %s: %w", br.Name, err)
	}
	// Both under the names that they have here.
	err := n.change("join to "+br.Name, vx.Name, func(link netlink.Link) error {
		if err := n.link.LinkSetMaster(link, br); err != nil {
			return err
		}
		return n.link.LinkSetLearning(link, false)
	})
	if err == nil {
		err = n.Up(br.Name)
	}
	if err == nil {
		err = n.Up(vx.Name)
	}
	return err
}

// setAgeing says how long the bridge of a VNI keeps a MAC that is silent.
func (l *Leaf) setAgeing(ctx context.Context, vni uint32, ageing string) error {
	d, err := time.ParseDuration(ageing)
	if err != nil {
		return err
	}
	_, err = l.NS.Output(ctx, "ip", "link", "set", bridgeOf(vni), "type", "bridge", "ageing_time",
		fmt.Sprint(int64(d/(10*time.Millisecond)))) // USER_HZ
	return err
}

// Join puts a device of the leaf's namespace into a VNI's bridge.
func (l *Leaf) Join(dev string, vni uint32) error { return join(l.NS, dev, vni) }

func join(n *Namespace, dev string, vni uint32) error {
	return n.change("join to "+bridgeOf(vni), dev, func(link netlink.Link) error {
		br, err := n.link.LinkByName(bridgeOf(vni))
		if err != nil {
			return err
		}
		return n.link.LinkSetMaster(link, br)
	})
}

// MACEntry is a MAC address as FRR knows it in a VNI.
type MACEntry struct {
	Type      string `json:"type"`       // "local" or "remote"
	VTEP      string `json:"remoteVtep"` // of a remote one
	Interface string `json:"intf"`       // of a local one
	LocalSeq  uint32 `json:"localSequence"`
	RemoteSeq uint32 `json:"remoteSequence"`
}

// MACs reads what zebra knows of a VNI's MAC addresses.
func (l *Leaf) MACs(ctx context.Context, vni uint32) (map[string]MACEntry, error) {
	var answer struct {
		MACs map[string]MACEntry `json:"macs"`
	}
	command := fmt.Sprintf("show evpn mac vni %d", vni)
	out, err := l.Show(ctx, command+" json")
	if err != nil || strings.TrimSpace(out) == "" { // what FRR says of none
		return nil, err
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return nil, fmt.Errorf("%s json: %w in %.200q", command, err, out)
	}
	return answer.MACs, nil
}

// FloodsTo gives the VTEPs to which the kernel floods a VNI: what zebra made of
// type-3 routes.
func (l *Leaf) FloodsTo(vni uint32) (vteps []string, err error) {
	err = l.NS.change("read the FDB of", vxlanOf(vni), func(link netlink.Link) error {
		list, err := l.NS.link.NeighList(link.Attrs().Index, unix.AF_BRIDGE)
		for _, n := range list {
			if n.IP != nil && bytes.Equal(n.HardwareAddr, make([]byte, 6)) {
				vteps = append(vteps, n.IP.String())
			}
		}
		return err
	})
	slices.Sort(vteps)
	return vteps, err
}

// Withdraw takes back all EVPN routes of the leaf, Advertise gives them again.
func (l *Leaf) Withdraw(ctx context.Context) error { return l.advertise(ctx, "no advertise-all-vni") }

// Advertise undoes Withdraw.
func (l *Leaf) Advertise(ctx context.Context) error { return l.advertise(ctx, "advertise-all-vni") }

func (l *Leaf) advertise(ctx context.Context, line string) error {
	return l.Configure(ctx, fmt.Sprintf("router bgp %d", l.AS), "address-family l2vpn evpn", line)
}
