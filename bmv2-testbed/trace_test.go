package testbed

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"google.golang.org/grpc"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

var tracedFrames = flag.Int("traced-frames", 150, "how many random frames are traced and sent")

// A trace says of any frame what the target then does with it: what leaves by which port,
// to the byte.
func TestATraceIsWhatTheTargetDoes(t *testing.T) {
	eachOwnRouted(t, func(t *testing.T, r *routed) {
		for _, s := range segments {
			if s.atPort {
				h := r.hosts[s.host]
				check(t, r.reach(t.Context(), s.host, h.Gateway, h.Gateway6))
			}
		}
		check(t, r.reach(t.Context(), "east1", farPrefix4.Addr(), farPrefix6.Addr()))
		ports := map[string]End{}
		for i, s := range segments {
			if s.atPort {
				ports[fmt.Sprintf("port%d", i+1)] = End{NS: r.hosts[s.host].NS, Dev: r.hosts[s.host].Dev}
			}
		}
		c := newCaptures(t, r.gateway, ports, routedUplinks[0].name, End{NS: r.leaf.NS, Dev: "gw"})
		random := rand.New(rand.NewPCG(1, 2))
		c.verifyAll(t, *tracedFrames, func() *traced { return randomTraced(r, random) })
		c.readsTheSame(t)
		whyDropHasSamples(t, r.gateway)
		ends(t, r)
	})
}

// ends has the gateway check whether frames end where they must: by what the target
// acknowledged, and by what it holds.
func ends(t *testing.T, r *routed) {
	t.Helper()
	checking := p4evpnv1.NewCheckingClient(r.gateway.Conn())
	for name, call := range map[string]func(context.Context, *p4evpnv1.CheckTargetRequest,
		...grpc.CallOption) (*p4evpnv1.CheckTargetResponse, error){
		"acknowledged": checking.CheckTarget, "read": checking.CheckTargetRead,
	} {
		got, err := call(t.Context(), &p4evpnv1.CheckTargetRequest{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, d := range got.GetDifferences() {
			t.Errorf("%s: %v", name, d)
		}
		if got.GetFrames() < 50 || got.GetEntries() < 50 {
			t.Errorf("%s: %d frames with %d entries", name, got.GetFrames(), got.GetEntries())
		}
	}
}

// traced is a frame that is sent, and what is to come of it.
type traced struct {
	what    string // it is, for people
	port    string // "": it comes by VXLAN, from vtep with vni
	vtep    netip.Addr
	vni     uint32
	make    func(mark []byte) []byte
	mark    []byte
	expects []string // by port and bytes
}

// captures hears what leaves the gateway by its ports.
type captures struct {
	gateway *Gateway
	magic   []byte
	sent    uint64
	fabric  *RawSocket // of those at the end of the uplink
	ports   map[string]*RawSocket
	running sync.WaitGroup

	mu       sync.Mutex
	heard    map[uint64][]string // by mark
	expected map[uint64]*traced
}

// markSize is the length of a mark: a random number, and another one for each frame.
const markSize = 16

// newCaptures hears what leaves by ports to their other ends, and by an uplink.
func newCaptures(t *testing.T, g *Gateway, ends map[string]End, uplink string, fabric End) *captures {
	t.Helper()
	c := &captures{gateway: g, magic: make([]byte, markSize-8), ports: map[string]*RawSocket{},
		heard: map[uint64][]string{}, expected: map[uint64]*traced{}}
	_, _ = crand.Read(c.magic)
	for port, end := range ends {
		c.ports[port] = must(end.NS.OpenRaw(end.Dev))(t)
	}
	c.fabric = must(fabric.NS.OpenRaw(fabric.Dev))(t)
	c.ports[uplink] = c.fabric
	for port, s := range c.ports {
		c.running.Go(func() { c.listen(port, s) })
	}
	t.Cleanup(func() {
		for _, s := range c.ports {
			_ = s.Close()
		}
		c.running.Wait()
	})
	return c
}

func (c *captures) listen(port string, s *RawSocket) {
	buffer := make([]byte, maxFrame)
	for {
		frame, err := s.Receive(buffer, time.Time{})
		if err != nil {
			return // closed
		}
		at := bytes.Index(frame, c.magic)
		if at < 0 || len(frame) < at+markSize || complains(frame) {
			continue
		}
		n := binary.BigEndian.Uint64(frame[at+len(c.magic):])
		c.mu.Lock()
		c.heard[n] = append(c.heard[n], leaving(port, frame))
		c.mu.Unlock()
	}
}

// complains reports whether a frame is an ICMP error, which Linux sends about another one.
func complains(frame []byte) bool {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.ICMPv4:
			return true
		case *layers.ICMPv6:
			return l.TypeCode.Type() < 128
		}
	}
	return false
}

func leaving(port string, frame []byte) string { return fmt.Sprintf("%s %x", port, frame) }

