package netport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/softswitch/claim"
)

// retryInterval is how long a port waits before it looks again for an
// interface that is absent or could not be opened, when no link change is
// reported meanwhile.
const retryInterval = 2 * time.Second

// Config describes a port. Only Interface must be set.
type Config struct {
	Interface string       // name of the interface
	RingBytes int          // size of each receive ring in bytes; 0 = 4 MiB
	Logger    *slog.Logger // nil = slog.Default()
	// Ways to keep the host's network stack off the interface, tried in this
	// order; nil = [claim.Ways]. Where none works the port stays down.
	Ways []claim.Way
	// Shared lets the port be up all the same: what arrives goes to the host's
	// network stack too.
	Shared bool
	// Changed is called when what State gives has changed, and must not wait; nil = nobody.
	Changed func()
}

// Port sends and receives frames on one interface. Create it with [New], call
// Run on one goroutine, send with a [Sender] on any; Close it after all of
// them are done.
type Port struct {
	cfg Config
	log *slog.Logger

	tx      int          // AF_PACKET socket, unbound; lives as long as the port
	marked  bool         // tx sets claim.Mark
	group   int          // the value of PACKET_FANOUT that makes the group of its rings
	ifindex atomic.Int32 // 0 while the interface cannot be used; no interface has it

	reported string // why the port is down, as last logged; used by Run alone

	mu      sync.Mutex
	rx      []*ring       // open while the interface is up
	state   State         // but for Up
	changed chan struct{} // capacity 1: look at the interface again

	counters counters
}

func (c Config) withDefaults() Config {
	c.RingBytes = cmp.Or(c.RingBytes, 4<<20)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Ways == nil {
		c.Ways = claim.Ways()
	}
	if c.Changed == nil {
		c.Changed = func() {}
	}
	return c
}

func (c Config) check() error {
	if c.Interface == "" || len(c.Interface) >= unix.IFNAMSIZ {
		return fmt.Errorf("interface name %q: must have 1 to %d characters", c.Interface, unix.IFNAMSIZ-1)
	}
	return nil
}

// New makes a port for an interface that need not exist yet. It fails if the
// process may not open packet sockets (CAP_NET_RAW).
func New(cfg Config) (*Port, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	tx, marked, err := openTx()
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", cfg.Interface, err)
	}
	return &Port{
		cfg: cfg, tx: tx, marked: marked, group: newGroup,
		log:     cfg.Logger.With("interface", cfg.Interface),
		changed: make(chan struct{}, 1),
	}, nil
}

// Up reports whether the interface is there, up, and open.
func (p *Port) Up() bool { return p.ifindex.Load() != 0 }

// Close frees the transmit socket. Nothing may send on the port any more.
func (p *Port) Close() error { return unix.Close(p.tx) }

// Run receives frames until ctx is done and then returns nil. It hands them to
// the handlers in batches of at most [MaxBatch]; the frames belong to a handler
// until it returns, and it may change them. Each handler has a goroutine and a
// ring of its own, and all frames of a flow, in their order, go to one of them.
// Run claims the interface when it appears, opens it when it comes up, and closes
// it when it goes. The claim stays, also when Run returns: see package claim.
func (p *Port) Run(ctx context.Context, handlers ...func(frames [][]byte)) error {
	stop := context.AfterFunc(ctx, p.recheck)
	defer stop()
	for ctx.Err() == nil {
		err := p.session(ctx, handlers)
		p.setDown(err)
		switch reason := err.Error(); {
		case ctx.Err() != nil:
		case errors.Is(err, errLinkChanged):
			p.log.Info("opening the port again", "reason", reason)
		default:
			if reason != p.reported { // once, not at every retry
				p.log.Warn("port is down", "reason", reason)
				p.reported = reason
			}
			p.waitForChange(ctx)
		}
	}
	return nil
}

// recheck makes the port look at its interface again. [Watch] calls it for
// every change of the link.
func (p *Port) recheck() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
	p.interrupt()
}

// interrupt makes all rings look around.
func (p *Port) interrupt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.rx {
		r.interrupt()
	}
}

func (p *Port) waitForChange(ctx context.Context) {
	timer := time.NewTimer(retryInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-p.changed:
	case <-timer.C:
	}
}

// errLinkChanged ends a session whose interface must be opened anew.
var errLinkChanged = errors.New("the interface changed")

// link is an interface as the kernel has it.
type link struct {
	index, mtu int
	up         bool // administratively
	carrier    bool
}

// opens reports whether a session with the interface as it was goes on with it as it is.
func (l link) opens(now link) bool { return l.index == now.index && l.mtu == now.mtu && l.up == now.up }

var errSetDown = errors.New("the interface is set down")

// lookup finds the interface; the error says why it cannot be used.
func (p *Port) lookup() (link, error) {
	l, err := netlink.LinkByName(p.cfg.Interface)
	if err != nil {
		var missing netlink.LinkNotFoundError
		if errors.As(err, &missing) {
			return link{}, errors.New("no such interface")
		}
		return link{}, fmt.Errorf("look up the interface: %w", err)
	}
	attrs := l.Attrs()
	if attrs.EncapType != "ether" && attrs.EncapType != "loopback" {
		return link{}, fmt.Errorf("not an Ethernet interface (%s)", attrs.EncapType)
	}
	return link{index: attrs.Index, mtu: attrs.MTU, up: attrs.RawFlags&unix.IFF_UP != 0,
		carrier: attrs.RawFlags&unix.IFF_LOWER_UP != 0}, nil
}

// session opens the interface and receives until it changes or ctx is done.
func (p *Port) session(ctx context.Context, handlers []func([][]byte)) error {
	now, err := p.lookup()
	if err != nil {
		return err
	}
	// Also while it is down, so that it is claimed when it comes up.
	if err := p.claim(now); err != nil {
		return err
	}
	if !now.up {
		return errSetDown
	}
	for _, feature := range disableReceiveOffloads(p.cfg.Interface) {
		p.log.Debug("receive offload switched off", "feature", feature)
	}
	rings, err := openRings(now, p.cfg.RingBytes, len(handlers), p.group, &p.counters)
	if err != nil {
		return err
	}
	p.setRings(rings, now.index)
	p.setCarrier(now.carrier)
	defer func() {
		p.setRings(nil, 0)
		closeRings(rings)
	}()
	p.reported = ""
	p.log.Info("port is up", "ifindex", now.index, "mtu", now.mtu, "claim", p.State().Claim)
	group, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, p.interrupt)() // one that ends ends the others
	for i, r := range rings {
		check := func() error { return nil }
		if i == 0 { // one for all
			check = func() error { return p.keepClaim(now) }
		}
		group.Go(func() error { return p.receive(ctx, r, now, check, handlers[i]) })
	}
	return group.Wait()
}

// receive reads one ring until the interface changes, check fails, or ctx is
// done.
func (p *Port) receive(ctx context.Context, r *ring, now link, check func() error, handle func([][]byte)) error {
	for ctx.Err() == nil {
		err := r.receive(handle)
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		r.resume()
		switch l, err := p.lookup(); {
		case err != nil:
			return err
		case !l.up:
			return errSetDown
		case !now.opens(l):
			return fmt.Errorf("%w: index %d, MTU %d", errLinkChanged, l.index, l.mtu)
		default:
			p.setCarrier(l.carrier)
		}
		if err := check(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// setRings publishes the rings and the index of the interface, or takes both
// back.
func (p *Port) setRings(rings []*ring, ifindex int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.collectKernelDrops()
	p.rx = rings
	p.ifindex.Store(int32(ifindex))
}
