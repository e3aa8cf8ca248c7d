package testbed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

// stations gives what is at each port of a gateway or leaf: the hosts, and the
// devices of h2 that are not in use.
func (d *demo) stations() []*Host { return append(d.hosts(), d.spares()...) }

// spares gives those devices as silent stations of the blue bridge.
func (d *demo) spares() (list []*Host) {
	for _, dev := range []string{atPort2, atPort3, atLeaf1, atLeaf2} {
		if dev != d.h2.Dev {
			list = append(list, &Host{Name: "h2 at " + places[dev], NS: d.h2.NS, Dev: dev, MAC: spareMAC(dev)})
		}
	}
	return list
}

// atLeaf2 gives the stations of the blue bridge behind leaf2.
func (d *demo) atLeaf2() []*Host {
	return slices.DeleteFunc(d.bridgeOfHost(d.l2a), func(h *Host) bool { return h.Dev != atLeaf2 && h != d.l2a })
}

// listeners gives a probe at every station of both bridges.
func (d *demo) listeners() (*probe, error) { return newProbe(d.stations()...) }

// bridgeOfHost gives all stations of the bridge that one is in.
func (d *demo) bridgeOfHost(h *Host) []*Host {
	if slices.Contains(d.inGreen, h) {
		return d.inGreen
	}
	return append(slices.Clone(d.inBlue), d.spares()...)
}

// others counts one copy for every station of the sender's bridge but itself.
func (d *demo) others(from *Host) map[string]int {
	want := map[string]int{}
	for _, h := range d.bridgeOfHost(from) {
		if h.Name != from.Name {
			want[h.Name] = 1
		}
	}
	return want
}

// expectFrame sends one frame and expects its copies.
func (d *demo) expectFrame(ctx context.Context, from *Host, source, destination ether.MAC, want map[string]int) error {
	err := d.expect(ctx, from, want, func(p *probe) error { return p.Send(from, source, destination) })
	if err != nil {
		return fmt.Errorf("frame from %s to %s: %w", from.Name, destination, err)
	}
	return nil
}

// expectKnown sends one frame to a station that is known everywhere, and expects it
// there alone. If the station had been silent for so long that it may have aged out
// by then, that says nothing, and is done again.
func (d *demo) expectKnown(ctx context.Context, from, to *Host, at string) error {
	for start := time.Now(); ; {
		var silent time.Duration
		err := d.expect(ctx, from, map[string]int{at: 1}, func(p *probe) error {
			spoke, err := d.knownSince(ctx, to)
			if err == nil {
				err = p.Send(from, from.MAC, to.MAC)
			}
			silent = time.Since(spoke)
			return err
		})
		if err == nil {
			return nil
		}
		if silent < leafAgeing/2 || time.Since(start) > patience {
			return fmt.Errorf("frame from %s to %s, which spoke %v before: %w", from.Name, to.MAC, silent, err)
		}
	}
}

// expect has a station send something, and expects its copies.
func (d *demo) expect(ctx context.Context, from *Host, want map[string]int, send func(*probe) error) error {
	p, err := d.listeners()
	if err != nil {
		return err
	}
	if err = send(p); err == nil {
		err = p.Expect(ctx, want, d.fence(from, want))
	}
	return errors.Join(err, p.Close())
}

// fence gives a broadcast from a station: when it has come to those who are to
// receive something, or if nobody is, to everybody, so has what went before it.
func (d *demo) fence(from *Host, want map[string]int) func(context.Context) error {
	if len(want) == 0 {
		want = d.others(from)
	}
	return func(ctx context.Context) error {
		p, err := d.listeners()
		if err != nil {
			return err
		}
		err = p.Send(from, from.MAC, ether.Broadcast)
		if err == nil {
			err = p.Await(ctx, slices.Collect(maps.Keys(want)))
		}
		return errors.Join(err, p.Close())
	}
}

