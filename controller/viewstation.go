package controller

import (
	"bytes"
	"context"
	"maps"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// Behind is of view.Fabric.
func (c *Controller) Behind(ctx context.Context, name string) (r view.Behind, err error) {
	err = c.ask(ctx, func(l *loop) {
		if b := l.byID[name]; b != nil {
			r = b.behind()
		}
		r.Settled = !l.convergedAt.IsZero()
	})
	return r, err
}

func (b *bridge) behind() view.Behind {
	r := view.Behind{Local: b.localVTEP, Stations: b.remoteStations()}
	vteps := map[netip.Addr]bool{}
	for vtep, rep := range b.flood {
		if rep.routes.size() > 0 {
			vteps[vtep] = true
		}
	}
	for _, s := range r.Stations {
		vteps[s.VTEP] = true
	}
	r.VTEPs = slices.SortedFunc(maps.Keys(vteps), netip.Addr.Compare)
	return r
}

// remoteStations are the MACs behind VTEPs, with their addresses, in order.
func (b *bridge) remoteStations() (all []view.Station) {
	addresses := map[ether.MAC][]netip.Addr{}
	for ip := range b.addresses {
		if at := b.locate(ip); at.from != nil {
			addresses[at.mac] = append(addresses[at.mac], ip)
		}
	}
	for mac, s := range b.macs {
		at, here := b.selected(mac, s)
		if at == nil && !b.frozen(mac) {
			at = s.best() // nobody has a way there
		}
		if !here && at != nil {
			slices.SortFunc(addresses[mac], netip.Addr.Compare)
			all = append(all, view.Station{MAC: mac, IPs: addresses[mac], VTEP: at.route.vtep, Reached: at.usable()})
		}
	}
	slices.SortFunc(all, func(a, b view.Station) int { return bytes.Compare(a.MAC[:], b.MAC[:]) })
	return all
}

// noteBehind has BehindChanged tell if an entry is of what may be behind a VTEP.
func (l *loop) noteBehind(k entry) {
	switch k.(type) {
	case p4.FDB, p4.ARPHost, p4.NDHost, p4.Group, p4.VNI:
		l.behindChanged = true
	}
}

// BehindChanged is of view.Fabric.
func (c *Controller) BehindChanged() <-chan struct{} { return c.behindChanged }

// tellBehind tells of the changes since it was called last.
func (c *Controller) tellBehind() {
	if !c.loop.behindChanged {
		return
	}
	c.loop.behindChanged = false
	select {
	case c.behindChanged <- struct{}{}:
	default: // that one is still to be taken
	}
}
