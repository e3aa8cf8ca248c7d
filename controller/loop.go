package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/carrier"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/reconcile"
	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/internal/keyed"
	"github.com/p4evpn/p4evpn/p4"
)

// Intent is where objects come from; *intent.Store is one.
type Intent interface {
	Watch(context.Context) <-chan intent.Batch
	Version() uint64
}

// Speaker is the BGP side; *front.Speaker is one.
type Speaker interface {
	Events() <-chan []bgp.Event // what is received is good until the next is
	Paths() iter.Seq[bgp.Path]
	PathsOf(bgp.Key) []bgp.Path
	Originate(add []bgp.Route, withdraw []bgp.Key) error
	Peers() []bgp.PeerState
}

// Target is the P4Runtime side; *p4rt.Client is one.
type Target interface {
	reconcile.Target
	Events() <-chan p4rt.Event
	PacketOut(context.Context, *p4v1.PacketOut) error
}

// Underlay says how to reach VTEPs; *underlay.Resolver is one.
type Underlay interface {
	Track(netip.Addr)
	Untrack(netip.Addr)
	Events() <-chan underlay.Change
}

// Inputs are the controller's neighbours. The controller neither starts nor
// stops them.
type Inputs struct {
	Intent   Intent
	Speaker  Speaker
	Target   Target
	Underlay Underlay
	SlowPath SlowPath // nil: the kernel does nothing for the VRFs
	Leases   Leases   // nil: leases of DHCP are forgotten with the process
	Carrier  Carrier  // nil: ports have carrier, but for those that the target says have none
}

// Controller is the gateway's control loop. Its methods may be called from any
// goroutine; what they ask is answered by the loop between two events.
type Controller struct {
	cfg      Config
	in       Inputs
	stats    *stats
	loop     *loop // is Run's alone
	requests chan func(*loop)
	running  chan struct{}       // closed when the loop takes requests
	answers  chan slowpath.Frame // of DHCP, that the kernel sent
	stopped  chan struct{}       // closed when Run returned
	synced   chan struct{}       // closed after the first read-back
	// preserved: the target had our pipeline, or kept what fits it of what it held.
	// It is written before synced is closed.
	preserved bool
	// reports holds what Reports gives next; reported is what was given last.
	reports  chan string
	reported *string

	behindChanged chan struct{}
	turns         atomic.Uint64 // in which there was something new
}

// New checks the configuration and makes a Controller. It does nothing until
// Run.
func New(cfg Config, in Inputs) (*Controller, error) {
	return newController(cfg, in, cmp.Or(cfg.Program, p4.P4Info()), tables())
}

// newController is New for a program and what is registered of its tables.
func newController(cfg Config, in Inputs, program *p4configv1.P4Info, tables *registry) (*Controller, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("controller: %w", err)
	}
	if err := tables.check(program); err != nil {
		return nil, fmt.Errorf("controller: %w", err)
	}
	c := &Controller{
		cfg:      cfg,
		in:       in,
		stats:    newStats(),
		requests: make(chan func(*loop)),
		running:  make(chan struct{}),
		answers:  make(chan slowpath.Frame, maxAnswers),
		stopped:  make(chan struct{}),
		synced:   make(chan struct{}),
		reports:  make(chan string, 1),

		behindChanged: make(chan struct{}, 1),
	}
	c.loop = newLoop(cfg, in, program, tables, c.stats)
	return c, nil
}

// Synced is closed once the target's state was taken over for the first time:
// from then on what is local has been given to BGP.
func (c *Controller) Synced() <-chan struct{} { return c.synced }

// Preserved reports, once Synced is closed, whether the target was found with our
// pipeline, or kept what fits it, so that it went on forwarding while nobody
// controlled it.
func (c *Controller) Preserved() bool { return c.preserved }

// Reports gives how the target is, as soon as it is known and whenever it changes:
// "" once what it holds was taken over, else why it cannot be used now. Nobody
// has to receive: a report is replaced by the next.
func (c *Controller) Reports() <-chan string { return c.reports }

