package testbed

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/p4evpn/p4evpn/ether"
)

// GoBGPConfig is what the program gobgpleaf is told, and told again by SIGHUP.
type GoBGPConfig struct {
	AS    uint32
	VTEP  netip.Addr // and BGP identifier
	Peers []Peer
	// RestartTime in seconds makes the leaf keep the routes of its peers, and
	// them its own, over a restart (RFC 4724); 0: no graceful restart.
	RestartTime uint32
	MACs        []LeafMACs
	L3          LeafPrefixes
}

// LeafMACs are the MAC addresses that a leaf advertises in a VNI.
type LeafMACs struct {
	VNI  uint32
	MACs []ether.MAC
	// Many are so many more, which nobody has: 0a:00 and a number from First on.
	Many, First uint32
}

// All gives the addresses, those of Many too.
func (m LeafMACs) All() []ether.MAC {
	all := slices.Clone(m.MACs)
	for i := range m.Many {
		all = append(all, manyMAC(m.First+i))
	}
	return all
}

func manyMAC(i uint32) ether.MAC {
	mac := ether.MAC{0x0a}
	binary.BigEndian.PutUint32(mac[2:], i)
	return mac
}

// LeafPrefixes are what a leaf routes; VNI 0: nothing.
type LeafPrefixes struct {
	VNI       uint32
	RouterMAC ether.MAC
	Prefixes  []netip.Prefix
}

// GoBGPLeaf is a leaf of GoBGP and kernel VXLAN devices, whose forwarding goes on
// when its BGP process ends: what FRR before 10.6 is not.
type GoBGPLeaf struct {
	Name   string
	NS     *Namespace
	Config GoBGPConfig

	lab    *Lab
	binary string
	bgp    *Process
}

// NewGoBGPLeaf makes the bridges and VXLAN devices that a configuration names in
// a namespace. binary is the program gobgpleaf.
func (l *Lab) NewGoBGPLeaf(n *Namespace, name, binary string, c GoBGPConfig) (*GoBGPLeaf, error) {
	leaf := &GoBGPLeaf{Name: name, NS: n, Config: c, lab: l, binary: binary}
	if err := n.AddAddress("lo", netip.PrefixFrom(c.VTEP, c.VTEP.BitLen())); err != nil {
		return nil, err
	}
	if err := n.Sysctl("net.ipv4.ip_forward", "1"); err != nil {
		return nil, err
	}
	for _, m := range c.MACs {
		if err := addVNI(n, n, c.VTEP, m.VNI, 1500); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if c.L3.VNI == 0 {
		return leaf, nil
	}
	if err := addVNI(n, n, c.VTEP, c.L3.VNI, 1500); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return leaf, n.SetMAC(bridgeOf(c.L3.VNI), c.L3.RouterMAC)
}

// Join puts a device of the leaf's namespace into a VNI's bridge.
func (g *GoBGPLeaf) Join(dev string, vni uint32) error { return join(g.NS, dev, vni) }

func (g *GoBGPLeaf) file() string { return filepath.Join(g.lab.Dir, g.Name+".json") }

func (g *GoBGPLeaf) write() error {
	text, err := json.MarshalIndent(g.Config, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", g.Name, err)
	}
	// In one step: the program may be reading.
	if err := os.WriteFile(g.file()+".new", text, 0o644); err != nil {
		return fmt.Errorf("%s: write its configuration: %w", g.Name, err)
	}
	return os.Rename(g.file()+".new", g.file())
}

// Start starts the BGP process, also one that was killed.
func (g *GoBGPLeaf) Start(ctx context.Context) (err error) {
	if err = g.write(); err != nil {
		return err
	}
	ready := 0
	if g.bgp != nil {
		ready = g.timesReady()
	}
	if g.bgp, err = g.lab.Start(g.NS, g.Name, g.binary, g.file()); err != nil {
		return err
	}
	return Eventually(ctx, patience, g.Name+" runs", func(context.Context) error {
		if err := g.bgp.Running(); err != nil {
			return err
		}
		if g.timesReady() == ready {
			return fmt.Errorf("its last words: %s", g.bgp.Tail(400))
		}
		return nil
	})
}

// timesReady counts, in the log, how often it was ready.
func (g *GoBGPLeaf) timesReady() int { return strings.Count(g.bgp.Tail(1<<24), "\nready") }

// Reload advertises what Config says now.
func (g *GoBGPLeaf) Reload() error {
	if err := g.write(); err != nil {
		return err
	}
	return g.bgp.Signal(syscall.SIGHUP)
}

// Kill ends the BGP process; the kernel goes on forwarding.
func (g *GoBGPLeaf) Kill() error { return g.bgp.Kill() }