// verify sends frames and waits until of each just that came which its trace had said. One
// that was sent while the gateway learned or forgot something is sent again.
func (c *captures) verify(t *testing.T, batch []*traced) {
	t.Helper()
	for try := 0; len(batch) > 0; try++ {
		for _, f := range batch {
			check(t, c.predict(t.Context(), f))
			if f.port != "" {
				check(t, c.ports[f.port].Send(f.make(f.mark)))
			}
		}
		err := Eventually(t.Context(), patience, "what was said leaves", func(context.Context) error {
			batch = slices.DeleteFunc(batch, c.came)
			if len(batch) > 0 {
				return fmt.Errorf("%d frames do not", len(batch))
			}
			return nil
		})
		if err == nil {
			return
		}
		if try == 2 {
			for _, f := range batch {
				c.mu.Lock()
				t.Errorf("%s:\nleaves  %q\nwas said %q", f.what, c.heard[f.number()], f.expects)
				c.mu.Unlock()
			}
			return
		}
		for _, f := range batch { // what was heard of it before says nothing
			c.mu.Lock()
			delete(c.expected, f.number())
			c.mu.Unlock()
		}
	}
}

func (f *traced) number() uint64 { return binary.BigEndian.Uint64(f.mark[markSize-8:]) }

// came reports whether all came that is to.
func (c *captures) came(f *traced) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return same(c.heard[f.number()], f.expects)
}

