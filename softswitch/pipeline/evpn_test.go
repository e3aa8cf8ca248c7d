package pipeline

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"testing"
)

// The EVPN program of this repository, as p4c compiled it, with a small
// network: bridge 10 (VNI 100) on access ports 1 and 2 and trunk port 3 (VLAN
// 30), bridge 20 on trunk port 3 (VLAN 40), uplink 4 with host port 5, remote
// VTEPs 7 and 8.
type evpn struct {
	t testing.TB
	*Pipeline
	w    *Worker
	sink *recorder
}

// traced makes run account for what it does; TestMain runs all tests in both
// ways, so that an account is proved to have the effects of Process.
var traced bool

func TestMain(m *testing.M) {
	code := m.Run()
	running := func(name string) bool { return flag.Lookup("test."+name).Value.String() != "" }
	if code == 0 && !running("bench") && !running("fuzz") && !running("list") {
		traced = true
		// Those that send no frames by run.
		if err := flag.Set("test.skip", "Account|Damaged|Truncated|LoadErrors|Configuration|Counters|Table"); err != nil {
			panic(err)
		}
		code = m.Run()
	}
	os.Exit(code)
}

func (e *evpn) process(port uint32, frame []byte) {
	if !traced {
		e.w.Process(port, frame)
		return
	}
	first := len(e.w.Out)
	a := e.w.Trace(port, frame)
	if len(a.Out) != len(e.w.Out)-first || len(a.Steps) == 0 {
		e.t.Errorf("the account has %d steps and %d frames, %d left", len(a.Steps), len(a.Out), len(e.w.Out)-first)
	}
}

type recorder struct{ digests []string }

func (r *recorder) Digest(_ uint32, name string, fields [][]byte) {
	var parts []string
	for _, f := range fields {
		parts = append(parts, hex.EncodeToString(f))
	}
	r.digests = append(r.digests, name+" "+strings.Join(parts, " "))
}

func loadEVPN(t testing.TB) *Program {
	t.Helper()
	json, err := os.ReadFile("../../p4/p4evpn.json")
	if err != nil {
		t.Fatal(err)
	}
	prog, err := Load(json)
	if err != nil {
		t.Fatal(err)
	}
	return prog
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", ":", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		panic(err)
	}
	return b
}

func exact(values ...string) []Match {
	var out []Match
	for _, v := range values {
		out = append(out, Match{Value: unhex(v)})
	}
	return out
}

func (e *evpn) insert(table string, match []Match, action string, params ...string) {
	e.t.Helper()
	entry := Entry{Match: match, Action: action}
	for _, p := range params {
		entry.Params = append(entry.Params, unhex(p))
	}
	if err := e.Table(table).Insert(&entry); err != nil {
		e.t.Fatal(err)
	}
}

const (
	macA   = "020000000001"
	macB   = "020000000002"
	macR   = "0200000000aa" // behind VTEP 7
	gwMAC  = "0a0000000001"
	hopMAC = "0a0000000002"
	gwIP   = "0a000001"
	vtep7  = "0a000007"
	vtep8  = "0a000008"
)

