package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

const (
	pageHosts    = 10_000
	pagePer      = 50 // routes in an UPDATE
	pagePaints   = 5
	pageWatchers = 100
	pageWindow   = 30 * time.Second
	pageEvery    = time.Second // something changes while pages are looked at
)

// pageFile is the page's socket in a lab's folder.
const pageFile = "page.sock"

// withPage has a gateway as users run it with a page and 10,000 hosts behind a VTEP.
func (b *bench) withPage(ctx context.Context, measure func(*liveGateway) ([]value, error)) ([]value, error) {
	binary := func(ctx context.Context) (string, error) { return b.program(ctx, embedded) }
	return withLab(func(lab *testbed.Lab) ([]value, error) {
		g, err := startLive(ctx, lab, liveOptions{binary: binary,
			api: "insecure: true, limits: {connections_per_client: 512}",
			web: "unix:" + filepath.Join(lab.Dir, pageFile)})
		defer func() { g.close() }()
		if err != nil {
			return nil, err
		}
		if err := g.connect(ctx, time.Minute); err != nil {
			return nil, err
		}
		if err := g.leaf.Send(bytes.Join(append(pageRoutes(0, pageHosts), bgptest.Withdraw()), nil)); err != nil {
			return nil, err
		}
		err = testbed.Eventually(ctx, speakLimit, "the page has the hosts", func(ctx context.Context) error {
			text, err := g.page(ctx, "/hosts?q=100.64.")
			if err == nil && !bytes.Contains(text, fmt.Appendf(nil, "of %d<", pageHosts)) {
				err = errors.New("some are missing")
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		return measure(g)
	})
}

// pageRoutes are type-2 routes of hosts of the first bridge.
func pageRoutes(sequence uint32, n int) (updates [][]byte) {
	attributes := bgptest.Attributes{NextHop: vtep(0), ASPath: []uint32{leafAS}, Communities: [][8]byte{
		bgptest.RouteTarget(leafAS, firstVNI), bgptest.VXLAN(), bgptest.MACMobility(sequence, false)}}
	var nlri [][]byte
	for i := range n {
		nlri = append(nlri, bgptest.MACRoute([8]byte{0, 1, 10, 255, 1, 0, 0, 1}, 0, stationMAC(uint32(i)), tenantAddress(i),
			firstVNI))
		if len(nlri) == pagePer || i == n-1 {
			updates = append(updates, bgptest.Update(attributes, nlri...))
			nlri = nil
		}
	}
	return updates
}

// pageClient asks for pages over the socket.
func (g *liveGateway) pageClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(g.lab.Dir, pageFile))
	}}}
}

// page gives the text of a page.
func (g *liveGateway) page(ctx context.Context, path string) ([]byte, error) {
	c := g.pageClient()
	defer c.CloseIdleConnections()
	resp, err := ask(ctx, c, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(resp.Body)
}

func ask(ctx context.Context, c *http.Client, path string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(r)
	if err == nil && resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		err = fmt.Errorf("%s: %s", path, resp.Status)
	}
	return resp, err
}

// measurePaint opens pages of a gateway with 10,000 hosts in Chromium.
func measurePaint(ctx context.Context, b *bench) ([]value, error) {
	return b.withPage(ctx, func(g *liveGateway) ([]value, error) {
		at, stop, err := loopbackTo(filepath.Join(g.lab.Dir, pageFile))
		if err != nil {
			return nil, err
		}
		defer stop()
		browser, end := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.NoSandbox)...)
		defer end()
		browser, cancel := chromedp.NewContext(browser)
		defer cancel()
		if err := chromedp.Do(browser); errors.Is(err, exec.ErrNotFound) {
			return nil, skip("there is no Chromium: install Debian's chromium")
		} else if err != nil {
			return nil, err
		}
		var worst float64
		for range pagePaints {
			for _, path := range []string{"/hosts", "/hosts?q=100.64.7", "/macs", "/routes", "/"} {
				const first = `new Promise(done => new PerformanceObserver(l => l.getEntries().forEach(e =>
					e.name === "first-contentful-paint" && done(e.startTime))).observe({type: "paint", buffered: true}))`
				if err := chromedp.Do(browser, chromedp.Navigate("http://"+at+path)); err != nil {
					return nil, err
				}
				ms, err := chromedp.Run(browser, chromedp.Evaluate[float64](first, chromedp.EvalAwaitPromise))
				if err != nil {
					return nil, err
				}
				worst = max(worst, ms)
			}
		}
		return []value{{name: "page_10k_ms", number: worst, unit: "ms", goal: atMost(1000),
			against: fmt.Sprintf("slowest first paint of hosts, a search of them, MACs, routes and the overview, %d times, "+
				"with %d hosts; Chromium on the same machine", pagePaints, pageHosts)}}, nil
	})
}

