package controller

import (
	"iter"
	"net/netip"

	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// entry is a typed value of package p4. With only its key fields set it names
// an entry; that is what is marked dirty.
type entry = p4.Typed

// tables registers the table of each type.
func tables() *registry {
	r := &registry{}
	registerPorts(r)
	registerUnderlay(r)
	registerFloods(r)
	registerBridges(r)
	registerHosts(r)
	registerRouting(r)
	registerGateways(r)
	registerGuards(r)
	return r
}

func registerPorts(r *registry) {
	for _, typ := range []p4.Type{p4.TypeBridgePort, p4.TypeUplink, p4.TypeHostPort} {
		r[typ] = fromObjects(
			func(l *loop, k entry) entry { return l.portKinds[k.Key()] }, // from the configuration
			func(l *loop) { l.markPortKinds(typ) })
	}
	r[p4.TypeMember] = fromObjects(
		func(l *loop, k p4.Member) entry { return l.desiredMember(k.Port, k.VLAN) },
		func(l *loop) {
			for _, p := range l.ports {
				for vlan := range p.attached {
					l.mark(p4.Member{Port: p.Number, VLAN: vlan})
				}
			}
		})
	r[p4.TypeEgressVLAN] = fromObjects(
		func(l *loop, k p4.EgressVLAN) entry { return l.desiredEgressVLAN(k.Port, k.Bridge) },
		func(l *loop) {
			for _, b := range l.bridges {
				for port := range b.ports {
					l.mark(p4.EgressVLAN{Port: port, Bridge: b.Index})
				}
			}
		})
	r[p4.TypeCloneSession] = fromObjects(
		func(l *loop, k p4.CloneSession) entry { return l.desiredCloneSession(k) },
		func(l *loop) {
			l.mark(p4.CloneSession{ID: p4.CPUCloneSession})
			l.mark(p4.CloneSession{ID: p4.SampleCloneSession})
		})
	r[p4.TypeTrap] = fromObjects(
		func(l *loop, k p4.Trap) entry { return l.desiredTrap(k) },
		func(l *loop) {
			for _, t := range l.traps() {
				l.mark(t)
			}
		})
}

func registerUnderlay(r *registry) {
	r[p4.TypeLocalVTEP] = fromObjects(
		func(l *loop, k p4.LocalVTEP) entry { return l.desiredLocalVTEP(k.Address) },
		func(l *loop) {
			for a := range l.localVTEPs {
				l.mark(p4.LocalVTEP{Address: a})
			}
		})
	r[p4.TypeRemoteVTEP] = of[p4.RemoteVTEP]{
		desired: func(l *loop, k p4.RemoteVTEP) entry { return l.desiredRemoteVTEP(k.Prefix) },
		all: func(l *loop) {
			l.mark(p4.RemoteVTEP{Prefix: anyRemoteVTEP})
			for a := range l.remoteVTEPs {
				l.mark(remoteVTEPKey(a))
			}
		},
		adopt: adoptNothing[p4.RemoteVTEP], gone: freeNothing[p4.RemoteVTEP],
		fromBGP: neverFromBGP[p4.RemoteVTEP], flipped: noneDoesWithout[p4.RemoteVTEP],
		concerns: func(l *loop, k p4.RemoteVTEP) []subject { return l.reachedBy(k.Prefix.Addr()) },
		given:    neverGiven[p4.RemoteVTEP], most: asManyAsFit[p4.RemoteVTEP],
	}.table()
	r[p4.TypeAdjacency] = of[p4.Adjacency]{
		desired: func(l *loop, k p4.Adjacency) entry { return l.desiredAdjacency(k.ID) },
		all: func(l *loop) {
			for id := range l.adjacencyByID {
				l.mark(p4.Adjacency{ID: id})
			}
		},
		adopt:   (*loop).adoptAdjacencies,
		gone:    func(l *loop, k p4.Adjacency) { l.forgetAdjacency(k.ID) },
		fromBGP: neverFromBGP[p4.Adjacency], flipped: noneDoesWithout[p4.Adjacency], concerns: concernsNobody[p4.Adjacency],
		given: neverGiven[p4.Adjacency], most: asManyAsFit[p4.Adjacency],
	}.table()
	registerUplinks(r)
	registerTunnels(r)
}

func registerUplinks(r *registry) {
	r[p4.TypeUplinkSlot] = of[p4.UplinkSlot]{
		desired: func(l *loop, k p4.UplinkSlot) entry { return l.desiredSlot(k) },
		all: func(l *loop) {
			for _, g := range l.uplinkGroups.byID {
				l.markSlots(g)
			}
		},
		adopt:   (*loop).adoptSlots,
		gone:    func(l *loop, k p4.UplinkSlot) { l.forgetGroup(k.Group) },
		fromBGP: neverFromBGP[p4.UplinkSlot],
		flipped: func(l *loop, k p4.UplinkSlot) { l.groupFlipped(k, k.Group) }, concerns: concernsNobody[p4.UplinkSlot],
		given: neverGiven[p4.UplinkSlot], most: asManyAsFit[p4.UplinkSlot],
	}.table()
	r[p4.TypeUplinkGroup] = of[p4.UplinkGroup]{
		desired: func(l *loop, k p4.UplinkGroup) entry { return l.desiredUplinkGroup(k.ID) },
		all: func(l *loop) {
			for id := range l.uplinkGroups.byID {
				l.mark(p4.UplinkGroup{ID: id})
			}
		},
		adopt:   adoptNothing[p4.UplinkGroup],
		gone:    func(l *loop, k p4.UplinkGroup) { l.forgetGroup(k.ID) },
		fromBGP: neverFromBGP[p4.UplinkGroup],
		flipped: func(l *loop, k p4.UplinkGroup) { l.groupFlipped(k, k.ID) }, concerns: concernsNobody[p4.UplinkGroup],
		given: neverGiven[p4.UplinkGroup], most: asManyAsFit[p4.UplinkGroup],
	}.table()
}

func registerTunnels(r *registry) {
	r[p4.TypeTunnel] = of[p4.Tunnel]{
		desired: func(l *loop, k p4.Tunnel) entry { return l.desiredTunnel(k.VTEP) },
		all: func(l *loop) {
			for id := range l.tunnelByID {
				l.mark(p4.Tunnel{VTEP: id})
			}
		},
		adopt:    (*loop).adoptTunnels,
		gone:     func(l *loop, k p4.Tunnel) { l.forgetTunnel(k.VTEP) },
		fromBGP:  neverFromBGP[p4.Tunnel],
		flipped:  func(l *loop, k p4.Tunnel) { l.markFloods(k.VTEP) },
		concerns: func(l *loop, k p4.Tunnel) []subject { return l.tunnelByID[k.VTEP].floodedBy() },
		given:    neverGiven[p4.Tunnel], most: asManyAsFit[p4.Tunnel],
	}.table()
	r[p4.TypePath] = of[p4.Path]{
		desired: func(l *loop, k p4.Path) entry { return l.desiredPath(k.VTEP) },
		all: func(l *loop) {
			for id := range l.tunnelByID {
				l.mark(p4.Path{VTEP: id})
			}
		},
		adopt:    adoptNothing[p4.Path],
		gone:     func(l *loop, k p4.Path) { l.forgetTunnel(k.VTEP) },
		fromBGP:  neverFromBGP[p4.Path],
		flipped:  func(l *loop, k p4.Path) { l.markFloods(k.VTEP) },
		concerns: func(l *loop, k p4.Path) []subject { return l.tunnelByID[k.VTEP].floodedBy() },
		given:    neverGiven[p4.Path], most: asManyAsFit[p4.Path],
	}.table()
	r[p4.TypeFlows] = of[p4.Flows]{
		desired: func(l *loop, k p4.Flows) entry { return l.desiredFlows(k.VTEP) },
		all: func(l *loop) {
			for id := range l.tunnelByID {
				l.mark(p4.Flows{VTEP: id})
			}
		},
		adopt:    func(l *loop, _ iter.Seq[p4.Flows]) { l.rejoin() },
		gone:     func(l *loop, k p4.Flows) { l.forgetTunnel(k.VTEP) },
		fromBGP:  neverFromBGP[p4.Flows],
		flipped:  func(l *loop, k p4.Flows) { l.flowsFlipped(k) },
		concerns: func(l *loop, k p4.Flows) []subject { return l.tunnelByID[k.VTEP].floodedBy() },
		given:    alwaysGiven[p4.Flows], // who finds no room has one path
		most:     asManyAsFit[p4.Flows],
	}.table()
}

func registerFloods(r *registry) {
	r[p4.TypeReplica] = of[p4.Replica]{
		desired: func(l *loop, k p4.Replica) entry { return l.desiredReplica(k.Bridge, k.Instance) },
		all: func(l *loop) {
			for _, b := range l.bridges {
				for instance := range b.replicas {
					l.mark(p4.Replica{Bridge: b.Index, Instance: instance})
				}
			}
		},
		adopt:    (*loop).adoptReplicas,
		gone:     func(l *loop, k p4.Replica) { l.forgetReplica(k.Bridge, k.Instance) },
		fromBGP:  alwaysFromBGP[p4.Replica],
		flipped:  func(l *loop, k p4.Replica) { l.mark(p4.Group{ID: k.Bridge}) },
		concerns: func(_ *loop, k p4.Replica) []subject { return []subject{{ofBridge, k.Bridge}} },
		given:    neverGiven[p4.Replica], most: func(l *loop, _ p4.Replica) int { return l.cfg.MaxReplicas },
	}.table()
	r[p4.TypeGroup] = fromObjects(
		func(l *loop, k p4.Group) entry { return l.desiredGroup(k.ID) },
		func(l *loop) {
			for _, b := range l.bridges {
				l.mark(p4.Group{ID: b.Index})
			}
		})
}

func registerBridges(r *registry) {
	r[p4.TypeVNI] = fromObjects(
		func(l *loop, k p4.VNI) entry { return l.desiredVNI(k.Local, k.VNI) },
		func(l *loop) {
			for _, b := range l.bridges {
				if b.localVTEP.IsValid() {
					l.mark(p4.VNI{Local: b.localVTEP, VNI: b.VNI})
				}
			}
		})
	r[p4.TypeSource] = of[p4.Source]{
		desired: func(l *loop, k p4.Source) entry { return l.desiredSource(k.Bridge, k.MAC, k.Port) },
		all:     (*loop).markSources,
		adopt: func(l *loop, held iter.Seq[p4.Source]) {
			for s := range held {
				l.adoptSource(s)
			}
		},
		gone: freeNothing[p4.Source], fromBGP: neverFromBGP[p4.Source], flipped: noneDoesWithout[p4.Source],
		concerns: func(_ *loop, k p4.Source) []subject { return []subject{{ofBridge, k.Bridge}} },
		given:    func(_ *loop, e p4.Source) bool { return e.IdleTimeout == 0 }, most: asManyAsFit[p4.Source],
	}.table()
	r[p4.TypeFDB] = of[p4.FDB]{
		desired: func(l *loop, k p4.FDB) entry { return l.desiredFDB(k.Bridge, k.MAC) },
		all: func(l *loop) {
			for _, b := range l.bridges {
				for mac := range b.macs {
					l.mark(p4.FDB{Bridge: b.Index, MAC: mac})
				}
			}
		},
		adopt: adoptNothing[p4.FDB], gone: freeNothing[p4.FDB],
		fromBGP:  func(_ *loop, e p4.FDB) bool { return e.Kind == p4.ToVTEP },
		flipped:  noneDoesWithout[p4.FDB],
		concerns: func(_ *loop, k p4.FDB) []subject { return []subject{{ofBridge, k.Bridge}} },
		given:    (*loop).givenFDB, most: asManyAsFit[p4.FDB],
	}.table()
}

func registerHosts(r *registry) {
	r[p4.TypeARPHost] = of[p4.ARPHost]{
		desired: func(l *loop, k p4.ARPHost) entry { return l.desiredAnswer(k.Bridge, k.Address) },
		all:     func(l *loop) { l.markAnswers(netip.Addr.Is4) },
		adopt: func(l *loop, held iter.Seq[p4.ARPHost]) {
			for k := range held {
				l.adoptHost(k.Bridge, k.Address, k.MAC, 0, k.Metadata)
			}
		},
		gone:     freeNothing[p4.ARPHost],
		fromBGP:  func(l *loop, e p4.ARPHost) bool { return l.answersForBGP(e.Bridge, e.Address, e.Metadata) },
		flipped:  noneDoesWithout[p4.ARPHost],
		concerns: func(_ *loop, k p4.ARPHost) []subject { return []subject{{ofBridge, k.Bridge}, {ofGateway, k.Bridge}} },
		given:    func(l *loop, e p4.ARPHost) bool { return l.givenAnswer(e.Bridge, e.Address) },
		most:     asManyAsFit[p4.ARPHost],
	}.table()
	r[p4.TypeNDHost] = of[p4.NDHost]{
		desired: func(l *loop, k p4.NDHost) entry { return l.desiredAnswer(k.Bridge, k.Address) },
		all:     func(l *loop) { l.markAnswers(netip.Addr.Is6) },
		adopt: func(l *loop, held iter.Seq[p4.NDHost]) {
			for k := range held {
				l.adoptHost(k.Bridge, k.Address, k.MAC, heldFlags(k), k.Metadata)
			}
		},
		gone:     freeNothing[p4.NDHost],
		fromBGP:  func(l *loop, e p4.NDHost) bool { return l.answersForBGP(e.Bridge, e.Address, e.Metadata) },
		flipped:  noneDoesWithout[p4.NDHost],
		concerns: func(_ *loop, k p4.NDHost) []subject { return []subject{{ofBridge, k.Bridge}, {ofGateway, k.Bridge}} },
		given:    func(l *loop, e p4.NDHost) bool { return l.givenAnswer(e.Bridge, e.Address) }, most: asManyAsFit[p4.NDHost],
	}.table()
}

func registerRouting(r *registry) {
	r[p4.TypeL3VNI] = fromObjects(
		func(l *loop, k p4.L3VNI) entry { return l.desiredVNI(k.Local, k.VNI) },
		func(l *loop) {
			for _, v := range l.vrfs {
				if v.localVTEP.IsValid() {
					l.mark(p4.L3VNI{Local: v.localVTEP, VNI: v.VNI})
				}
				for _, s := range v.svis {
					l.markL3VNI(s)
				}
			}
		})
	registerNextHops(r)
	r[p4.TypeRoute] = of[p4.Route]{
		desired: func(l *loop, k p4.Route) entry { return l.desiredRoute(k.VRF, k.Prefix) },
		all: func(l *loop) {
			for _, v := range l.vrfs {
				for p := range l.prefixesOf(v) {
					l.mark(p4.Route{VRF: v.Index, Prefix: p})
				}
			}
		},
		adopt: func(l *loop, _ iter.Seq[p4.Route]) { l.claimNextHops() }, gone: freeNothing[p4.Route],
		fromBGP:  (*loop).routeFromBGP,
		flipped:  noneDoesWithout[p4.Route],
		concerns: func(_ *loop, k p4.Route) []subject { return []subject{{ofVRF, k.VRF}} },
		given:    (*loop).givenRoute, most: func(l *loop, k p4.Route) int { return l.maxRoutes(k.VRF) },
	}.table()
	r[p4.TypeRouterMAC] = of[p4.RouterMAC]{
		desired: func(l *loop, k p4.RouterMAC) entry { return l.desiredRouterMAC(k.Bridge, k.MAC) },
		all:     (*loop).markAllGatewayMACs,
		adopt:   adoptNothing[p4.RouterMAC], gone: freeNothing[p4.RouterMAC],
		fromBGP:  func(l *loop, e p4.RouterMAC) bool { return !l.ours(l.bridges[e.Bridge], e.MAC) },
		flipped:  noneDoesWithout[p4.RouterMAC],
		concerns: func(_ *loop, k p4.RouterMAC) []subject { return []subject{{ofGateway, k.Bridge}} },
		given:    func(l *loop, e p4.RouterMAC) bool { return l.givenMAC(e.Bridge, e.MAC) }, most: asManyAsFit[p4.RouterMAC],
	}.table()
	r[p4.TypeRouterInterface] = fromObjects(
		func(l *loop, k p4.RouterInterface) entry { return l.desiredRouterInterface(k.Bridge) },
		func(l *loop) {
			for s := range l.gateways() {
				l.mark(p4.RouterInterface{Bridge: s.bridge.Index})
			}
		})
}

func registerNextHops(r *registry) {
	r[p4.TypeNextHopSlot] = of[p4.NextHopSlot]{
		desired: func(l *loop, k p4.NextHopSlot) entry { return l.desiredNextHopSlot(k) },
		all: func(l *loop) {
			for _, g := range l.nextHops.byID {
				l.markNextHopSlots(g)
			}
		},
		adopt:   (*loop).adoptNextHops,
		gone:    func(l *loop, k p4.NextHopSlot) { l.forgetNextHops(k.Group) },
		fromBGP: neverFromBGP[p4.NextHopSlot], // see leads
		flipped: func(l *loop, k p4.NextHopSlot) { l.nextHopsFlipped(k, k.Group) }, concerns: concernsNobody[p4.NextHopSlot],
		given: neverGiven[p4.NextHopSlot], most: asManyAsFit[p4.NextHopSlot],
	}.table()
	r[p4.TypeNextHopGroup] = of[p4.NextHopGroup]{
		desired: func(l *loop, k p4.NextHopGroup) entry { return l.desiredNextHopGroup(k) },
		all: func(l *loop) {
			for id := range l.nextHops.byID {
				l.mark(p4.NextHopGroup{ID: id})
			}
		},
		adopt:   adoptNothing[p4.NextHopGroup],
		gone:    func(l *loop, k p4.NextHopGroup) { l.forgetNextHops(k.ID) },
		fromBGP: neverFromBGP[p4.NextHopGroup],
		flipped: func(l *loop, k p4.NextHopGroup) { l.nextHopsFlipped(k, k.ID) }, concerns: concernsNobody[p4.NextHopGroup],
		given: neverGiven[p4.NextHopGroup], most: asManyAsFit[p4.NextHopGroup],
	}.table()
	r[p4.TypeMultipath] = of[p4.Multipath]{
		desired: func(l *loop, k p4.Multipath) entry { return l.desiredMultipath(k) },
		all: func(l *loop) {
			for id := range l.nextHops.byID {
				l.mark(p4.Multipath{Group: id})
			}
		},
		adopt:   adoptNothing[p4.Multipath],
		gone:    func(l *loop, k p4.Multipath) { l.forgetNextHops(k.Group) },
		fromBGP: neverFromBGP[p4.Multipath],
		flipped: func(l *loop, k p4.Multipath) { l.nextHopsFlipped(k, k.Group) }, concerns: concernsNobody[p4.Multipath],
		given: alwaysGiven[p4.Multipath], // who finds no room for a group has one next hop
		most:  asManyAsFit[p4.Multipath],
	}.table()
}

func registerGateways(r *registry) {
	r[p4.TypeGateway] = fromObjects(
		func(l *loop, k p4.Gateway) entry { return l.desiredGateway(k.Bridge, k.Address) },
		func(l *loop) {
			for s := range l.gateways() {
				for _, ip := range s.guarded() {
					l.mark(p4.Gateway{Bridge: s.bridge.Index, Address: ip})
				}
			}
		})
	r[p4.TypeGatewayTarget] = fromObjects(
		func(l *loop, k p4.GatewayTarget) entry { return l.desiredGatewayTarget(k.Bridge, k.Address) },
		func(l *loop) {
			for s := range l.gateways() {
				for _, ip := range s.guarded() {
					if ip.Is6() {
						l.mark(p4.GatewayTarget{Bridge: s.bridge.Index, Address: ip})
					}
				}
			}
		})
	r[p4.TypeGatewayMAC] = of[p4.GatewayMAC]{
		desired: func(l *loop, k p4.GatewayMAC) entry { return l.desiredGatewayMAC(k.Bridge, k.MAC) },
		all:     (*loop).markAllGatewayMACs,
		adopt:   adoptNothing[p4.GatewayMAC], gone: freeNothing[p4.GatewayMAC],
		fromBGP:  func(l *loop, e p4.GatewayMAC) bool { return !l.ours(l.bridges[e.Bridge], e.MAC) },
		flipped:  noneDoesWithout[p4.GatewayMAC],
		concerns: func(_ *loop, k p4.GatewayMAC) []subject { return []subject{{ofGateway, k.Bridge}} },
		given:    func(l *loop, e p4.GatewayMAC) bool { return l.givenMAC(e.Bridge, e.MAC) },
		most:     asManyAsFit[p4.GatewayMAC],
	}.table()
}

func registerGuards(r *registry) {
	r[p4.TypeBoundSource] = of[p4.BoundSource]{
		desired: func(l *loop, k p4.BoundSource) entry { return l.desiredBoundSource(k) },
		all: func(l *loop) {
			for _, b := range l.bridges {
				l.markBound(b)
			}
		},
		adopt: adoptNothing[p4.BoundSource], gone: freeNothing[p4.BoundSource],
		fromBGP: neverFromBGP[p4.BoundSource], flipped: noneDoesWithout[p4.BoundSource],
		concerns: func(_ *loop, k p4.BoundSource) []subject { return []subject{{ofBridge, k.Bridge}} },
		given:    func(l *loop, e p4.BoundSource) bool { return l.boundStatic(l.bridges[e.Bridge], e) },
		most:     asManyAsFit[p4.BoundSource],
	}.table()
	r[p4.TypeNoFlood] = fromObjects(
		func(l *loop, k p4.NoFlood) entry { return l.desiredNoFlood(k.Bridge) },
		func(l *loop) {
			for index := range l.bridges {
				l.mark(p4.NoFlood{Bridge: index})
			}
		})
	r[p4.TypeSnooped] = fromObjects(
		func(l *loop, k p4.Snooped) entry { return l.desiredSnooped(k.Bridge) },
		func(l *loop) {
			for index := range l.bridges {
				l.mark(p4.Snooped{Bridge: index})
			}
		})
}

func (l *loop) markAllGatewayMACs() {
	for s := range l.gateways() {
		l.markGatewayMACs(s.bridge)
	}
}

// desiredCloneSession is one of those that carry copies to the CPU.
func (l *loop) desiredCloneSession(k p4.CloneSession) entry {
	if k.ID != p4.CPUCloneSession && (k.ID != p4.SampleCloneSession || l.cfg.DropSamples < 0) {
		return nil
	}
	return p4.CloneSession{ID: k.ID, Port: p4.CPUPort}
}

// desiredTrap is one of ours.
func (l *loop) desiredTrap(k p4.Trap) entry {
	for _, t := range l.traps() {
		if t.Key() == k.Key() {
			return t
		}
	}
	return nil
}

func (l *loop) markPortKinds(typ p4.Type) {
	for _, k := range l.portKinds {
		if k.Type() == typ {
			l.mark(k)
		}
	}
}

func (l *loop) markSources() {
	for _, b := range l.bridges {
		for mac, s := range b.macs {
			l.markStationSources(b, mac, s)
		}
		for mac, ports := range b.declined {
			for port := range ports {
				l.mark(p4.Source{Bridge: b.Index, MAC: mac, Port: port})
			}
		}
	}
}

// markAnswers marks what answers for the addresses of a family.
func (l *loop) markAnswers(family func(netip.Addr) bool) {
	for _, b := range l.bridges {
		for ip := range b.addresses {
			if family(ip) {
				l.markAnswer(b, ip)
			}
		}
	}
	for s := range l.gateways() {
		for _, ip := range append(s.addresses(), packet.LinkLocal(s.mac)) {
			if family(ip) {
				l.markAnswer(s.bridge, ip)
			}
		}
	}
}

// answersForBGP reports whether an answer for an address is one that peers gave.
func (l *loop) answersForBGP(bridge uint16, ip netip.Addr, metadata string) bool {
	return metadata != localHost && !l.bridges[bridge].svi.has(ip)
}

func (l *loop) routeFromBGP(e p4.Route) bool {
	if e.Kind == p4.RouteHost {
		_, here := l.bridges[e.Bridge].rankHere(e.MAC)
		return !here
	}
	return e.Kind == p4.RouteVTEP || e.Kind == p4.RouteVTEPs
}