func newEVPN(t testing.TB) *evpn {
	sink := &recorder{}
	p := New(loadEVPN(t), Limits{})
	e := &evpn{t: t, Pipeline: p, w: p.NewWorker(sink), sink: sink}
	for _, port := range []string{"01", "02", "03"} {
		e.insert("port.kind", exact(port), "port.bridge_port")
	}
	e.insert("port.kind", exact("04"), "port.uplink", "05")
	e.insert("port.kind", exact("05"), "port.host", "04")
	e.insert("bridge.vlan", exact("01", "00"), "bridge.member", "0a", "00", "00", "00")
	e.insert("bridge.vlan", exact("02", "00"), "bridge.member", "0a", "00", "00", "00")
	e.insert("bridge.vlan", exact("03", "1e"), "bridge.member", "0a", "00", "00", "00")
	e.insert("bridge.vlan", exact("03", "28"), "bridge.member", "14", "00", "00", "00")
	e.insert("bridge.egress_vlan", exact("01", "0a"), "bridge.untagged")
	e.insert("bridge.egress_vlan", exact("02", "0a"), "bridge.untagged")
	e.insert("bridge.egress_vlan", exact("03", "0a"), "bridge.tagged", "1e", "00")
	e.insert("bridge.egress_vlan", exact("03", "14"), "bridge.tagged", "28", "00")
	e.insert("bridge.fdb", exact("0a", macB), "bridge.to_port", "02")
	e.insert("bridge.fdb", exact("0a", macR), "bridge.to_vtep", "07", "64")
	e.insert("vxlan.local", exact(gwIP), "vxlan.terminate")
	e.insert("vxlan.peer", []Match{{Value: unhex("0a000000"), PrefixLen: 24}}, "vxlan.accept")
	e.insert("vxlan.vni", exact(gwIP, "64"), "vxlan.to_bridge", "0a")
	e.insert("underlay.path", exact("07"), "underlay.uplink", "04", "ffff")
	e.insert("vxlan.tunnel", exact("07"), "vxlan.encap", gwIP, vtep7, "01", "ffff")
	e.insert("vxlan.tunnel", exact("08"), "vxlan.encap", gwIP, vtep8, "01", "ffff")
	e.insert("underlay.adjacency", exact("01"), "underlay.rewrite", gwMAC, hopMAC)
	e.insert("flood.replica", exact("0a", "02"), "flood.to_vtep", "07", "64")
	e.insert("flood.replica", exact("0a", "03"), "flood.to_vtep", "08", "64")
	group := []Replica{{1, 1}, {2, 1}, {3, 1}, {4, 2}, {4, 3}}
	if err := p.SetGroup(10, group); err != nil {
		t.Fatal(err)
	}
	if err := p.SetSession(1, Session{Replicas: []Replica{{Port: 510}}}); err != nil {
		t.Fatal(err)
	}
	return e
}

// ether makes an Ethernet frame of at least 60 bytes.
func ether(dst, src, rest string) []byte {
	b := unhex(dst + src + rest)
	for len(b) < 60 {
		b = append(b, byte(len(b)))
	}
	return b
}

// outer wraps a frame into VXLAN.
func outer(dstMAC, srcMAC, src, dst, vni string, sport uint16, frame []byte) []byte {
	b := unhex(dstMAC + srcMAC + "0800" + "4500" + "0000" + "0000" + "4000" + "4011" + "0000" + src + dst)
	ip := b[14:]
	binary.BigEndian.PutUint16(ip[2:], uint16(20+8+8+len(frame)))
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	b = binary.BigEndian.AppendUint16(b, sport)
	b = append(b, unhex("12b5")...)
	b = binary.BigEndian.AppendUint16(b, uint16(16+len(frame)))
	b = append(b, unhex("0000"+"08000000"+vni+"00")...)
	return append(b, frame...)
}

// run sends a frame in and returns what comes out.
func (e *evpn) run(port uint32, frame []byte) []Packet {
	e.w.Reset()
	e.process(port, frame)
	return e.w.Out
}

func (e *evpn) expect(port uint32, frame []byte, want ...Packet) {
	e.t.Helper()
	got := e.run(port, frame)
	if len(got) != len(want) {
		e.t.Fatalf("%d packets, want %d: %x", len(got), len(want), got)
	}
	for i := range want {
		if got[i].Port != want[i].Port || !bytes.Equal(got[i].Data, want[i].Data) {
			e.t.Errorf("packet %d:\n got port %d %x\nwant port %d %x", i, got[i].Port, got[i].Data, want[i].Port, want[i].Data)
		}
	}
}

// entropy is the UDP source port of frames without IP: 49152 + crc32 % 16384.
func entropy(frame []byte, etherType string) uint16 {
	sum := crc32.ChecksumIEEE(append(slices.Clone(frame[:12]), unhex(etherType)...))
	return 49152 + uint16(sum%16384)
}

func TestLocalFrameReachesThePortOfItsDestination(t *testing.T) {
	e := newEVPN(t)
	f := ether(macB, macA, "88b5")
	e.expect(1, f, Packet{2, f})
}

func TestTrunkTagsAreRemovedAndAdded(t *testing.T) {
	e := newEVPN(t)
	tagged := ether(macB, macA, "8100 e01e 88b5 0102")
	untagged := slices.Concat(tagged[:12], tagged[16:])
	e.expect(3, tagged, Packet{2, untagged})

	e.insert("bridge.fdb", exact("0a", "020000000003"), "bridge.to_port", "03")
	f := ether("020000000003", macA, "88b5")
	e.expect(1, f, Packet{3, slices.Concat(f[:12], unhex("8100001e"), f[12:])})
	e.expect(3, ether(macB, macA, "8100 0063 88b5")) // VLAN 99 is nobody's
}

