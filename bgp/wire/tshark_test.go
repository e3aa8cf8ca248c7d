package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

// capture is a file of packets (pcap) of one TCP connection from port 179, a message in
// each.
func capture(bodies [][]byte) []byte {
	b := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 15: 0}
	b = binary.LittleEndian.AppendUint32(b, 65535)
	b = binary.LittleEndian.AppendUint32(b, 101) // packets begin with an IP header
	sequence := uint32(1)
	for i, body := range bodies {
		message := AppendMessage(nil, UpdateType, body)
		size := uint32(40 + len(message))
		for _, n := range []uint32{uint32(i), 0, size, size} { // time, lengths
			b = binary.LittleEndian.AppendUint32(b, n)
		}
		ip := []byte{0x45, 0, byte(size >> 8), byte(size), 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1}
		tcp := append([]byte{0, 179, 0x9c, 0x40}, u32(sequence)...)
		tcp = append(tcp, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0)
		b = append(append(append(b, ip...), tcp...), message...)
		sequence += uint32(len(message))
	}
	return b
}

// dissect gives the fields of each packet as tshark reads them.
func dissect(t *testing.T, bodies [][]byte, fields []string) [][]string {
	t.Helper()
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not on PATH: apt-get install tshark")
	}
	file := filepath.Join(t.TempDir(), "updates.pcap")
	if err := os.WriteFile(file, capture(bodies), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-n", "-r", file, "-T", "fields", "-E", "separator=/t", "-o", "tcp.check_checksum:FALSE"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command(path, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v: %s", cmd, err, &stderr)
	}
	var rows [][]string
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rows = append(rows, strings.Split(lines.Text(), "\t"))
	}
	if len(rows) != len(bodies) {
		t.Fatalf("tshark reads %d packets of %d: %s", len(rows), len(bodies), &stderr)
	}
	return rows
}

// tsharkFields are those that are compared, in the order of tsharkRow.
var tsharkFields = []string{
	"_ws.malformed", "bgp.evpn.nlri.rt", "bgp.evpn.nlri.rd", "bgp.evpn.nlri.esi", "bgp.evpn.nlri.etag",
	"bgp.evpn.nlri.mac_addr", "bgp.evpn.nlri.iplen", "bgp.evpn.nlri.ip.addr", "bgp.evpn.nlri.ipv6.addr",
	"bgp.evpn.nlri.prefix_len", "bgp.evpn.nlri.ipv4.gtw_addr", "bgp.evpn.nlri.ipv6.gtw_addr", "bgp.evpn.nlri.vni",
	"bgp.update.path_attribute.mp_reach_nlri.next_hop", "bgp.update.path_attribute.origin",
	"bgp.update.path_attribute.multi_exit_disc", "bgp.update.path_attribute.local_pref",
	"bgp.update.path_attribute.originator_id", "bgp.ext_com_evpn.mmac.seq", "bgp.ext_com_evpn.esi.router_mac",
	"bgp.ext_com_evpn.esi.rt", "bgp.update.path_attribute.pmsi.tunnel.type",
	"bgp.update.path_attribute.pmsi.ingress_rep_ip",
}

// tsharkRow is what tshark should read, as it prints it.
func tsharkRow(n *bgp.NLRI, a *bgp.Attributes) []string {
	only := func(is bool, v any) string {
		if !is {
			return ""
		}
		return fmt.Sprint(v)
	}
	esi, tag, ip, gateway := n.ESI, n.EthernetTag, n.IP, n.GatewayIP
	if n.Type == bgp.TypeEthernetAD || n.Type == bgp.TypeSegment {
		esi = n.Segment
	}
	if n.Type == bgp.TypePrefix && !gateway.IsValid() {
		if gateway = netip.IPv4Unspecified(); ip.Is6() {
			gateway = netip.IPv6Unspecified()
		}
	}
	var labels []string
	label := func(is bool, v uint32) {
		if is {
			labels = append(labels, strconv.Itoa(int(v)))
		}
	}
	label(a.HasTunnel, a.TunnelLabel)
	label(n.Type == bgp.TypeEthernetAD || n.Type == bgp.TypeMACIP || n.Type == bgp.TypePrefix, n.Label)
	label(n.Label2 != 0, n.Label2)
	hop := a.NextHop.AsSlice()
	return []string{
		"", fmt.Sprint(uint8(n.Type)), fmt.Sprintf("%x", n.RD[:]),
		only(n.Type != bgp.TypeMulticast, colons(esi[:])), only(n.Type != bgp.TypeSegment, tag),
		only(n.Type == bgp.TypeMACIP, n.MAC),
		only(n.Type == bgp.TypeMACIP || n.Type == bgp.TypeMulticast || n.Type == bgp.TypeSegment, ip.BitLen()),
		only(ip.Is4(), ip), only(ip.Is6(), ip), only(n.Type == bgp.TypePrefix, n.PrefixLength),
		only(gateway.Is4(), gateway), only(gateway.Is6(), gateway), strings.Join(labels, ","),
		fmt.Sprintf("%02x%x", len(hop), hop), fmt.Sprint(a.Origin), only(a.MED != 0, a.MED), only(a.Internal, a.LocalPref),
		only(a.OriginatorID.IsValid(), a.OriginatorID), only(a.Sequence != 0 || a.Sticky, a.Sequence),
		only(!a.RouterMAC.IsZero(), a.RouterMAC), only(!a.ESImport.IsZero(), a.ESImport),
		only(a.HasTunnel, a.TunnelType), only(a.HasTunnel, a.Tunnel),
	}
}

func colons(b []byte) string {
	var list []string
	for _, v := range b {
		list = append(list, fmt.Sprintf("%02x", v))
	}
	return strings.Join(list, ":")
}

// The encapsulation community comes before the routes, so that tshark takes labels for
// VNIs; of PMSI tunnels it reads IPv4 ones alone.
func TestTsharkReadsUpdatesAsWeDo(t *testing.T) {
	s := newSource(8)
	var bodies [][]byte
	var want [][]string
	for range 10000 {
		session := s.session()
		a := s.attributes(&session)
		if a.Encapsulation = bgp.EncapsulationVXLAN; a.HasTunnel {
			a.Tunnel = s.host4()
		}
		b := append(encodeAttributes(&session, &a), reach(EVPN, a.NextHop.AsSlice(), encodeNLRI(s.nlri()))...)
		u := takenAll(t, session, body(nil, b, nil))
		bodies = append(bodies, body(nil, b, nil))
		want = append(want, tsharkRow(&u.Reach[0], u.Attributes))
	}
	for i, got := range dissect(t, bodies, tsharkFields) {
		for j := range want[i] {
			if got[j] != want[i][j] {
				t.Errorf("UPDATE %d: %s is %q, we read %q", i, tsharkFields[j], got[j], want[i][j])
			}
		}
		if t.Failed() {
			t.Fatalf("% x", bodies[i])
		}
	}
}

// What was written by hand is at least well formed.
func TestTsharkReadsUpdatesOfOtherVendors(t *testing.T) {
	var bodies [][]byte
	for _, v := range vendors {
		bodies = append(bodies, v.body())
	}
	for i, got := range dissect(t, bodies, []string{"_ws.malformed", "bgp.evpn.nlri.rt"}) {
		var types []string
		for _, n := range vendors[i].reach {
			types = append(types, strconv.Itoa(int(n.Type)))
		}
		if got[0] != "" || got[1] != strings.Join(types, ",") {
			t.Errorf("%s: %q", vendors[i].name, got)
		}
	}
}