// loopbackTo gives an address of loopback that leads to a Unix socket.
func loopbackTo(to string) (at string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	var owned sync.WaitGroup
	owned.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			owned.Go(func() { join(from, to) })
		}
	})
	return l.Addr().String(), func() { _ = l.Close(); owned.Wait() }, nil
}

// join copies between a connection and a socket until both have ended.
func join(from net.Conn, to string) {
	far, err := net.Dial("unix", to)
	if err != nil {
		_ = from.Close()
		return
	}
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{from, far}, {far, from}} {
		both.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_, _ = pair[0].Close(), pair[1].Close()
		})
	}
	both.Wait()
}

// measureWatch has 100 pages of all kinds looked at while a host changes each second.
func measureWatch(ctx context.Context, b *bench) ([]value, error) {
	return b.withPage(ctx, func(g *liveGateway) ([]value, error) {
		quiet, err := g.busy(ctx, pageWindow/3)
		if err != nil {
			return nil, err
		}
		watching, stop := context.WithCancel(ctx)
		var owned sync.WaitGroup
		defer owned.Wait()
		defer stop()
		c := g.pageClient()
		updates := make([]int, pageWatchers)
		failed := make(chan error, pageWatchers)
		for i := range pageWatchers {
			resp, err := ask(watching, c, "/live"+watchedPages(i))
			if err != nil {
				return nil, err
			}
			owned.Go(func() {
				defer func() { _ = resp.Body.Close() }()
				var err error
				if updates[i], err = countEvents(resp.Body); watching.Err() == nil {
					failed <- fmt.Errorf("page %d ended: %w", i, err)
				}
			})
		}
		looked, err := g.busy(ctx, pageWindow)
		if err != nil {
			return nil, err
		}
		stop()
		owned.Wait()
		select {
		case err := <-failed:
			return nil, err
		default:
		}
		if i := slices.Index(updates, 0); i >= 0 {
			return nil, fmt.Errorf("nothing was told of %s", watchedPages(i))
		}
		how := fmt.Sprintf("of a core, p4evpn run: %d pages, of %d hosts, one changes each second", pageWatchers, pageHosts)
		return []value{
			{name: "page_watch_cpu_pct", number: looked - quiet, unit: "%", goal: atMost(5), against: how +
				", less what the changes alone take"},
			{name: "page_watch_cpu_quiet_pct", number: quiet, unit: "%", against: "the same while nobody looks"},
		}, nil
	})
}

// watchedPages is a page of some kind.
func watchedPages(i int) string {
	kinds := []string{"/", "/hosts?page=%d", "/macs?page=%d", "/routes?page=%d", "/ports", "/neighbors", "/bridges",
		"/events", "/vrfs", "/hosts?q=100.64.%d."}
	kind := kinds[i%len(kinds)]
	if bytes.ContainsRune([]byte(kind), '%') {
		return fmt.Sprintf(kind, 1+i/len(kinds))
	}
	return kind
}

// countEvents counts the events of a stream until it ends.
func countEvents(r io.Reader) (n int, err error) {
	b := make([]byte, 64<<10)
	for {
		m, err := r.Read(b)
		n += bytes.Count(b[:m], []byte("event: page\n"))
		if err != nil {
			return n, err
		}
	}
}

// busy is the share of a core that the gateway takes while a host changes each second.
func (g *liveGateway) busy(ctx context.Context, window time.Duration) (percent float64, err error) {
	before, err := processorTime(g.ControllerPID())
	if err != nil {
		return 0, err
	}
	start := time.Now()
	for i := 1; time.Since(start) < window; i++ {
		if err := g.leaf.Send(bytes.Join(pageRoutes(uint32(time.Now().Unix()), 1), nil)); err != nil {
			return 0, err
		}
		if err := sleep(ctx, pageEvery); err != nil {
			return 0, err
		}
	}
	now, err := processorTime(g.ControllerPID())
	return 100 * (now - before) / time.Since(start).Seconds(), err
}