func TestFrameToRemoteMACIsEncapsulated(t *testing.T) {
	e := newEVPN(t)
	f := ether(macR, macA, "88b5 0102")
	e.expect(1, f, Packet{4, outer(hopMAC, gwMAC, gwIP, vtep7, "000064", entropy(f, "88b5"), f)})
}

func TestVXLANFrameIsDecapsulatedToItsBridge(t *testing.T) {
	e := newEVPN(t)
	f := ether(macB, macR, "0800 4500001c00000000400100000a0102030a010204")
	wrapped := outer(gwMAC, hopMAC, vtep7, gwIP, "000064", 50000, f)
	e.expect(4, wrapped, Packet{2, f})

	wrong := slices.Clone(wrapped)
	wrong[24]++ // IPv4 checksum
	e.expect(4, wrong)
	e.expect(4, outer(gwMAC, hopMAC, vtep7, gwIP, "000065", 50000, f))                             // VNI
	e.expect(4, outer(gwMAC, hopMAC, "0b000007", gwIP, "000064", 50000, f))                        // VTEP
	e.expect(4, outer(gwMAC, hopMAC, vtep7, gwIP, "000064", 50000, ether(macB, macR, "81000005"))) // inner tag
	for reason, want := range map[int]uint64{6: 1, 4: 1, 3: 1, 7: 1} {
		if got, _ := e.Counter("ingress_drops").Read(reason); got != want {
			t.Errorf("drops for reason %d: %d, want %d", reason, got, want)
		}
	}
}

func TestOtherUplinkFramesPassToTheHostPortAndBack(t *testing.T) {
	e := newEVPN(t)
	f := outer(gwMAC, hopMAC, vtep7, "0a000099", "000064", 50000, ether(macB, macR, "88b5"))
	e.expect(4, f, Packet{5, f})
	e.expect(5, f, Packet{4, f})
	arp := ether("ffffffffffff", hopMAC, "0806 0001")
	e.expect(4, arp, Packet{5, arp})
}

func TestBroadcastReachesEachMemberOnce(t *testing.T) {
	e := newEVPN(t)
	f := ether("ffffffffffff", macA, "0806 0001")
	tagged := slices.Concat(f[:12], unhex("8100001e"), f[12:])
	sport := entropy(f, "0806")
	e.expect(1, f,
		Packet{2, f}, Packet{3, tagged},
		Packet{4, outer(hopMAC, gwMAC, gwIP, vtep7, "000064", sport, f)},
		Packet{4, outer(hopMAC, gwMAC, gwIP, vtep8, "000064", sport, f)})

	remote := ether("ffffffffffff", macR, "0806 0001")
	wrapped := outer(gwMAC, hopMAC, vtep7, gwIP, "000064", 50000, remote)
	e.expect(4, wrapped,
		Packet{1, remote}, Packet{2, remote},
		Packet{3, slices.Concat(remote[:12], unhex("8100001e"), remote[12:])})
}

func TestUnknownSourceMakesADigestUntilItIsKnown(t *testing.T) {
	e := newEVPN(t)
	f := ether(macB, macA, "88b5")
	e.run(1, f)
	e.run(1, f)
	if want := "learn_t 000a " + macA + " 0001"; !slices.Equal(e.sink.digests, []string{want, want}) {
		t.Fatalf("digests %q, want twice %q", e.sink.digests, want)
	}
	e.insert("bridge.source", exact("0a", macA, "01"), "bridge.known")
	e.expect(1, f, Packet{2, f})
	if len(e.sink.digests) != 2 {
		t.Errorf("a known source made a digest: %q", e.sink.digests)
	}
	e.expect(2, ether(macB, macA, "88b5"))
	if len(e.sink.digests) != 3 {
		t.Errorf("a known source at another port made no digest")
	}
}

