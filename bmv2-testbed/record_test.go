package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/ether"
)

// recorder is who real speakers speak to while their UPDATEs are recorded: on a link with
// one of them, at the gateway's address.
type recorder struct {
	lab     *Lab
	speaker *Namespace
	listen  net.Listener
}

func newRecorder(t *testing.T, l *Lab, name string) *recorder {
	t.Helper()
	here := must(l.Namespace("recorder-" + name))(t)
	r := &recorder{lab: l, speaker: must(l.Namespace(name))(t)}
	check(t, l.Cable(End{NS: here, Dev: "eth0"}, End{NS: r.speaker, Dev: foreignDevice}))
	check(t, here.AddAddress("eth0", netip.PrefixFrom(peeringVTEP, 24)))
	check(t, r.speaker.AddAddress(foreignDevice, netip.PrefixFrom(foreignVTEP, 24)))
	check(t, here.Do(func() (err error) {
		r.listen, err = new(net.ListenConfig).Listen(t.Context(), "tcp", netip.AddrPortFrom(peeringVTEP, 179).String())
		return err
	}))
	t.Cleanup(func() { _ = r.listen.Close() })
	return r
}

// step is something that the speaker is made to say, and what is in the last UPDATE of it.
type step struct {
	do      func()
	awaited string
}

// record answers the speaker and gives the bodies of its UPDATEs, step by step.
func (r *recorder) record(t *testing.T, steps ...step) (bodies [][]byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = r.listen.Close() })
	defer stop()
	session := r.answer(ctx, t)
	t.Cleanup(session.Close)
	for _, s := range steps {
		s.do()
		for came := false; !came; {
			select {
			case body, ok := <-session.Updates():
				if !ok {
					t.Fatalf("the session that is recorded has ended: %v", session.Err())
				}
				bodies = append(bodies, body)
				came = strings.Contains(string(body), s.awaited)
			case <-ctx.Done():
				t.Fatalf("%d UPDATEs came, and none with %x: %x", len(bodies), s.awaited, bodies)
			}
		}
	}
	t.Logf("%d UPDATEs are recorded", len(bodies))
	return bodies
}

// answer takes the first connection on which there is a session.
func (r *recorder) answer(ctx context.Context, t *testing.T) *bgptest.Session {
	t.Helper()
	for {
		conn, err := r.listen.Accept()
		if err != nil {
			t.Fatalf("nobody makes a session: %v", errors.Join(err, ctx.Err()))
		}
		s, err := bgptest.Answer(ctx, conn, bgptest.Config{Local: peeringVTEP, AS: gatewayAS, Unicast: true})
		if err == nil {
			return s
		}
		t.Log(err) // of two connections that cross one ends
	}
}

// recordGoBGP records Debian's GoBGP 3.10 with routes of all types that it makes.
func recordGoBGP(t *testing.T, l *Lab) [][]byte {
	t.Helper()
	r := newRecorder(t, l, "gobgp")
	startGoBGP(t, l, r.speaker, "l2vpn-evpn", "ipv4-unicast", "ipv6-unicast")
	rib := func(family, op, route string) {
		args := append([]string{"gobgp", "global", "rib", "-a", family, op}, strings.Fields(route)...)
		check(t, Eventually(t.Context(), patience, "gobgpd takes "+route, func(ctx context.Context) error {
			_, err := r.speaker.Output(ctx, args...)
			return err
		}))
	}
	const vtep = " rd 172.17.0.1:1010 rt 65000:1010 65000:5001 encap vxlan"
	const segment = " esi LACP aa:bb:cc:dd:ee:ff 100"
	evpn := []string{
		"macadv " + peerMAC + " 0.0.0.0 etag 0 label 1010" + vtep,
		"macadv " + peerMAC + " " + peerIP + " etag 0 label 1010" + vtep,
		"macadv " + peerMAC + " 2001:db8::51 etag 10 label 1010" + vtep,
		"macadv 02:ac:10:ff:00:52 192.168.222.52 etag 0 label 1010 rd 65000:7 rt 65000:1010 encap vxlan",
		"multicast 172.17.0.1 etag 0" + vtep + " pmsi ingress-repl 1010 172.17.0.1",
		"prefix 10.9.0.0/24 etag 0 label 5001" + vtep + " router-mac " + peerRouter,
		"prefix 2001:db8:9::/64 etag 0 label 5001" + vtep + " router-mac " + peerRouter,
		"prefix 10.10.0.0/16 gw 10.9.0.1 etag 0 label 5001" + vtep,
		"esi 172.17.0.1" + segment, "a-d" + segment + " etag 0 label 1010",
	}
	for i := range evpn[8:] {
		evpn[8+i] += " rd 172.17.0.1:1010 rt 65000:1010 encap vxlan"
	}
	return r.record(t, step{func() {
		for _, route := range evpn {
			rib("evpn", "add", route)
		}
		rib("ipv4", "add", "10.77.0.0/24 med 7 community 65000:1,no-export large-community 65000:1:2 aigp metric 9")
		rib("ipv6", "add", "2001:db8:77::/48 community 65000:1")
		rib("ipv4", "add", "10.98.98.0/24")
	}, "\x18\x0a\x62\x62"}, step{func() {
		for _, route := range evpn[:3] {
			rib("evpn", "del", route)
		}
		rib("ipv4", "del", "10.77.0.0/24")
		rib("ipv4", "add", "10.99.99.0/24")
	}, "\x18\x0a\x63\x63"})
}

