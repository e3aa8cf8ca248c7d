package underlayroute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
)

// Speaker is what a Router needs of BGP.
type Speaker interface {
	UnicastEvents() <-chan []bgp.UnicastEvent
	AdvertiseUnicast([]netip.Prefix) error // all of ours
	SetLinks([]netip.Prefix)               // all subnets of links with carrier
}

// Config of a Router.
type Config struct {
	Speaker Speaker
	// Devices are the netdevs of the uplinks' host ports.
	Devices []string
	VTEPs   []netip.Addr
	// Advertise are the prefixes that we advertise; none means the VTEPs and
	// the connected prefixes of Devices that are up.
	Advertise []netip.Prefix
	// Namespace is the network namespace to work in; nil = the process's own.
	Namespace *netns.NsHandle
	Logger    *slog.Logger // nil = slog.Default
}

// Router keeps the kernel's routes as BGP says. Run owns all of it.
type Router struct {
	cfg  Config
	log  *slog.Logger
	wake chan struct{} // one slot: the kernel changed

	told     chan struct{} // closed when BGP was told our prefixes
	overruns prometheus.Counter

	rib       map[netip.Prefix]map[netip.Addr]bgp.UnicastRoute // by neighbour
	converged bool                                             // BGP has said all that it knew
	over      bool                                             // BGP has ended
	// adopted are next hops of an earlier run that BGP has not named yet.
	adopted    map[netip.Prefix]hops
	advertised []netip.Prefix
	noted      map[netip.Prefix]string // what was logged of a prefix
	failing    string                  // what was logged of the last attempt

	mu    sync.Mutex
	table []Route // for others to see
}