func TestTrapCopiesOrDivertsToTheController(t *testing.T) {
	e := newEVPN(t)
	trap := func(priority int32, action, reason string, etherType string) {
		t.Helper()
		match := []Match{{Any: true}, {Value: unhex(etherType), Mask: unhex("ffff")}, {Any: true}, {Any: true}, {Any: true}}
		entry := &Entry{Match: match, Priority: priority, Action: action, Params: [][]byte{unhex(reason)}}
		if err := e.Table("punt.trap").Insert(entry); err != nil {
			t.Fatal(err)
		}
	}
	trap(10, "punt.copy", "05", "88b5")
	trap(10, "punt.divert", "06", "88cc")
	f := ether(macB, macA, "88b5")
	e.expect(1, f, Packet{510, slices.Concat(unhex("05 0001 000a 0000 00000000"), f)}, Packet{2, f})
	lldp := ether(macB, macA, "88cc")
	e.expect(1, lldp, Packet{510, slices.Concat(unhex("06 0001 000a 0000 00000000"), lldp)})
	trap(11, "punt.divert", "07", "88b5")
	e.expect(1, f, Packet{510, slices.Concat(unhex("07 0001 000a 0000 00000000"), f)})

	inner := ether(macB, macR, "88cc")
	wrapped := outer(gwMAC, hopMAC, vtep7, gwIP, "000064", 50000, inner)
	e.expect(4, wrapped, Packet{510, slices.Concat(unhex("06 0004 000a 0000"+vtep7), inner)})
}

func TestControllerInjectsRawAndIntoABridge(t *testing.T) {
	e := newEVPN(t)
	f := ether(macB, macA, "88b5")
	e.expect(510, slices.Concat(unhex("00 0003 0000 0000"), f), Packet{3, f})
	e.expect(510, slices.Concat(unhex("01 0000 000a 0000"), f), Packet{2, f})
}

func TestCountersSeeEachFrameOnce(t *testing.T) {
	e := newEVPN(t)
	f := ether(macR, macA, "88b5")
	e.run(1, f)
	e.run(1, f)
	for _, c := range []struct {
		name  string
		index int
	}{{"port_in", 1}, {"port_out", 4}, {"bridge_vxlan_out", 10}} {
		if packets, bytes := e.Counter(c.name).Read(c.index); packets != 2 || bytes != 120 {
			t.Errorf("%s[%d]: %d packets, %d bytes; want 2 and 120", c.name, c.index, packets, bytes)
		}
	}
	got, err := e.Table("vxlan.tunnel").Get(&Entry{Match: exact("07")})
	if err != nil || got.Packets != 2 || got.Bytes != 120 {
		t.Errorf("direct counter: %+v, %v", got, err)
	}
	if err := e.Counter("port_in").Write(1, 5, 6); err != nil {
		t.Fatal(err)
	}
	if p, b := e.Counter("port_in").Read(1); p != 5 || b != 6 {
		t.Errorf("written counter reads %d, %d", p, b)
	}
}

func TestShortAndOddFramesLeaveNothingBehind(t *testing.T) {
	e := newEVPN(t)
	whole := outer(gwMAC, hopMAC, vtep7, gwIP, "000064", 50000, ether(macB, macR, "88b5"))
	for n := range whole {
		e.run(4, whole[:n])
		e.run(1, whole[:n])
		e.run(510, whole[:n])
		e.run(77, whole[:n])
	}
	f := ether(macB, macA, "88b5")
	e.expect(1, f, Packet{2, f})
}

func TestPacketPathDoesNotAllocate(t *testing.T) {
	e := newEVPN(t)
	e.insert("bridge.source", exact("0a", macA, "01"), "bridge.known")
	plain := ether(macB, macA, "88b5")
	cases := map[string]struct {
		port  uint32
		frame []byte
	}{
		"forward": {1, plain},
		"flood":   {1, ether("ffffffffffff", macA, "0806")},
		"encap":   {1, ether(macR, macA, "0800 4500001c00000000401100000a0102030a010204 0001 0002 0008 0000")},
		"decap":   {4, outer(gwMAC, hopMAC, vtep7, gwIP, "000064", 50000, ether(macB, macR, "88b5"))},
		"digest":  {2, plain},
	}
	w := e.NewWorker(discard{})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out := 0
			n := testing.AllocsPerRun(200, func() {
				w.Reset()
				w.Process(c.port, c.frame)
				out += len(w.Out)
			})
			if n != 0 {
				t.Errorf("%v allocations a packet", n)
			}
			if out == 0 && name != "digest" {
				t.Error("nothing came out")
			}
		})
	}
}

type discard struct{}

func (discard) Digest(uint32, string, [][]byte) {}
