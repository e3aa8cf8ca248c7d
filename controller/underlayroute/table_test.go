package underlayroute

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
)

func TestWhatBecameOfEachRouteIsShown(t *testing.T) {
	l := newLab(t)
	l.start()
	own := netip.MustParsePrefix("10.1.1.0/24")
	far := netip.MustParsePrefix("10.0.0.12/32")
	l.send(update(peer1, leaf, "10.1.1.2"), update(peer2, leaf, "10.1.2.2"), update(peer1, own, "10.1.1.2"),
		update(peer2, far, "192.0.2.1"))
	want := []string{
		"10.0.0.11/32 from [10.1.1.2 10.1.2.2] by [10.1.1.2 10.1.2.2]",
		"10.0.0.12/32 from [10.1.2.2] by [192.0.2.1]: no next hop of it is on the link of an uplink that is up",
		"10.1.1.0/24 from [10.1.1.2] by [10.1.1.2]: it is within 10.1.1.0/24, which is ours",
	}
	var got []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) &&
		!slices.Equal(got, want); time.Sleep(2 * time.Millisecond) {
		got = nil
		for _, r := range l.router.Routes() {
			row := fmt.Sprintf("%v from %v by %v: %s", r.Prefix, r.Neighbors, r.NextHops, r.Reason)
			got = append(got, strings.TrimSuffix(row, ": "))
		}
		slices.Sort(got)
	}
	if !slices.Equal(got, want) {
		t.Errorf("shown:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(l.router)
	err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP p4evpn_underlay_routes Underlay routes learned by BGP, by whether the kernel has them.
# TYPE p4evpn_underlay_routes gauge
p4evpn_underlay_routes{installed="no"} 2
p4evpn_underlay_routes{installed="yes"} 1
`), "p4evpn_underlay_routes")
	if err != nil {
		t.Error(err)
	}
}

func TestAPrefixThatIsTakenIsSaidOnce(t *testing.T) {
	l := newLab(t)
	must(t, l.handle.RouteAdd(&netlink.Route{Dst: rtnetlink.ToIPNet(leaf), Gw: net.IPv4(10, 1, 2, 9),
		Protocol: unix.RTPROT_STATIC, Priority: metric}))
	var log bytes.Buffer
	stop := l.start(func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	l.send(update(peer1, leaf, "10.1.1.2"))
	for n := range byte(3) { // each is looked at with all the others
		other := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, n}), 32)
		l.send(update(peer1, other, "10.1.1.2"))
		l.await(other.String() + " 10.1.1.2@up1")
		l.send(withdraw(peer1, other))
		l.await()
	}
	if rows := l.router.Routes(); len(rows) != 1 || !strings.Contains(rows[0].Reason, "another protocol") {
		t.Errorf("shown: %+v", rows)
	}
	stop()
	if n := strings.Count(log.String(), "not installed"); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, log.String())
	}
}
