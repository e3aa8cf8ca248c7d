package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

const (
	probedMACs = 50_000 // each with an IPv4 and an IPv6 address
	// probedLoad is how many frames a second hosts say at first, below what the pipeline
	// lets pass.
	probedLoad   = 2000
	probedPasses = 5 // in which all of them say it
	// probedQuiet is how long after that nobody is counted: no MAC has its first turn
	// sooner than a fifth of a round, and a round is not much shorter than 5 minutes.
	probedQuiet  = 75 * time.Second
	probedWindow = 60 * time.Second
)

// measureProbes has 100,000 addresses at a port of a gateway as users run it, whose hosts
// say nothing but answers, and counts what they are asked.
func measureProbes(ctx context.Context, b *bench) ([]value, error) {
	return b.withLive(ctx, func(g *liveGateway) ([]value, error) {
		hosts, err := newCrowd(g.hosts["a"])
		if err != nil {
			return nil, err
		}
		defer hosts.close()
		if err := g.announceAll(ctx, hosts); err != nil {
			return nil, err
		}
		if err := sleep(ctx, probedQuiet); err != nil {
			return nil, err
		}
		busy, perSecond, err := g.countProbes(ctx, hosts)
		if err != nil {
			return nil, err
		}
		total := 0
		for _, n := range perSecond {
			total += n
		}
		how := fmt.Sprintf("%d addresses of %d MACs that only answer, for %v", 2*probedMACs, probedMACs, probedWindow)
		return []value{
			{name: "probe_cpu", number: busy[0], unit: "%", goal: atMost(5), against: "of a core, p4evpn run: " + how},
			{name: "probe_cpu_switch", number: busy[1], unit: "%", against: "of a core, the embedded switch, meanwhile"},
			{name: "probe_pps", number: float64(slices.Max(perSecond)), unit: "/s", goal: atMost(500),
				against: "questions in the fullest second: " + how},
			{name: "probe_pps_mean", number: float64(total) / probedWindow.Seconds(), unit: "/s", against: "in the mean"},
		}, nil
	})
}

// announceAll has hosts speak until the controller knows all their addresses.
func (g *liveGateway) announceAll(ctx context.Context, hosts *crowd) error {
	const metric = `p4evpn_controller_hosts{location="local"}`
	known := 0.0
	for range probedPasses {
		if err := hosts.announce(ctx); err != nil {
			return err
		}
		m, err := g.Metrics(ctx)
		if err != nil {
			return err
		}
		if known = m[metric]; known >= 2*probedMACs {
			return nil
		}
	}
	return fmt.Errorf("%.0f addresses are known of %d that hosts said %d times", known, 2*probedMACs, probedPasses)
}

// countProbes gives the share of a core that controller and switch take, and the questions
// in each second.
func (g *liveGateway) countProbes(ctx context.Context, hosts *crowd) (busy [2]float64, perSecond []int, err error) {
	pids := [...]int{g.ControllerPID(), g.SwitchPID()}
	var before [2]float64
	for i, pid := range pids {
		if before[i], err = processorTime(pid); err != nil {
			return busy, nil, err
		}
	}
	start := time.Now()
	hosts.count(start)
	if err := sleep(ctx, probedWindow); err != nil {
		return busy, nil, err
	}
	perSecond = hosts.counted()
	for i, pid := range pids {
		now, err := processorTime(pid)
		if err != nil {
			return busy, nil, err
		}
		busy[i] = 100 * (now - before[i]) / time.Since(start).Seconds()
	}
	return busy, perSecond, nil
}

// crowd is many hosts at the end of a cable, which answer to whoever asks for them.
type crowd struct {
	raw   *testbed.RawSocket
	owned sync.WaitGroup

	mu        sync.Mutex
	since     time.Time // from when questions are counted
	perSecond []int
}

func newCrowd(at *testbed.Host) (*crowd, error) {
	raw, err := at.NS.OpenRaw(at.Dev)
	if err != nil {
		return nil, err
	}
	c := &crowd{raw: raw}
	c.owned.Go(c.answer)
	return c, nil
}

func (c *crowd) close() {
	_ = c.raw.Close() // which ends answer
	c.owned.Wait()
}

// announce has each host say both of its addresses.
func (c *crowd) announce(ctx context.Context) error {
	start := time.Now()
	for n := range probedMACs {
		mac, ip := stationMAC(uint32(n)), tenantAddress(n)
		if err := c.raw.Send(packet.ARPRequest(mac, ip, ip)); err != nil {
			return err
		}
		if err := c.raw.Send(unsolicited(mac, packet.LinkLocal(mac))); err != nil {
			return err
		}
		due := start.Add(time.Duration(2*n) * time.Second / probedLoad)
		if ahead := time.Until(due); ahead > time.Millisecond {
			if err := sleep(ctx, ahead); err != nil {
				return err
			}
		}
	}
	return sleep(ctx, time.Second)
}

// unsolicited is a neighbour advertisement to all nodes (RFC 4861 section 7.2.6).
func unsolicited(mac ether.MAC, ip netip.Addr) []byte {
	const checksum, flags = packet.EthernetLength + 42, packet.EthernetLength + 44
	f := packet.NeighborAdvertisement(mac, ip, ether.MAC{0x33, 0x33, 0, 0, 0, 1}, netip.IPv6LinkLocalAllNodes())
	f[flags] &^= 0x40 // solicited
	binary.BigEndian.PutUint16(f[checksum:], 0)
	binary.BigEndian.PutUint16(f[checksum:], packet.ICMPv6Checksum(f[packet.EthernetLength:]))
	return f
}

// answer answers for the hosts until the socket is closed.
func (c *crowd) answer() {
	buffer := make([]byte, 2048)
	for {
		frame, err := c.raw.Receive(buffer, time.Time{})
		if err != nil {
			return
		}
		s, ok := packet.ReadSighting(frame)
		if !ok || !s.Target.IsValid() || frame[0]&1 != 0 {
			continue
		}
		mac := ether.MAC(frame[:6])
		reply := packet.NeighborAdvertisement(mac, s.Target, s.MAC, packet.LinkLocal(s.MAC))
		if s.Target.Is4() {
			const operation = packet.EthernetLength + 7
			reply = packet.Query{MAC: mac, Sender: s.Target, To: s.MAC, Target: netip.IPv4Unspecified()}.Frame()
			reply[operation] = 2 // a reply, RFC 826
		}
		if c.raw.Send(reply) != nil {
			return
		}
		c.mu.Lock()
		if second := int(time.Since(c.since).Seconds()); !c.since.IsZero() && second < len(c.perSecond) {
			c.perSecond[second]++
		}
		c.mu.Unlock()
	}
}

// count counts questions from now on.
func (c *crowd) count(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since, c.perSecond = now, make([]int, int(probedWindow.Seconds()))
}

func (c *crowd) counted() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Time{}
	return c.perSecond
}
