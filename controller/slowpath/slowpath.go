package slowpath

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// Slowpath is the kernel's part of all VRFs. All methods may be called from any
// goroutine, before, while and after Run runs, and none of them waits for the
// kernel to converge.
type Slowpath struct {
	cfg      Config
	log      *slog.Logger
	events   chan Neighbor
	wake     chan struct{} // one slot: something below changed
	overruns prometheus.Counter
	counts   struct {
		delivered, injected, noTap, malformed, refused, muted, unasked atomic.Uint64
	}

	mu     sync.Mutex
	wanted map[string]plan // by VRF name; nil = Set was not called yet
	news   bool            // wanted changed since the loop looked
	// converged: what an earlier process set and nobody repeated may go.
	converged bool
	remotes   map[uint16]map[netip.Addr]ether.MAC // by bridge
	askers    map[uint16]map[netip.Addr]ether.MAC // by bridge
	dirty     map[host]struct{}                   // remotes to install or remove
	probes    map[host]struct{}                   // hosts to ask
	forgotten map[host]struct{}                   // hosts that the kernel is to forget
	status    map[string]Status                   // by VRF name

	taps struct {
		sync.RWMutex
		by map[place]*tap // those in place
	}
}

// host names a host of a bridge.
type host struct {
	bridge uint16
	ip     netip.Addr
}

// New prepares a Slowpath; Run does the work.
func New(cfg Config) (*Slowpath, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("slow path: %w", err)
	}
	s := &Slowpath{
		cfg:      cfg,
		log:      cfg.Logger,
		events:   make(chan Neighbor),
		wake:     make(chan struct{}, 1),
		overruns: rtnetlink.NewOverruns("slowpath"),
		remotes:  map[uint16]map[netip.Addr]ether.MAC{},
		askers:   map[uint16]map[netip.Addr]ether.MAC{},
		dirty:    map[host]struct{}{},
		probes:   map[host]struct{}{}, forgotten: map[host]struct{}{},
		status: map[string]Status{},
	}
	s.taps.by = map[place]*tap{}
	return s, nil
}

// Run converges the kernel to what Set asked for until ctx ends. Namespaces,
// taps, addresses and neighbours stay when it returns. Call it once.
func (s *Slowpath) Run(ctx context.Context) error {
	defer close(s.events)
	raiseNeighbourLimits(s.log)
	newLoop(s).run(ctx)
	return nil
}

// poke wakes the loop and never blocks.
func (s *Slowpath) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Set gives all VRFs that should be. What is not among them goes away. Nothing
// is touched before the first Set.
func (s *Slowpath) Set(vrfs []VRF) {
	wanted := plans(vrfs)
	s.mu.Lock()
	for name, p := range wanted {
		if old, ok := s.wanted[name]; !ok || !reflect.DeepEqual(old, p) {
			s.status[name] = p.status(func(uint16) error { return errPending })
		}
	}
	for name := range s.wanted {
		if _, ok := wanted[name]; !ok {
			delete(s.status, name)
		}
	}
	s.wanted, s.news = wanted, true
	s.mu.Unlock()
	s.poke()
}

// Deliver gives a frame to the kernel, or drops and counts it. Data is not used
// after the return.
func (s *Slowpath) Deliver(f Frame) {
	if len(f.Data) < packet.EthernetLength || len(f.Data) > maxFrame {
		s.counts.malformed.Add(1)
		return
	}
	s.taps.RLock()
	t := s.taps.by[place{f.VRF, f.Bridge}]
	s.taps.RUnlock()
	if t == nil {
		s.counts.noTap.Add(1)
		return
	}
	if packet.IsRouterSolicitation(f.Data) {
		t.solicit(f)
	}
	if err := t.write(f.Data); err != nil {
		s.counts.refused.Add(1)
		return
	}
	s.counts.delivered.Add(1)
}

// setTap opens a tap for Deliver, or closes its place.
func (s *Slowpath) setTap(p place, t *tap) {
	s.taps.Lock()
	defer s.taps.Unlock()
	if t == nil {
		delete(s.taps.by, p)
	} else {
		s.taps.by[p] = t
	}
}

// Events gives each neighbour of an SVI whenever it differs from what was given
// before. A slow reader delays nothing: of several changes it gets the newest.
// The channel is closed when Run returns.
func (s *Slowpath) Events() <-chan Neighbor { return s.events }