// loop is all state, owned by the goroutine that runs it.
type loop struct {
	cfg Config // as it was at the start
	log *slog.Logger
	// as and routerID are the intent's Speaker's, at first the configuration's.
	as       uint32
	routerID netip.Addr
	speaker  Speaker
	underlay Underlay
	slow     SlowPath // nil = none
	carrier  Carrier  // nil = none

	questions   map[exchange]leaseQuestion
	keptLeases  map[string][]intent.Lease // of bridges that are not there yet, by id
	leaseKeeper *leaseKeeper
	// neighbors are the slow path's events; nil when there is none any more.
	neighbors <-chan slowpath.Neighbor

	bridges     map[uint16]*bridge // by index
	byID        map[string]*bridge
	byVNI       map[uint32]*bridge // those that EVPN stretches
	ports       map[uint16]*port   // configured bridge ports
	links       map[uint16]*link   // of all ports, but host ports
	uplinks     map[string]uint16  // host device or name of an uplink → its port
	portKinds   map[p4.Key]entry   // port.kind, from the configuration
	localVTEPs  map[netip.Addr]int // our VTEP addresses → how many use it
	bridgePorts map[string]*bridgePort
	// version is the store's that was taken; taken is closed with the next one.
	version uint64
	taken   chan struct{}
	// leaving are the deleted objects that the target may still know, deleting
	// is the one that is being deleted.
	leaving  map[intent.Ref]*leaving
	deleting *leaving

	thawedAt time.Time
	probedAt time.Time // when next hops of static routes were looked for

	routerMAC   ether.MAC
	asker       ether.MAC // that hosts are asked from
	prober      *prober
	rounds      *rounds
	deaf        bool // the target was away: nobody could be asked
	out         outbox
	vrfs        map[uint16]*vrf // by index
	vrfByID     map[string]*vrf
	vrfByVNI    map[uint32]*vrf // those that EVPN stretches
	svis        map[string]*svi
	instances   map[string]instance                    // by id
	explicitRDs map[bgp.RD]bool                        // that instances were given
	staticMACs  map[string]map[string]intent.StaticMAC // by bridge's id, by id
	expected    map[string]*expectation                // by bridge's id
	kernelHosts map[neighborKey]ether.MAC              // hosts behind VTEPs that the kernel was told of
	forgotten   map[neighborKey]struct{}               // hosts that the kernel was to forget, and has not yet
	askers      map[neighborKey]ether.MAC              // hosts behind VTEPs that get router advertisements

	routes       *keyed.Set[bgp.Key, route] // that can be used
	routeTargets map[bgp.RouteTargets]*routeTargetSet

	remoteVTEPs   map[netip.Addr]*remoteVTEP
	tunnels       map[tunnelKey]*tunnel
	tunnelByID    map[uint16]*tunnel
	tunnelIDs     ids
	unnumbered    map[*tunnel]struct{} // that wait for an id
	vtepsFull     bool                 // it was said that they do
	adjacencies   map[adjacencyKey]*adjacency
	adjacencyByID map[uint16]*adjacency
	adjacencyIDs  ids
	uplinkGroups  uplinkGroups
	nextHops      nextHopGroups

	dirtyPorts       map[uint16]struct{}
	dirtyStaticMACs  map[uint16]struct{} // bridges
	vacant           map[uint16]struct{} // bridges where MACs that were declined may be learned
	dirtyExpected    map[macKey]struct{}
	dirtyRemoteVTEPs map[netip.Addr]struct{}
	dirtyAdverts     map[advertKey]struct{}
	dirtySVIs        map[string]struct{}
	// dirtyNeighbors and dirtyKernel are what the slow path is to be told.
	dirtyNeighbors map[neighborKey]struct{}
	dirtyAskers    map[uint16]struct{} // bridges
	dirtyKernel    bool
	adverts        map[advertKey]bgp.Key // what was originated
	advertised     advertCounts          // of adverts

	tables *registry
	target *reconcile.Reconciler
	// refusedPorts are those that the target does not use, with the reason.
	refusedPorts map[uint32]string
	downPorts    map[uint32]string // those that are down, as it says, with the reason
	// convergedAt is when BGP did; zero = not yet.
	convergedAt   time.Time
	behindChanged bool // since that was told
	clock         steady
	meters        meters
	samples       samples // of dropped frames
	stats         *stats
	asked         func(*bridge, netip.Addr, ether.MAC) // stands in for probes
}

