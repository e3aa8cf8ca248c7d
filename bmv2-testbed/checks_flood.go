package testbed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/ether"
)

// listeners gives a probe at every host of both bridges.
func (d *demo) listeners() (*Probe, error) { return NewProbe(d.hosts()...) }

// bridgeOfHost gives all hosts of the bridge that a host is in.
func (d *demo) bridgeOfHost(h *Host) []*Host {
	if slices.Contains(d.inGreen, h) {
		return d.inGreen
	}
	return d.inBlue
}

// others counts one copy for every host of the sender's bridge but itself.
func (d *demo) others(from *Host) map[string]int {
	want := map[string]int{}
	for _, h := range d.bridgeOfHost(from) {
		if h != from {
			want[h.Name] = 1
		}
	}
	return want
}

// expectFrame sends one frame and expects its copies.
func (d *demo) expectFrame(ctx context.Context, from *Host, source, destination ether.MAC, want map[string]int) error {
	p, err := d.listeners()
	if err != nil {
		return err
	}
	err = p.Send(from, source, destination)
	if err == nil {
		err = p.Expect(ctx, want)
	}
	if err != nil {
		err = fmt.Errorf("frame from %s to %s: %w", from.Name, destination, err)
	}
	return errors.Join(err, p.Close())
}

func broadcastOnce(ctx context.Context, d *demo) (string, error) {
	for _, from := range d.hosts() {
		if err := d.expectFrame(ctx, from, from.MAC, ether.Broadcast, d.others(from)); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("sent from each of %d hosts in turn, counted at all", len(d.hosts())), nil
}

func unknownUnicast(ctx context.Context, d *demo) (string, error) {
	station := ether.MAC{2, 0, 0, 0, 0xee, 1} // will be behind the trunk, VLAN 10
	for _, from := range []*Host{d.h1, d.l1a} {
		if err := d.expectFrame(ctx, from, from.MAC, station, d.others(from)); err != nil {
			return "", fmt.Errorf("before it is learned: %w", err)
		}
	}
	if err := d.expectFrame(ctx, d.t10, station, ether.Broadcast, d.others(d.t10)); err != nil {
		return "", err
	}
	if err := d.known(ctx, station, gatewayVTEP.String()); err != nil {
		return "", err
	}
	for _, from := range []*Host{d.h1, d.l1a, d.l2a} {
		if err := d.expectFrame(ctx, from, from.MAC, station, map[string]int{d.t10.Name: 1}); err != nil {
			return "", fmt.Errorf("after it was learned: %w", err)
		}
	}
	return fmt.Sprintf("to %s, from behind the gateway and behind the leaves", station), nil
}

// known waits until the gateway and both leaves know that a MAC address of the
// blue bridge is behind a VTEP.
func (d *demo) known(ctx context.Context, mac ether.MAC, vtep string) error {
	return d.knownIn(ctx, blue, blueVNI, mac, vtep)
}

func (d *demo) knownIn(ctx context.Context, bridge string, vni uint32, mac ether.MAC, vtep string) error {
	return Eventually(ctx, patience, fmt.Sprintf("%s is known behind %s", mac, vtep), func(ctx context.Context) error {
		fdb, err := d.gateway.FDB(ctx, bridge)
		if err != nil {
			return err
		}
		e := fdb[mac.String()]
		local := vtep == gatewayVTEP.String()
		if e == nil || local != (e.GetPort() != "") || (!local && e.GetVtep() != vtep) {
			return fmt.Errorf("the gateway has %v", e)
		}
		if e.GetState() != "up" {
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
	})
}

// whereabouts gives the bridge, VNI and VTEP that a host is in and behind.
func (d *demo) whereabouts(h *Host) (bridge string, vni uint32, vtep string) {
	bridge, vni, vtep = blue, blueVNI, gatewayVTEP.String()
	if slices.Contains(d.inGreen, h) {
		bridge, vni = green, greenVNI
	}
	switch h {
	case d.l1a, d.l1b:
		vtep = leaf1VTEP.String()
	case d.l2a, d.l2b:
		vtep = leaf2VTEP.String()
	}
	return bridge, vni, vtep
}

func knownUnicast(ctx context.Context, d *demo) (string, error) {
	n := 0
	for _, way := range [][2]*Host{
		{d.h1, d.t10}, {d.t10, d.h1}, {d.h1, d.l1a}, {d.t10, d.l2a}, {d.l1a, d.t10}, {d.l2a, d.h1}, {d.l1a, d.l2a}, {d.t20, d.l1b}, {d.l2b, d.t20},
	} {
		if err := way[1].Announce(); err != nil { // so that its address is not about to age out
			return "", err
		}
		bridge, vni, vtep := d.whereabouts(way[1])
		if err := d.knownIn(ctx, bridge, vni, way[1].MAC, vtep); err != nil {
			return "", err
		}
		if err := d.expectFrame(ctx, way[0], way[0].MAC, way[1].MAC, map[string]int{way[1].Name: 1}); err != nil {
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
		from *Host
		tag  uint16 // 0: untagged
	}{{trunk, foreignTag}, {trunk, 0}, {d.h1, tagBlue}, {d.h1, tagGreen}} {
		p, err := d.listeners()
		if err != nil {
			return "", err
		}
		err = p.sendTagged(c.from, source, c.tag)
		if err == nil {
			err = p.Expect(ctx, nil)
		}
		if err = errors.Join(err, p.Close()); err != nil {
			return "", fmt.Errorf("VLAN %d from %s: %w", c.tag, c.from.Name, err)
		}
	}
	return "", nil
}

// sendTagged sends a broadcast of the probe with an 802.1Q tag.
func (p *Probe) sendTagged(from *Host, source ether.MAC, tag uint16) error {
	frame := p.frame(source, ether.Broadcast)
	if tag != 0 {
		tagged := append(frame[:12:12], 0, 0, 0, 0)
		binary.BigEndian.PutUint16(tagged[12:], unix.ETH_P_8021Q)
		binary.BigEndian.PutUint16(tagged[14:], tag)
		frame = append(tagged, frame[12:]...)
	}
	return sendFrom(from, frame)
}
