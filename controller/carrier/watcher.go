package carrier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
)

// State is how a netdev is.
type State struct {
	Netdev string
	Exists bool // in this network namespace
	Up     bool // administratively up, with carrier, and not kept dormant
	// Losses is how often it was up and then was not, since Run began. Two states that are
	// up with another number in between lost carrier and have it again.
	Losses uint64
}

// Config of a Watcher.
type Config struct {
	Netdevs []string // those to follow; none need exist
	Hosts   []Host
	Logger  *slog.Logger // nil = slog.Default
}

func (c Config) withDefaults() Config {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c Config) check() error {
	seen := map[string]bool{}
	for _, h := range c.Hosts {
		if h.Device == "" {
			return errors.New("the Linux side of an uplink has no netdev: name it")
		}
		if seen[h.Device] {
			return fmt.Errorf("netdev %s is the Linux side of two uplinks", h.Device)
		}
		seen[h.Device] = true
	}
	if slices.Contains(c.Netdevs, "") {
		return errors.New("a netdev to follow has no name")
	}
	return nil
}

// Watcher follows netdevs. Changes, Follow and Trouble may be called from any goroutine,
// before and while Run runs.
type Watcher struct {
	cfg      Config
	log      *slog.Logger
	changes  chan []State
	wake     chan struct{} // one slot: something below changed
	overruns prometheus.Counter

	mu      sync.Mutex
	news    []rtnetlink.Link // what the kernel announced since the loop looked
	all     bool             // or more than that
	wanted  map[string]wish  // what Follow said since, by host device
	trouble map[string]string
}

// New prepares a Watcher; Run does the work.
func New(cfg Config) (*Watcher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("carrier: %w", err)
	}
	return &Watcher{
		cfg: cfg, log: cfg.Logger, changes: make(chan []State), wake: make(chan struct{}, 1),
		overruns: rtnetlink.NewOverruns("carrier"), all: true,
		wanted: map[string]wish{}, trouble: map[string]string{},
	}, nil
}

// Changes gives first the states of all netdevs, and then the newest of those that
// changed, together. A slow reader delays nothing. It is closed when Run returns.
func (w *Watcher) Changes() <-chan []State { return w.changes }

// maxNews bounds how many announcements are kept: where there are more, all is read anew.
const maxNews = 4096

// Run follows the kernel until ctx ends. It returns an error only when netlink cannot be
// used at all; call it once.
func (w *Watcher) Run(ctx context.Context) error {
	defer close(w.changes)
	conn, err := rtnetlink.Open(netns.None(), unix.RTNLGRP_LINK)
	if err != nil {
		return err
	}
	lost := make(chan error, 1)
	var reader sync.WaitGroup
	reader.Go(func() {
		if err := conn.Watch(ctx, w.overruns, w.heard); err != nil {
			lost <- err
		}
	})
	l := newLoop(w, conn)
	if l.asker, err = ethtool.NewEthtool(); err == nil {
		err = l.run(ctx, lost)
		l.asker.Close()
	} else {
		err = fmt.Errorf("carrier: open a socket for ethtool: %w", err)
		conn.Socket.Close()
	}
	reader.Wait() // it ends with ctx, or was lost
	conn.Close()
	return err
}

// heard notes what the kernel announced, and does not wait for the loop.
func (w *Watcher) heard(messages []syscall.NetlinkMessage) {
	links, lost := rtnetlink.Links(messages)
	w.mu.Lock()
	w.news = append(w.news, links...)
	if lost || len(w.news) > maxNews {
		w.news, w.all = nil, true
	}
	w.mu.Unlock()
	w.poke()
}

// poke wakes the loop and never blocks.
func (w *Watcher) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Describe is of prometheus.Collector.
func (w *Watcher) Describe(ch chan<- *prometheus.Desc) { w.overruns.Describe(ch) }

// Collect is of prometheus.Collector.
func (w *Watcher) Collect(ch chan<- prometheus.Metric) { w.overruns.Collect(ch) }

// Netdevs that are up are looked at this often, each of many less often: the kernel holds
// back for up to a second that one lost carrier, where another, in any namespace, changed
// shortly before.
const (
	pollInterval = 25 * time.Millisecond
	pollPause    = time.Millisecond // for each netdev
)

// loop owns all state but what Watcher guards by its mutex.
type loop struct {
	w      *Watcher
	conn   *rtnetlink.Conn
	netdev map[string]*State // those that are followed
	names  map[int]string    // of all netdevs there are: one may be renamed
	told   bool              // all were given once
	queue  map[string]bool   // changed, and not given yet
	hosts  map[string]*host  // by their device
	read   bool              // all were read once, and nothing was lost since
	asker  *ethtool.Ethtool
	polled time.Time
}