func (c Config) withDefaults() Config {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// New prepares a Router; Run does the work.
func New(cfg Config) *Router {
	cfg = cfg.withDefaults()
	return &Router{
		cfg:      cfg,
		log:      cfg.Logger,
		wake:     make(chan struct{}, 1),
		overruns: rtnetlink.NewOverruns("underlay_routes"),
		told:     make(chan struct{}),
		rib:      map[netip.Prefix]map[netip.Addr]bgp.UnicastRoute{},
		noted:    map[netip.Prefix]string{},
	}
}

// Advertised is closed once BGP was told our prefixes. Sessions that start then
// have them before End-of-RIB.
func (r *Router) Advertised() <-chan struct{} { return r.told }

// retryPause is the wait before what the kernel refused is tried again.
const retryPause = time.Second

// Run follows BGP and the kernel until ctx ends; the routes stay then. It
// returns an error only when netlink cannot be used at all; call it once.
func (r *Router) Run(ctx context.Context) error {
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
	err = r.loop(ctx, k, lost)
	reader.Wait() // it ends with ctx, or was lost
	k.Close()
	return err
}

func (r *Router) loop(ctx context.Context, k *kernel, lost <-chan error) error {
	retry := time.NewTimer(0)
	defer retry.Stop()
	var events <-chan []bgp.UnicastEvent
	for {
		if r.adopted != nil && !r.over { // not before we know what is there
			events = r.cfg.Speaker.UnicastEvents()
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-lost:
			return err
		case batch, open := <-events:
			if !open { // BGP has ended, and so do we soon
				events, r.over = nil, true
				continue
			}
			r.apply(batch)
		case <-r.wake:
		case <-retry.C:
		}
		err := r.reconcile(k)
		if err == nil {
			r.failing = ""
			continue
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) && r.failing != err.Error() {
			r.failing = err.Error()
			r.log.Warn("underlay routes differ from what BGP says, trying again", "err", err)
		}
		retry.Reset(retryPause)
	}
}

// apply takes what BGP said.
func (r *Router) apply(batch []bgp.UnicastEvent) {
	for i := range batch {
		e := &batch[i]
		p := e.Route.Prefix
		switch e.Kind {
		case bgp.RouteUpdate:
			if r.rib[p] == nil {
				r.rib[p] = map[netip.Addr]bgp.UnicastRoute{}
			}
			r.rib[p][e.Peer] = e.Route
			// From now on BGP answers for this next hop.
			maps.DeleteFunc(r.adopted[p], func(h hop, _ struct{}) bool { return h.address == e.Route.NextHop })
		case bgp.RouteWithdraw:
			if delete(r.rib[p], e.Peer); len(r.rib[p]) == 0 {
				delete(r.rib, p)
				delete(r.noted, p)
			}
		case bgp.Converged:
			r.converged = true
		}
	}
}

// reconcile reads the kernel and makes it as BGP says: first what is new or
// differs, then what is too much.
func (r *Router) reconcile(k *kernel) error {
	now, err := k.state(r.cfg.Devices)
	if err != nil {
		return err
	}
	r.cfg.Speaker.SetLinks(slices.Collect(maps.Keys(now.connected)))
	if r.adopted == nil {
		r.adopted = map[netip.Prefix]hops{}
		for p, h := range now.routes {
			r.adopted[p] = maps.Clone(h)
		}
	}
	if r.converged {
		clear(r.adopted) // nobody repeated what is left
	}
	want := r.want(now)
	var errs []error
	for p, h := range want {
		have, ours := now.routes[p]
		if !maps.Equal(have, h) {
			r.log.Debug("underlay route", "prefix", p, "next_hops", h.String())
			if err := k.set(p, h, ours); err != nil {
				errs = append(errs, r.tell(p, err))
				continue
			}
		}
		delete(r.noted, p)
	}
	for p := range now.routes {
		if want[p] != nil {
			continue
		}
		r.log.Debug("underlay route removed", "prefix", p)
		if err := k.remove(p); err != nil {
			errs = append(errs, r.tell(p, err))
		}
	}
	errs = append(errs, r.advertise(now))
	err = errors.Join(errs...)
	r.show(want, err)
	return err
}

// tell logs what the kernel says of a prefix once, and gives an error that asks
// for another attempt. A route that is in our place stays there: no attempt is
// made before something changes.
func (r *Router) tell(p netip.Prefix, err error) error {
	if errors.Is(err, errTaken) {
		if r.noted[p] != err.Error() {
			r.noted[p] = err.Error()
			r.log.Warn("underlay route not installed", "prefix", p, "err", err)
		}
		return nil
	}
	return err
}

// want computes all routes that the kernel shall have.
func (r *Router) want(now *state) map[netip.Prefix]hops {
	want := map[netip.Prefix]hops{}
	for p, routes := range r.rib {
		switch own, best := now.owner(p), now.best(routes); {
		case own.IsValid():
			r.note(p, fmt.Sprintf("it is within %v, which is ours", own))
		case slices.Contains(r.cfg.VTEPs, p.Addr()) && p.IsSingleIP():
			r.note(p, "it is our VTEP")
		case len(best) == 0:
			r.note(p, "no next hop of it is on the link of an uplink that is up")
		default:
			want[p] = best
		}
	}
	for p, old := range r.adopted {
		if now.owner(p).IsValid() {
			continue
		}
		for h := range old {
			if on, ok := now.onLink(h.address); ok && on == h {
				if want[p] == nil {
					want[p] = hops{}
				}
				want[p][h] = struct{}{}
			}
		}
	}
	return want
}

// note says once why a route is not used. That is normal, such as for the
// subnet of an uplink that the neighbour at its other end advertises too.
func (r *Router) note(p netip.Prefix, why string) {
	if r.noted[p] != why {
		r.noted[p] = why
		r.log.Debug("underlay route not used", "prefix", p, "reason", why)
	}
}

// advertise hands our prefixes to BGP when they differ from the last ones.
func (r *Router) advertise(now *state) error {
	prefixes := slices.Clone(r.cfg.Advertise)
	if len(prefixes) == 0 {
		for _, v := range r.cfg.VTEPs {
			prefixes = append(prefixes, netip.PrefixFrom(v, v.BitLen()))
		}
		for p := range now.connected {
			prefixes = append(prefixes, p)
		}
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	prefixes = slices.Compact(prefixes)
	if r.advertised != nil && slices.Equal(prefixes, r.advertised) {
		return nil
	}
	if err := r.cfg.Speaker.AdvertiseUnicast(prefixes); err != nil {
		return err
	}
	if r.advertised == nil {
		close(r.told)
	}
	r.advertised = prefixes
	return nil
}
