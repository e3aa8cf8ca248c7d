package underlay

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
)

// Resolver finds and follows the paths to tracked VTEPs. Track, Untrack, SetNextHop and
// Events may be called from any goroutine, before and while Run runs.
type Resolver struct {
	cfg    Config
	log    *slog.Logger
	events chan Change
	wake   chan struct{} // one slot: something below changed

	overruns prometheus.Counter
	hopUp    *prometheus.GaugeVec

	mu       sync.Mutex
	tracked  map[netip.Addr]bool   // what the caller wants now
	arrivals map[netip.Addr]bool   // tracked (false) or untracked (true) at least once since the loop looked
	news     rtnetlink.News        // what the kernel announced since the loop looked
	hops     map[netip.Addr]string // what SetNextHop said since the loop looked
}

// New prepares a Resolver; Run does the work.
func New(cfg Config) (*Resolver, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("underlay: %w", err)
	}
	return &Resolver{
		cfg:      cfg,
		log:      cfg.Logger,
		events:   make(chan Change),
		wake:     make(chan struct{}, 1),
		overruns: rtnetlink.NewOverruns("underlay"),
		hopUp: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "p4evpn_underlay_next_hop_up",
			Help: "1 while a next hop of underlay.next_hops is used, 0 while BFD says that it is down.",
		}, []string{"next_hop"}),
		tracked:  map[netip.Addr]bool{},
		arrivals: map[netip.Addr]bool{},
		hops:     map[netip.Addr]string{},
	}, nil
}

// Events gives a Change whenever the state of a tracked VTEP differs from the
// one given before, the first one included, resolved or not. A slow reader
// delays nothing: of several changes of one VTEP it gets the newest. The
// channel is closed when Run returns.
func (r *Resolver) Events() <-chan Change { return r.events }

// Track starts to follow a VTEP. Tracking one twice is the same as once.
func (r *Resolver) Track(vtep netip.Addr) { r.want(vtep, true) }

// Untrack forgets a VTEP: no Change of it is published any more, but for one
// that a reader may be receiving just now.
func (r *Resolver) Untrack(vtep netip.Addr) { r.want(vtep, false) }

func (r *Resolver) want(vtep netip.Addr, wanted bool) {
	vtep = vtep.Unmap()
	r.mu.Lock()
	if wanted {
		r.tracked[vtep] = true
	} else {
		delete(r.tracked, vtep)
	}
	r.arrivals[vtep] = r.arrivals[vtep] || !wanted
	r.mu.Unlock()
	r.poke()
}

// SetNextHop says why a next hop is not to be used whatever the kernel has of it, "" if it
// may be.
func (r *Resolver) SetNextHop(address netip.Addr, down string) {
	address = address.Unmap()
	up := 1.0
	if down != "" {
		up = 0
	}
	r.hopUp.WithLabelValues(address.String()).Set(up)
	r.mu.Lock()
	r.hops[address] = down
	r.mu.Unlock()
	r.poke()
}

// poke wakes the loop and never blocks.
func (r *Resolver) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run follows the kernel until ctx ends. It returns an error only when netlink
// cannot be used at all; call it once.
func (r *Resolver) Run(ctx context.Context) error {
	defer close(r.events)
	k, err := openKernel(r.cfg.Namespace)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	lost := make(chan error, 1)
	var reader sync.WaitGroup
	reader.Go(func() {
		if err := k.Watch(ctx, r.overruns, r.heard); err != nil {
			lost <- err
		}
	})
	err = newLoop(r, k).run(ctx, lost)
	reader.Wait() // it ends with ctx, or was lost
	k.Close()
	return err
}

// heard notes what the kernel announced, and does not wait for the loop.
func (r *Resolver) heard(messages []syscall.NetlinkMessage) {
	r.mu.Lock()
	r.news.Add(messages)
	r.mu.Unlock()
	r.poke()
}

// Describe is of prometheus.Collector.
func (r *Resolver) Describe(ch chan<- *prometheus.Desc) {
	r.overruns.Describe(ch)
	r.hopUp.Describe(ch)
}

// Collect is of prometheus.Collector.
func (r *Resolver) Collect(ch chan<- prometheus.Metric) {
	r.overruns.Collect(ch)
	r.hopUp.Collect(ch)
}