// SetRemote makes a host behind a VTEP a neighbour that the kernel neither asks
// for nor forgets, whatever it learned before. It may precede the SVI. Those
// that an earlier process set stay until Converged.
func (s *Slowpath) SetRemote(bridge uint16, ip netip.Addr, mac ether.MAC) {
	ip = ip.Unmap().WithZone("")
	s.mu.Lock()
	hosts := s.remotes[bridge]
	if hosts == nil {
		hosts = map[netip.Addr]ether.MAC{}
		s.remotes[bridge] = hosts
	}
	if hosts[ip] != mac {
		hosts[ip] = mac
		s.dirty[host{bridge, ip}] = struct{}{}
	}
	s.mu.Unlock()
	s.poke()
}

// RemoveRemote takes back SetRemote.
func (s *Slowpath) RemoveRemote(bridge uint16, ip netip.Addr) {
	ip = ip.Unmap().WithZone("")
	s.mu.Lock()
	if _, ok := s.remotes[bridge][ip]; ok {
		delete(s.remotes[bridge], ip)
		if len(s.remotes[bridge]) == 0 {
			delete(s.remotes, bridge)
		}
		s.dirty[host{bridge, ip}] = struct{}{}
	}
	s.mu.Unlock()
	s.poke()
}

// maxAskers bounds the hosts of a bridge that get router advertisements of their own.
const maxAskers = 4096

// SetAsker has a host behind a VTEP get the SVI's router advertisements as those on our
// ports do. Those that are too many do not.
func (s *Slowpath) SetAsker(bridge uint16, a Asker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hosts := s.askers[bridge]
	if hosts == nil {
		hosts = map[netip.Addr]ether.MAC{}
		s.askers[bridge] = hosts
	}
	if _, there := hosts[a.IP]; !there && len(hosts) >= maxAskers {
		s.counts.unasked.Add(1)
		return
	}
	hosts[a.IP] = a.MAC
}

// RemoveAsker takes back SetAsker.
func (s *Slowpath) RemoveAsker(bridge uint16, ip netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.askers[bridge], ip); len(s.askers[bridge]) == 0 {
		delete(s.askers, bridge)
	}
}

// askersOf are those of a bridge.
func (s *Slowpath) askersOf(bridge uint16) []Asker {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Asker, 0, len(s.askers[bridge]))
	for ip, mac := range s.askers[bridge] {
		all = append(all, Asker{IP: ip, MAC: mac})
	}
	return all
}

// Converged says that every host that is still behind a VTEP has been set: what
// an earlier process set besides is removed.
func (s *Slowpath) Converged() {
	s.mu.Lock()
	s.converged = true
	s.mu.Unlock()
	s.poke()
}

// Probe asks a host whether it is still there; the answer, or the lack of one
// after some seconds, is an event if it changes anything. A host that is behind
// a VTEP is not asked; one of an SVI that is not in place yet is asked then.
func (s *Slowpath) Probe(bridge uint16, ip netip.Addr) {
	s.mu.Lock()
	s.probes[host{bridge, ip.Unmap().WithZone("")}] = struct{}{}
	s.mu.Unlock()
	s.poke()
}

// Forget has the kernel forget what it learned of a host, which it then knows to be absent,
// and hears anew when it speaks. A host that SetRemote gave stays.
func (s *Slowpath) Forget(bridge uint16, ip netip.Addr) {
	s.mu.Lock()
	s.forgotten[host{bridge, ip.Unmap().WithZone("")}] = struct{}{}
	s.mu.Unlock()
	s.poke()
}

// Status says what is in place.
func (s *Slowpath) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := Status{map[uint16]string{}, map[uint16]string{}}
	for _, one := range s.status {
		maps.Copy(all.VRFs, one.VRFs)
		maps.Copy(all.SVIs, one.SVIs)
	}
	return all
}

// Counters gives the counters.
func (s *Slowpath) Counters() Counters {
	c := &s.counts
	return Counters{
		Delivered: c.delivered.Load(), Injected: c.injected.Load(), NoTap: c.noTap.Load(),
		Malformed: c.malformed.Load(), Refused: c.refused.Load(), Muted: c.muted.Load(), Unadvertised: c.unasked.Load(),
	}
}