// recordExaBGP records Debian's ExaBGP 4.2, with the commands of exabgp_evpn.py.
func recordExaBGP(t *testing.T, l *Lab) [][]byte {
	t.Helper()
	r := newRecorder(t, l, "exabgp")
	in := func(name string) string { return filepath.Join(l.Dir, "recorded-"+name) }
	script := must(filepath.Abs("exabgp_evpn.py"))(t)
	const mac = "announce evpn mac 172.17.0.1:1010 65000:1010 172.17.0.1 1010 "
	check(t, os.WriteFile(in("commands"), []byte(strings.Join([]string{
		mac + peerMAC + " " + peerIP, mac + "02:ac:10:ff:00:52 2001:db8::52",
		"announce evpn multicast 172.17.0.1:1010 65000:1010 172.17.0.1 1010",
		"announce evpn prefix 172.17.0.1:5001 65000:5001 172.17.0.1 5001 10.9.0.0/24 " + peerRouter,
		"announce route 10.77.0.0/24 next-hop self med 7 community [65000:1 no-export] " +
			"extended-community [target:65000:1] large-community 65000:1:2 as-path [65001 65002] " +
			"originator-id 10.0.0.9 cluster-list [10.0.0.8 10.0.0.7] aggregator ( 65001:10.0.0.6 ) atomic-aggregate",
		"announce route 2001:db8:77::/48 next-hop 2001:db8::1 attribute [ 0x63 0xc0 0x01020304 ]",
		strings.Replace(mac, "announce", "withdraw", 1) + peerMAC + " " + peerIP,
		"announce route 10.99.99.0/24 next-hop self\n",
	}, "\n")), 0o644))
	check(t, os.WriteFile(in("exabgp.conf"), fmt.Appendf(nil, `process routes {
	run %s -B %s process %s %s;
	encoder json;
}
neighbor %s {
	router-id %s;
	local-address %[6]s;
	local-as %[7]d;
	peer-as %[7]d;
	family { l2vpn evpn; ipv4 unicast; ipv6 unicast; }
	api { processes [ routes ]; }
}
`, debianPython, script, in("commands"), in("updates"), peeringVTEP, foreignVTEP, gatewayAS), 0o644))
	must(l.Start(r.speaker, "recorded-exabgp", "env", "exabgp.daemon.user=root", "exabgp.api.ack=false",
		debianPython, "-B", script, "run", in("exabgp.conf")))(t)
	return r.record(t, step{func() {}, "\x18\x0a\x63\x63"})
}

// recordFRR records FRR 8.4 with stations of kernel VXLAN, and prefixes of its own.
func recordFRR(t *testing.T, l *Lab) [][]byte {
	t.Helper()
	r := newRecorder(t, l, "frr")
	ctx := t.Context()
	leaf := must(l.NewLeaf(r.speaker, "recorded-frr", gatewayAS, foreignVTEP,
		[]Peer{{Address: peeringVTEP, AS: gatewayAS, Underlay: true}}, 1500))(t)
	check(t, leaf.AddVNI(blueVNI))
	check(t, leaf.Start(ctx))
	check(t, r.speaker.enableIPv6(bridgeOf(blueVNI)))
	check(t, l.Cable(End{NS: r.speaker, Dev: "station"}, End{NS: r.speaker, Dev: "far"}))
	check(t, leaf.Join("station", blueVNI))
	run := func(args ...string) { must(r.speaker.Output(ctx, args...))(t) }
	for i := range byte(4) {
		mac := ether.MAC{2, 0xac, 0x10, 0xff, 0, 0x60 + i}.String()
		run("bridge", "fdb", "replace", mac, "dev", "station", "master", "static")
		run("ip", "neigh", "replace", fmt.Sprintf("192.168.222.%d", 100+i), "lladdr", mac, "dev", bridgeOf(blueVNI))
		run("ip", "neigh", "replace", fmt.Sprintf("2001:db8::%d", 100+i), "lladdr", mac, "dev", bridgeOf(blueVNI))
	}
	// What is announced is recorded before it is withdrawn.
	return r.record(t, step{func() {}, "\x30\x02\xac\x10\xff\x00\x63\x80"}, step{func() {
		check(t, leaf.Withdraw(ctx))
		check(t, leaf.Configure(ctx, fmt.Sprintf("router bgp %d", gatewayAS), "no bgp network import-check",
			"address-family ipv4 unicast", "network 10.99.99.0/24"))
	}, "\x18\x0a\x63\x63"})
}

// recorded are the UPDATEs of the real speakers that are installed.
func recorded(t *testing.T) (bodies [][]byte) {
	t.Helper()
	l := needLab(t)
	t.Cleanup(func() { logsOf(t, l) })
	for name, record := range map[string]func(*testing.T, *Lab) [][]byte{
		"GoBGP": recordGoBGP, "ExaBGP": recordExaBGP, "FRR": recordFRR,
	} {
		t.Run("recording "+name, func(t *testing.T) {
			switch name {
			case "GoBGP":
				needProgram(t, "gobgpd", "gobgp")
			case "ExaBGP":
				needPython(t, "exabgp")
			case "FRR":
				needFRR(t)
			}
			bodies = append(bodies, record(t, l)...)
		})
	}
	return bodies
}
