package controller

import (
	"bytes"
	"context"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// Stations is of view.Fabric.
func (c *Controller) Stations(ctx context.Context, name string) (all []view.Station, settled bool, err error) {
	err = c.ask(ctx, func(l *loop) {
		settled = !l.convergedAt.IsZero()
		if b := l.byID[name]; b != nil {
			all = b.remoteStations()
		}
	})
	return all, settled, err
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
		if at, here := b.selected(mac, s); !here && at != nil {
			slices.SortFunc(addresses[mac], netip.Addr.Compare)
			all = append(all, view.Station{MAC: mac, IPs: addresses[mac]})
		}
	}
	slices.SortFunc(all, func(a, b view.Station) int { return bytes.Compare(a.MAC[:], b.MAC[:]) })
	return all
}

// StationsChanged is of view.Fabric.
func (c *Controller) StationsChanged() <-chan struct{} { return c.stationsChanged }

// noteStation has StationsChanged tell if an entry is of a station.
func (l *loop) noteStation(k entry) {
	switch k.(type) {
	case p4.FDB, p4.ARPHost, p4.NDHost:
		l.stationsChanged = true
	}
}

// tellStations tells of the changes since it was called last.
func (c *Controller) tellStations() {
	if !c.loop.stationsChanged {
		return
	}
	c.loop.stationsChanged = false
	select {
	case c.stationsChanged <- struct{}{}:
	default: // that one is still to be taken
	}
}
