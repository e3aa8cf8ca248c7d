package controller

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// bridge is one logical bridge and all that is known in it.
type bridge struct {
	intent.LogicalBridge
	// localVTEP is our VTEP address for it; invalid unless EVPN stretches it.
	localVTEP netip.Addr
	macs      map[ether.MAC]*station
	ports     map[uint16]uint16      // attached ports → VLAN tag on egress, 0 untagged
	declined  map[ether.MAC]declined // sources that make no digests for a while
	moves     map[ether.MAC]*history // of MACs that moved lately
	learned   int                    // MACs learned here
	full      bool                   // it was said that it has its MACs

	flood      map[netip.Addr]*replica // remote VTEPs that want our floods
	replicas   map[uint16]*replica     // by instance
	replicaIDs ids                     // their instances

	svi          *svi           // its gateway, nil = none in place
	others       *otherGateways // those elsewhere, nil = none
	refusals     [noHostReasons]noHostCount
	addresses    map[netip.Addr]*address
	hosted       int                        // addresses that MACs on its ports claim
	crowded      bool                       // it was said that it has its addresses
	allPorts     map[uint16]*port           // the loop's
	vacant       map[uint16]struct{}        // the loop's
	addressMoves map[netip.Addr]*history    // of addresses that moved lately
	claimed      map[ether.MAC]*addressesOf // what MACs claim here
	rounds       *rounds                    // the loop's, in which each of them has its turn
	away         map[ether.MAC]time.Time    // MACs with claims that are elsewhere, since when
	early        map[ether.MAC]early        // said by MACs that may be about to move here
	sought       map[netip.Addr]time.Time   // addresses that are looked for, since when
	// staticMACs are those in place with their ports, staticIPs their addresses.
	staticMACs map[ether.MAC]uint16
	staticIPs  map[netip.Addr]ether.MAC
	leases     map[netip.Addr]lease          // of stations behind guarded ports
	most       struct{ macs, addresses int } // see without
}

// intentChanged takes one transaction of the store.
func (l *loop) intentChanged(batch intent.Batch) {
	for _, c := range batch.Changes {
		if c.New == nil {
			l.deleteObject(c.Old)
		} else {
			delete(l.leaving, c.New.Ref())
			l.changeObject(c.New, false)
		}
	}
	l.version = batch.Version
	close(l.taken)
	l.taken = make(chan struct{})
}

func (l *loop) changeObject(object intent.Object, deleted bool) {
	switch o := object.(type) {
	case intent.LogicalBridge:
		l.bridgeChanged(o, deleted)
	case intent.BridgePort:
		l.bridgePortChanged(o, deleted)
	case intent.VRF:
		l.vrfChanged(o, deleted)
	case intent.SVI:
		l.sviChanged(o, deleted)
	case intent.Instance:
		l.instanceChanged(o, deleted)
	case intent.StaticMAC:
		l.staticMACChanged(o, deleted)
	case intent.Speaker:
		l.speakerChanged(o, deleted)
	}
}

func (l *loop) bridgeChanged(o intent.LogicalBridge, deleted bool) {
	b := l.byID[o.ID]
	if b != nil && (deleted || b.Index != o.Index) {
		l.deleteBridge(b)
		b = nil
	}
	if deleted {
		return
	}
	if b == nil {
		b = &bridge{
			macs: map[ether.MAC]*station{}, ports: map[uint16]uint16{}, rounds: l.rounds,
			allPorts: l.ports, vacant: l.vacant,
			declined: map[ether.MAC]declined{}, moves: map[ether.MAC]*history{},
			flood: map[netip.Addr]*replica{}, replicas: map[uint16]*replica{},
			replicaIDs: ids{first: p4.LocalInstance + 1, last: 65535},
			addresses:  map[netip.Addr]*address{}, addressMoves: map[netip.Addr]*history{},
			claimed:    map[ether.MAC]*addressesOf{},
			away:       map[ether.MAC]time.Time{},
			early:      map[ether.MAC]early{},
			sought:     map[netip.Addr]time.Time{},
			staticMACs: map[ether.MAC]uint16{}, staticIPs: map[netip.Addr]ether.MAC{},
			leases: map[netip.Addr]lease{},
		}
		l.bridges[o.Index], l.byID[o.ID] = b, b
		l.meterMore(p4.BridgeMeters(o.Index))
		l.awaitSVIs(func(s *svi) bool { return s.Bridge == o.ID })
	}
	old := b.LogicalBridge
	b.LogicalBridge = o
	if old.VNI != o.VNI || old.VTEP != o.VTEP {
		l.stretch(b, old.VNI)
	}
	if old.VLAN != o.VLAN {
		l.markAttachments(b)
	}
	l.markBridge(b)
	l.restoreLeases(b)
}