func broadcastOnce(ctx context.Context, d *demo) (string, error) {
	for _, from := range d.stations() {
		if err := d.expectFrame(ctx, from, from.MAC, ether.Broadcast, d.others(from)); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("sent from each of %d ports in turn, counted at all", len(d.stations())), nil
}

func unknownUnicast(ctx context.Context, d *demo) (string, error) {
	station := ether.MAC{2, 0, 0, 0, 0xee, 1} // will be behind the trunk, VLAN 10
	for _, from := range []*Host{d.h1, d.l1a} {
		if err := d.expectFrame(ctx, from, from.MAC, station, d.others(from)); err != nil {
			return "", fmt.Errorf("before it is learned: %w", err)
		}
	}
	for _, from := range []*Host{d.h1, d.l1a, d.l2a} {
		if err := d.expectKnown(ctx, from, d.t10.at(station), d.t10.Name); err != nil {
			return "", fmt.Errorf("after it was learned: %w", err)
		}
	}
	return fmt.Sprintf("to %s, from behind the gateway and behind the leaves", station), nil
}

// repeatAfter is how often a station speaks while one waits for it to be known: it
// would age out otherwise, where many seconds go by before all have been asked.
const repeatAfter = leafAgeing / 4

// known has a station speak, and waits until the gateway and both leaves know where
// it is.
func (d *demo) known(ctx context.Context, h *Host) error {
	_, err := d.knownSince(ctx, h)
	return err
}

// knownSince does what known does, and gives the time when the station last spoke.
func (d *demo) knownSince(ctx context.Context, h *Host) (spoke time.Time, err error) {
	bridge, vni, vtep := d.whereabouts(h)
	what := fmt.Sprintf("%s is known behind %s", h.MAC, vtep)
	err = Eventually(ctx, patience, what, func(ctx context.Context) error {
		if time.Since(spoke) > repeatAfter {
			spoke = time.Now()
			if err := h.speak(); err != nil {
				return err
			}
		}
		return d.knownBehind(ctx, h.MAC, bridge, vni, vtep)
	})
	return spoke, err
}

// knownBehind checks that the gateway and both leaves have a MAC address behind a
// VTEP.
func (d *demo) knownBehind(ctx context.Context, mac ether.MAC, bridge string, vni uint32, vtep string) error {
	fdb, err := d.gateway.FDB(ctx, bridge)
	if err != nil {
		return err
	}
	e := fdb[mac.String()]
	local := vtep == gatewayVTEP.String()
	if e == nil || local != (e.GetPort() != "") || (!local && e.GetVtep() != vtep) {
		return fmt.Errorf("the gateway has %v", e)
	}
	if e.GetState() != p4evpnv1.State_STATE_UP {
		return fmt.Errorf("the gateway's entry is %s: %s", e.GetState(), e.GetReason())
	}
	for _, leaf := range []*Leaf{d.leaf1, d.leaf2} {
		macs, err := leaf.MACs(ctx, vni)
		if err != nil {
			return err
		}
		e, ok := macs[mac.String()]
		if !ok || (vtep == leaf.VTEP.String()) != (e.Type == "local") || (e.Type == "remote" && e.VTEP != vtep) {
			return fmt.Errorf("%s has %+v", leaf.Name, e)
		}
	}
	return nil
}

// at gives a station beside a host, with a MAC address of its own.
func (h *Host) at(mac ether.MAC) *Host {
	return &Host{Name: "a station at " + h.Name, NS: h.NS, Dev: h.Dev, MAC: mac}
}

// speak has a station be heard in its bridge.
func (h *Host) speak() error {
	if h.Address.IsValid() {
		return h.Announce()
	}
	frame := append(slices.Clone(ether.Broadcast[:]), h.MAC[:]...)
	frame = append(frame, 0x88, 0xb5) // local experiments
	return sendFrom(h, append(frame, make([]byte, 46)...))
}

// whereabouts gives the bridge, VNI and VTEP that a station is in and behind.
func (d *demo) whereabouts(h *Host) (bridge string, vni uint32, vtep string) {
	bridge, vni, vtep = blue, blueVNI, gatewayVTEP.String()
	switch h.NS {
	case d.t20.NS, d.l1b.NS, d.l2b.NS:
		bridge, vni = green, greenVNI
	}
	switch {
	case h.NS == d.l1a.NS, h.NS == d.l1b.NS, h.NS == d.h2.NS && h.Dev == atLeaf1:
		vtep = leaf1VTEP.String()
	case h.NS == d.l2a.NS, h.NS == d.l2b.NS, h.NS == d.h2.NS && h.Dev == atLeaf2:
		vtep = leaf2VTEP.String()
	}
	return bridge, vni, vtep
}

func knownUnicast(ctx context.Context, d *demo) (string, error) {
	n := 0
	for _, way := range [][2]*Host{
		{d.h1, d.t10}, {d.t10, d.h1}, {d.h1, d.l1a}, {d.t10, d.l2a}, {d.l1a, d.t10}, {d.l2a, d.h1}, {d.l1a, d.l2a},
		{d.t20, d.l1b}, {d.l2b, d.t20},
	} {
		if err := d.expectKnown(ctx, way[0], way[1], way[1].Name); err != nil {
			return "", err
		}
		n++
	}
	return fmt.Sprintf("%d pairs: local, by VXLAN, and between the leaves past the gateway", n), nil
}

// foreignTags sends, from the trunk and from an access port, frames whose tag
// no bridge has there, and an untagged one from the trunk.
func foreignTags(ctx context.Context, d *demo) (string, error) {
	trunk := &Host{Name: "the trunk", NS: d.trunk, Dev: "eth0"}
	source := ether.MAC{2, 0, 0, 0, 0xee, 2}
	for _, c := range []struct {
		from  *Host
		tag   uint16 // 0: untagged
		fence *Host  // at the same port
	}{{trunk, foreignTag, d.t10}, {trunk, 0, d.t10}, {d.h1, tagBlue, d.h1}, {d.h1, tagGreen, d.h1}} {
		err := d.expect(ctx, c.fence, nil, func(p *probe) error { return p.sendTagged(c.from, source, c.tag) })
		if err != nil {
			return "", fmt.Errorf("VLAN %d from %s: %w", c.tag, c.from.Name, err)
		}
	}
	return "", nil
}

// sendTagged sends a broadcast of the probe with an 802.1Q tag.
func (p *probe) sendTagged(from *Host, source ether.MAC, tag uint16) error {
	frame := p.frame(source, ether.Broadcast)
	if tag != 0 {
		tagged := append(frame[:12:12], 0, 0, 0, 0)
		binary.BigEndian.PutUint16(tagged[12:], unix.ETH_P_8021Q)
		binary.BigEndian.PutUint16(tagged[14:], tag)
		frame = append(tagged, frame[12:]...)
	}
	return sendFrom(from, frame)
}