func newLoop(cfg Config, in Inputs, program *p4configv1.P4Info, tables *registry, stats *stats) *loop {
	l := &loop{
		cfg: cfg, log: cfg.Logger, as: cfg.AS, routerID: cfg.RouterID, speaker: in.Speaker, underlay: in.Underlay,
		questions: map[exchange]leaseQuestion{}, keptLeases: readLeases(in.Leases, cfg.Logger),
		leaseKeeper: newLeaseKeeper(in.Leases, cfg.Logger),
		slow:        in.SlowPath, carrier: in.Carrier, links: makeLinks(cfg.Ports),
		bridges: map[uint16]*bridge{}, byID: map[string]*bridge{}, byVNI: map[uint32]*bridge{},
		ports: map[uint16]*port{}, uplinks: map[string]uint16{}, portKinds: map[p4.Key]entry{},
		localVTEPs: map[netip.Addr]int{}, bridgePorts: map[string]*bridgePort{},
		taken: make(chan struct{}), leaving: map[intent.Ref]*leaving{},
		routes: keyed.New((*route).key), routeTargets: map[bgp.RouteTargets]*routeTargetSet{},
		remoteVTEPs: map[netip.Addr]*remoteVTEP{}, tunnels: map[tunnelKey]*tunnel{}, tunnelByID: map[uint16]*tunnel{},
		tunnelIDs: ids{first: 1, last: 65535}, unnumbered: map[*tunnel]struct{}{},
		adjacencies: map[adjacencyKey]*adjacency{}, adjacencyByID: map[uint16]*adjacency{},
		adjacencyIDs: ids{first: 1, last: 65535}, uplinkGroups: newUplinkGroups(p4.Uplinks(program)),
		nextHops:   newNextHopGroups(p4.NextHops(program)),
		dirtyPorts: map[uint16]struct{}{}, dirtyStaticMACs: map[uint16]struct{}{},
		vacant:        map[uint16]struct{}{},
		dirtyExpected: map[macKey]struct{}{}, expected: map[string]*expectation{},
		dirtyRemoteVTEPs: map[netip.Addr]struct{}{}, dirtyAdverts: map[advertKey]struct{}{},
		dirtySVIs: map[string]struct{}{}, dirtyNeighbors: map[neighborKey]struct{}{}, dirtyAskers: map[uint16]struct{}{},
		adverts: map[advertKey]bgp.Key{}, advertised: advertCounts{},
		routerMAC: routerMACOf(cfg),
		vrfs:      map[uint16]*vrf{}, vrfByID: map[string]*vrf{}, vrfByVNI: map[uint32]*vrf{},
		instances: map[string]instance{}, explicitRDs: map[bgp.RD]bool{},
		staticMACs: map[string]map[string]intent.StaticMAC{},
		svis:       map[string]*svi{}, kernelHosts: map[neighborKey]ether.MAC{}, askers: map[neighborKey]ether.MAC{},
		forgotten: map[neighborKey]struct{}{}, samples: samples{},
		tables: tables, clock: steady{clock: cfg.Clock}, stats: stats,
	}
	l.target = reconcile.New(reconcile.Config{
		Retry: cfg.Retry, AuditInterval: cfg.AuditInterval, Now: l.now, Logger: cfg.Logger,
		Prepare: l.meterAll, Written: stats.written, Stats: &stats.target, Sizes: p4.Sizes(program),
	}, in.Target, l)
	l.asker, l.out = askerMAC(l.routerMAC), make(outbox, outboxSize)
	l.prober = newProber(l.query, l.noAnswer)
	round, _ := roundOf(cfg.AddressAge, cfg.Ageing)
	l.rounds = newRounds(round, l.now)
	if l.slow != nil {
		l.neighbors, l.dirtyKernel = l.slow.Events(), true
	}
	for _, p := range cfg.Ports {
		l.configurePort(p)
	}
	for _, a := range cfg.VTEPs {
		l.useLocalVTEP(a)
	}
	return l
}

// Run takes events until ctx ends or an input fails. It must be called once.
func (c *Controller) Run(ctx context.Context) error {
	// ctx itself says whether an input stopped because the end was asked for: one made
	// from it learns of that later than the inputs do.
	working, cancel := context.WithCancel(ctx)
	var owned sync.WaitGroup
	owned.Go(func() { c.loop.target.Run(working) })
	owned.Go(func() { c.loop.out.run(working, c.in.Target, c.loop.log) })
	owned.Go(func() { c.loop.leaseKeeper.run(working) })
	defer func() { cancel(); owned.Wait(); close(c.stopped) }()

	watch := c.in.Intent.Watch(working)
	// What the target holds can only be judged by the intent: that comes first.
	select {
	case b, ok := <-watch:
		if !ok {
			return stopReason(ctx, "intent store")
		}
		c.loop.intentChanged(b)
		c.loop.dropKeptLeases()
	case <-ctx.Done():
		return nil
	}
	if c.in.Carrier != nil { // and by what is plugged in
		select {
		case states, ok := <-c.in.Carrier.Changes():
			if !ok {
				return stopReason(ctx, "carrier of ports")
			}
			c.loop.carrierChanged(states)
		case <-ctx.Done():
			return nil
		}
	}
	close(c.running)
	return c.run(ctx, watch)
}