func same(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// predict asks what becomes of a frame; one that comes by VXLAN it sends too, with the outer
// headers that the trace gave it.
func (c *captures) predict(ctx context.Context, f *traced) error {
	c.sent++
	f.mark = binary.BigEndian.AppendUint64(slices.Clone(c.magic), c.sent)
	a, err := p4evpnv1.NewTracingClient(c.gateway.Conn()).TraceFrame(ctx, f.request())
	if err != nil {
		return fmt.Errorf("%s: %w", f.what, err)
	}
	f.expects = nil
	for _, o := range a.GetOut() {
		if c.ports[o.GetPort()] != nil && bytes.Contains(o.GetFrame(), f.mark) {
			f.expects = append(f.expects, leaving(o.GetPort(), o.GetFrame()))
		}
	}
	c.mu.Lock()
	c.expected[f.number()] = f
	c.mu.Unlock()
	if f.port == "" {
		return c.fabric.Send(a.GetFrame())
	}
	return nil
}

func (f *traced) request() *p4evpnv1.TraceFrameRequest {
	if f.port != "" {
		return &p4evpnv1.TraceFrameRequest{Frame: f.make(f.mark), Port: f.port}
	}
	return &p4evpnv1.TraceFrameRequest{Frame: f.make(f.mark), Vtep: f.vtep.String(), Vni: f.vni}
}

// verifyAll verifies so many frames, and that nothing more of them leaves.
func (c *captures) verifyAll(t *testing.T, frames int, next func() *traced) {
	t.Helper()
	for left := frames; left > 0 && !t.Failed(); left -= min(left, 50) {
		var batch []*traced
		for range min(left, 50) {
			batch = append(batch, next())
		}
		c.verify(t, batch)
	}
	c.nothingMore(t)
}

// readsTheSame checks that a trace by what the target is read to have says what one by what
// it acknowledged says.
func (c *captures) readsTheSame(t *testing.T) {
	t.Helper()
	trace, tried := p4evpnv1.NewTracingClient(c.gateway.Conn()), 0
	for _, f := range c.expected {
		if tried++; tried > 10 {
			return
		}
		acknowledged := must(trace.TraceFrame(t.Context(), f.request()))(t)
		read := must(trace.TraceFrameOnTarget(t.Context(), f.request()))(t)
		if !same(acknowledged.GetResults(), read.GetResults()) { // copies come in any order
			t.Errorf("%s:\nas acknowledged %q\nas read         %q", f.what, acknowledged.GetResults(), read.GetResults())
		}
	}
}

// whyDropHasSamples checks that `why drop` explains a frame that was dropped.
func whyDropHasSamples(t *testing.T, g *Gateway) {
	t.Helper()
	out := must(g.command(t.Context(), "why", "drop", "--for", "0s"))(t)
	if !strings.Contains(out, " frames\n") || !strings.Contains(out, "\n  came by ") ||
		!strings.Contains(out, "\n    => dropped: ") {
		t.Errorf("why drop says\n%s", out)
	}
}

// nothingMore checks that no copy came too late to be seen.
func (c *captures) nothingMore(t *testing.T) {
	t.Helper()
	time.Sleep(settle)
	c.mu.Lock()
	defer c.mu.Unlock()
	left, silent := 0, 0
	for n, f := range c.expected {
		if !same(c.heard[n], f.expects) {
			t.Errorf("%s:\nleaves   %q\nwas said %q", f.what, c.heard[n], f.expects)
		}
		if left += len(f.expects); len(f.expects) == 0 {
			silent++
		}
	}
	t.Logf("%d frames, of which %d come to nothing; %d left as was said", len(c.expected), silent, left)
	if left == 0 || silent == 0 {
		t.Error("want some that leave and some that do not")
	}
}

// portOf is the port of the gateway that a host is at.
func (r *routed) portOf(h *Host) string {
	for i, s := range segments {
		if s.host == h.Name {
			return fmt.Sprintf("port%d", i+1)
		}
	}
	return ""
}

// randomTraced makes a frame of a host, or of the leaf. What it says of its sender is true, or
// of a MAC that is nobody's, so that it changes nothing for the others.
func randomTraced(r *routed, random *rand.Rand) *traced {
	var at []segment
	for _, s := range segments {
		if s.atPort {
			at = append(at, s)
		}
	}
	s := at[random.IntN(len(at))]
	from := r.hosts[s.host]
	f := &traced{port: r.portOf(from)}
	if random.IntN(4) == 0 {
		f.port, f.vtep, from = "", leaf1VTEP, r.hosts["near2"]
		f.vni = []uint32{1011, 1012, 1014, 1032, 2011, tenantVNI, 77}[random.IntN(7)]
	}
	source := from.MAC
	if random.IntN(8) == 0 {
		source = ether.MAC{2, 0x77, byte(random.IntN(256)), byte(random.IntN(256)), byte(random.IntN(256)), 7}
	}
	other := at[random.IntN(len(at))]
	destination := []ether.MAC{s.mac, s.mac, s.mac, r.hosts[other.host].MAC, ether.Broadcast, {2, 0x78, 0, 0, 0, 1},
		r.leaf.VRFs[s.vrf].RouterMAC}[random.IntN(7)]
	to := r.hosts[[]string{"east1", "west1", "far1", "mover", "twin1", "near1", "near2"}[random.IntN(7)]]
	ip4 := []netip.Addr{to.Address.Addr(), to.Gateway, farPrefix4.Addr(), hidden4.Addr(), unknownIn(to.Address),
		netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("224.0.0.5")}[random.IntN(7)]
	ip6 := []netip.Addr{to.Address6.Addr(), to.Gateway6, farPrefix6.Addr(), hidden6.Addr(), unknownIn(to.Address6),
		netip.MustParseAddr("3fff::9"), netip.MustParseAddr("ff02::5")}[random.IntN(7)]
	ttl := []uint8{64, 64, 2, 1}[random.IntN(4)]
	switch kind := random.IntN(5); {
	case kind == 0 && source == from.MAC && f.port != "":
		f.what = fmt.Sprintf("ARP of %v for %v", from.Address, ip4)
		f.make = func(mark []byte) []byte { return append(packet.ARPRequest(source, from.Address.Addr(), ip4), mark...) }
	case kind == 1 && source == from.MAC && f.port != "":
		f.what = fmt.Sprintf("ND of %v for %v", from.MAC, ip6)
		f.make = func(mark []byte) []byte {
			return append(packet.Query{MAC: source, Target: ip6}.Frame(), mark...)
		}
	case kind == 2:
		f.what = fmt.Sprintf("%v > %v, %v > %v, TTL %d", source, destination, from.Address, ip4, ttl)
		f.make = func(mark []byte) []byte {
			return udp(source, destination, &layers.IPv4{Version: 4, TTL: ttl, Protocol: layers.IPProtocolUDP,
				SrcIP: from.Address.Addr().AsSlice(), DstIP: ip4.AsSlice()}, mark)
		}
	case kind == 3:
		f.what = fmt.Sprintf("%v > %v, %v > %v, hop limit %d", source, destination, from.Address6, ip6, ttl)
		f.make = func(mark []byte) []byte {
			return udp(source, destination, &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: layers.IPProtocolUDP,
				SrcIP: from.Address6.Addr().AsSlice(), DstIP: ip6.AsSlice()}, mark)
		}
	default:
		f.what = fmt.Sprintf("%v > %v", source, destination)
		f.make = func(mark []byte) []byte {
			return slices.Concat(destination[:], source[:], []byte{0x88, 0xb5}, mark, make([]byte, 46-len(mark)))
		}
	}
	f.comes()
	return f
}

// comes says by what it comes.
func (f *traced) comes() {
	if f.port == "" {
		f.what += fmt.Sprintf(" by VXLAN from %v with VNI %d", f.vtep, f.vni)
	} else {
		f.what += " by " + f.port
	}
}

// unknownIn is an address of a subnet that nobody has.
func unknownIn(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	b[len(b)-1] = 0xee
	a, _ := netip.AddrFromSlice(b)
	return a
}

// udp is a packet with a mark in it.
func udp(source, destination ether.MAC, ip gopacket.SerializableLayer, mark []byte) []byte {
	u := &layers.UDP{SrcPort: 49200, DstPort: 9}
	typ := layers.EthernetTypeIPv4
	var err error
	switch ip := ip.(type) {
	case *layers.IPv4:
		err = u.SetNetworkLayerForChecksum(ip)
	case *layers.IPv6:
		typ = layers.EthernetTypeIPv6
		err = u.SetNetworkLayerForChecksum(ip)
	}
	b := gopacket.NewSerializeBuffer()
	err = errors.Join(err, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: source[:], DstMAC: destination[:], EthernetType: typ}, ip, u, gopacket.Payload(mark)))
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}