func (l *loop) deleteBridge(b *bridge) {
	if s := b.svi; s != nil {
		l.removeSVI(s)
		l.dirtySVIs[s.ID] = struct{}{}
	}
	l.forgetHosts(b)
	l.forgetMoves(b)
	l.dropLeases(b)
	old := b.VNI
	b.VNI = 0
	l.stretch(b, old)
	delete(l.bridges, b.Index)
	delete(l.byID, b.ID)
	for mac, s := range b.macs {
		l.forgetLocal(b, mac, s)
	}
	l.markAttachments(b)
	l.markBridge(b)
	for mac, ports := range b.declined {
		for port := range ports {
			l.undecline(b, mac, port)
		}
	}
}

// stretch makes EVPN follow a change of the bridge's VNI or VTEP: imported
// routes leave the bridge and those that match now come in.
func (l *loop) stretch(b *bridge, oldVNI uint32) {
	l.relocate(&b.localVTEP, l.chooseVTEP(b.VNI, b.VTEP), func() {
		l.unimportRoutes(b)
		l.mark(p4.VNI{Local: b.localVTEP, VNI: oldVNI})
		if b.svi != nil {
			l.markSVI(b.svi) // its VRF's VNI ended here too
		}
		if l.byVNI[oldVNI] == b {
			delete(l.byVNI, oldVNI)
		}
	}, func() {
		l.byVNI[b.VNI] = b
		l.mark(p4.VNI{Local: b.localVTEP, VNI: b.VNI})
		l.importRoutes(b)
	})
	l.markAdverts(b)
	l.markDisplacedRDs(oldVNI, b.VNI)
}

// relocate changes the VTEP address of a bridge or VRF, either invalid for none:
// leave is called while it has the old one, enter when it has the new one.
func (l *loop) relocate(local *netip.Addr, to netip.Addr, leave, enter func()) {
	if local.IsValid() {
		leave()
		l.dropLocalVTEP(*local)
		*local = netip.Addr{}
	}
	if to.IsValid() {
		*local = to
		l.useLocalVTEP(to)
		enter()
	}
}

// chooseVTEP gives the VTEP address that a bridge or VRF was given, else the first
// configured one; invalid if there is no VNI or the address is none of ours: what leaves
// sent to it would come to nobody.
func (l *loop) chooseVTEP(vni uint32, vtep netip.Prefix) netip.Addr {
	switch {
	case vni == 0:
		return netip.Addr{}
	case vtep.IsValid():
		if a := vtep.Addr().Unmap(); slices.Contains(l.cfg.VTEPs, a) {
			return a
		}
	case len(l.cfg.VTEPs) > 0:
		return l.cfg.VTEPs[0]
	}
	return netip.Addr{}
}

// whyUnstretched says why EVPN does not stretch a bridge or VRF that has a VNI,
// "" if it does or there is none.
func (l *loop) whyUnstretched(vni uint32, vtep netip.Prefix, local netip.Addr) string {
	switch {
	case vni == 0 || local.IsValid():
		return ""
	case vtep.IsValid() && !vtep.Addr().Unmap().Is4():
		return "VTEP " + vtep.String() + " is IPv6, which the pipeline does not have yet: give an IPv4 one"
	case vtep.IsValid():
		return fmt.Sprintf("VTEP %v is none of this gateway's: want one of vteps in its configuration, which are %v",
			vtep.Addr(), l.cfg.VTEPs)
	}
	return "it has a VNI and no VTEP address: set vtep_ip_prefix or configure one"
}

// useLocalVTEP counts a user of one of our VTEP addresses.
func (l *loop) useLocalVTEP(a netip.Addr) {
	l.localVTEPs[a]++
	if l.localVTEPs[a] == 1 {
		l.mark(p4.LocalVTEP{Address: a})
		l.ownNextHop(a, true)
	}
}

func (l *loop) dropLocalVTEP(a netip.Addr) {
	if l.localVTEPs[a]--; l.localVTEPs[a] == 0 {
		delete(l.localVTEPs, a)
		l.mark(p4.LocalVTEP{Address: a})
		l.ownNextHop(a, false)
	}
}

func (l *loop) desiredLocalVTEP(a netip.Addr) entry {
	if l.localVTEPs[a] == 0 {
		return nil
	}
	return p4.LocalVTEP{Address: a}
}

// markBridge marks all entries that have the bridge in their key.
func (l *loop) markBridge(b *bridge) {
	if b.localVTEP.IsValid() {
		l.mark(p4.VNI{Local: b.localVTEP, VNI: b.VNI})
	}
	for port := range b.ports {
		l.mark(p4.EgressVLAN{Port: port, Bridge: b.Index})
	}
	for instance := range b.replicas {
		l.mark(p4.Replica{Bridge: b.Index, Instance: instance})
	}
	l.mark(p4.Group{ID: b.Index})
	l.mark(p4.NoFlood{Bridge: b.Index})
	l.mark(p4.Snooped{Bridge: b.Index})
	l.markBound(b)
	for mac := range b.macs {
		l.markStation(b, mac)
	}
	for ip := range b.addresses {
		l.markAnswer(b, ip)
	}
	for mac, ports := range b.declined {
		for port := range ports {
			l.mark(p4.Source{Bridge: b.Index, MAC: mac, Port: port})
		}
	}
}