// carrierChanges are the carrier's, nil if there is none.
func (c *Controller) carrierChanges() <-chan []carrier.State {
	if c.in.Carrier == nil {
		return nil
	}
	return c.in.Carrier.Changes()
}

func (c *Controller) run(ctx context.Context, watch <-chan intent.Batch) error {
	l := c.loop
	var wake <-chan time.Time
	for {
		ok, asked := true, false
		input := ""
		select {
		case b, open := <-watch:
			if input, ok = "intent store", open; ok {
				span := b.Cause.Child("controller")
				l.intentChanged(b)
				l.target.Because(span)
			}
		case events, open := <-l.routeEvents():
			if input, ok = "BGP speaker", open; ok {
				l.bgpChanged(events)
			}
		case e, open := <-c.in.Target.Events():
			if input, ok = "P4Runtime client", open; ok {
				l.targetChanged(e)
			}
		case u, open := <-c.in.Underlay.Events():
			if input, ok = "underlay", open; ok {
				l.underlayChanged(u)
			}
		case states, open := <-c.carrierChanges():
			if input, ok = "carrier of ports", open; ok {
				l.carrierChanged(states)
			}
		case n, open := <-l.neighbors:
			if !open {
				l.neighbors = nil // bridging goes on without the kernel
			} else {
				l.kernelChanged(n)
			}
		case r := <-l.target.Results():
			l.target.Take(r)
		case do := <-c.requests:
			do(l)
			asked = true
		case f := <-c.answers:
			l.kernelAnswered(f)
		case <-wake:
			l.target.Retry()
			l.thaw()
		case <-ctx.Done():
			return nil
		}
		if !ok {
			return stopReason(ctx, input)
		}
		wake = l.clock.clock.Wake(l.flush())
		if !asked { // what comes of a request comes with what the target says
			c.turns.Add(1)
		}
		c.announce()
		c.report()
		c.tellBehind()
	}
}

// routeEvents gives the speaker's events, but nothing while the target has enough to do:
// what waits with the speaker is taken peer by peer in turn, what is marked in the order
// in which it was.
func (l *loop) routeEvents() <-chan []bgp.Event {
	if l.target.Full() {
		return nil
	}
	return l.speaker.Events()
}

func stopReason(ctx context.Context, input string) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return fmt.Errorf("the %s stopped", input)
	}
}

// announce closes synced after the first read-back, when BGP was given what is
// local.
func (c *Controller) announce() {
	if c.loop.target.Adopted() {
		select {
		case <-c.synced:
		default:
			c.preserved = !c.loop.target.Emptied()
			close(c.synced)
		}
	}
}

// report gives the target's state where it is another one. A first attempt that is
// still under way, and a read-back that follows a success, are none.
func (c *Controller) report() {
	reason, known := c.loop.target.Report()
	if !known || c.reported != nil && *c.reported == reason {
		return
	}
	c.reported = &reason
	select {
	case <-c.reports: // nobody came for it
	default:
	}
	c.reports <- reason
}

func (l *loop) now() time.Time { return l.clock.now() }

var errStopped = errors.New("the controller is not running")

// ask runs do in the loop and waits for it.
func (c *Controller) ask(ctx context.Context, do func(*loop)) error {
	select {
	case <-c.running:
	case <-c.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan struct{})
	select {
	case c.requests <- func(l *loop) { defer close(done); do(l) }:
		<-done
		return nil
	case <-c.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// askUpToDate is ask, once the loop has taken the store's state as of the call.
func (c *Controller) askUpToDate(ctx context.Context, do func(*loop)) error {
	want := c.in.Intent.Version()
	for {
		var next <-chan struct{}
		err := c.ask(ctx, func(l *loop) {
			if l.version < want {
				next = l.taken
			} else {
				do(l)
			}
		})
		if err != nil || next == nil {
			return err
		}
		select {
		case <-next:
		case <-c.stopped:
			return errStopped
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