func newLoop(w *Watcher, conn *rtnetlink.Conn) *loop {
	l := &loop{w: w, conn: conn, netdev: map[string]*State{}, names: map[int]string{}, queue: map[string]bool{},
		hosts: map[string]*host{}}
	for _, name := range w.cfg.Netdevs {
		l.netdev[name] = &State{Netdev: name}
	}
	for _, h := range w.cfg.Hosts {
		l.hosts[h.Device] = &host{Host: h}
	}
	return l
}

func (l *loop) run(ctx context.Context, lost <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(l.look())
		states, out := l.next()
		select {
		case <-ctx.Done():
			return nil
		case err := <-lost:
			return fmt.Errorf("carrier: %w", err)
		case <-l.w.wake:
		case <-timer.C:
		case out <- states:
			l.told = true
			clear(l.queue)
		}
	}
}

// look takes what arrived since the last look, and says when to look again.
func (l *loop) look() time.Duration {
	l.w.mu.Lock()
	news, all, wanted := l.w.news, l.w.all, l.w.wanted
	l.w.news, l.w.all, l.w.wanted = nil, false, map[string]wish{}
	l.w.mu.Unlock()

	for _, n := range news {
		l.announced(n)
	}
	if all {
		l.read = false
	}
	if !l.read {
		l.readAll()
	}
	for device, as := range wanted {
		if h := l.hosts[device]; h != nil {
			h.want(as)
		}
	}
	next := time.Hour
	if !l.read {
		next = rtnetlink.DumpPause
	}
	return min(next, l.lead(), l.poll(time.Now()))
}

// poll looks which netdevs lost carrier and were not announced, if it is time to, and says
// when it is next.
func (l *loop) poll(now time.Time) time.Duration {
	interval := max(pollInterval, time.Duration(len(l.netdev))*pollPause)
	if wait := l.polled.Add(interval).Sub(now); wait > 0 {
		return wait
	}
	l.polled = now
	for name, s := range l.netdev {
		if !s.Up {
			continue
		}
		if has, err := l.asker.LinkState(name); err == nil && has == 0 {
			l.set(name, true, false)
		}
	}
	return interval
}

// readAll reads all netdevs. After an error that is repeated soon.
func (l *loop) readAll() {
	list, err := l.conn.Handle.LinkList()
	if err != nil {
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			l.w.log.Warn("carrier: reading the netdevs failed, trying again", "err", err)
		}
		return
	}
	l.read = true
	gone := l.names
	l.names = make(map[int]string, len(list))
	for _, one := range list {
		a := one.Attrs()
		if gone[a.Index] == a.Name {
			delete(gone, a.Index)
		}
	}
	for index, name := range gone {
		l.announced(rtnetlink.Link{Index: index, Name: name, Gone: true})
	}
	for _, one := range list {
		a := one.Attrs()
		l.announced(rtnetlink.Link{Index: a.Index, Name: a.Name, Flags: a.RawFlags})
	}
}

// announced takes what the kernel says of a netdev.
func (l *loop) announced(n rtnetlink.Link) {
	if old := l.names[n.Index]; old != "" && old != n.Name {
		l.announced(rtnetlink.Link{Index: n.Index, Name: old, Gone: true})
	}
	if n.Gone {
		delete(l.names, n.Index)
	} else {
		l.names[n.Index] = n.Name
	}
	for _, h := range l.hosts {
		switch {
		case n.Name != h.Device && n.Name != h.Interface:
		case n.Gone:
			h.done, h.at = false, time.Time{} // the next one of the name comes as it likes
		default:
			h.seen(n)
		}
	}
	l.set(n.Name, !n.Gone, !n.Gone && rtnetlink.Running(n.Flags))
}

func (l *loop) set(name string, exists, up bool) {
	s := l.netdev[name]
	if s == nil || s.Exists == exists && s.Up == up {
		return
	}
	if s.Up && !up {
		s.Losses++
	}
	s.Exists, s.Up = exists, up
	l.queue[name] = true
}

// next gives what is to be told, and the channel for it; nil when there is nothing.
func (l *loop) next() ([]State, chan<- []State) {
	var states []State
	switch {
	case !l.told && l.read:
		states = make([]State, 0, len(l.netdev))
		for _, s := range l.netdev {
			states = append(states, *s)
		}
	case l.told && len(l.queue) > 0:
		for name := range l.queue {
			states = append(states, *l.netdev[name])
		}
	default:
		return nil, nil
	}
	return states, l.w.changes
}
