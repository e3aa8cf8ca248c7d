package controller

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/packet"
)

// claimsText is a row's claims, a line each.
func claimsText(claims []view.Claim) string {
	var lines []string
	for _, c := range claims {
		var sources []string
		for _, s := range c.Sources {
			sources = append(sources, string(s))
		}
		where := c.Port
		if c.VTEP.IsValid() {
			where = c.VTEP.String()
		}
		lines = append(lines, fmt.Sprintf("%v %s at %s seq %d: %s, %s", c.MAC, strings.Join(sources, "+"), where, c.Sequence,
			c.State, c.Reason))
	}
	return strings.Join(lines, "\n")
}

// wantClaims wants what is shown of an address that one bridge alone has.
func (g *gateway) wantClaims(ip string, want ...string) {
	g.Helper()
	rows, err := g.c.Address(g.Context(), addr(ip))
	if err != nil || len(rows) != 1 {
		g.Fatalf("%s: %d rows, %v", ip, len(rows), err)
	}
	if got := claimsText(rows[0].Claims); got != strings.Join(want, "\n") {
		g.Errorf("claims of %s:\n%s\nwant\n%s", ip, got, strings.Join(want, "\n"))
	}
}

func TestOfEachKindOfEvidenceThereIsAName(t *testing.T) {
	named := evidence(0)
	for _, e := range evidences {
		named |= e.by
	}
	if every := byExpectation<<1 - 1; named != every {
		t.Errorf("names for %07b, want %07b", named, every)
	}
}

func TestAnAddressIsShownWithItsClaimsAndWhyOneIsActive(t *testing.T) {
	const ip = "10.10.0.9"
	const first, second = "02:00:00:00:00:01", "02:00:00:00:00:02"
	behind := func(vtep netip.Addr, sequence uint32, n int) bgp.Route {
		return with(hostRoute(vtep, 100, mac(n), ip, 0), sequence)
	}
	for _, c := range []struct {
		name   string
		given  bool // to a static MAC
		heard  []int
		routes []bgp.Route
		want   []string
	}{
		{"one host", false, []int{1}, nil, []string{first + " host at eth1 seq 0: active, nobody else claims it"}},
		{"one that spoke later", false, []int{1, 2}, nil, []string{
			second + " host at eth1 seq 1: active, it spoke for the address last",
			first + " host at eth1 seq 0: probed, " + second + " spoke for it later",
		}},
		{"a route", false, nil, []bgp.Route{behind(leaf1, 3, 1)}, []string{
			first + " route at 10.0.0.11 seq 3: active, nobody else says so",
		}},
		{"two routes", false, nil, []bgp.Route{behind(leaf1, 3, 1), behind(leaf2, 4, 2)}, []string{
			second + " route at 10.0.0.12 seq 4: active, it is the best of the routes: sequence number",
			first + " route at 10.0.0.11 seq 3: inactive, another route is better: sequence number",
		}},
		{"a route that is better than a host", false, []int{1}, []bgp.Route{behind(leaf1, 3, 2)}, []string{
			second + " route at 10.0.0.11 seq 3: active, it is better than a claim here: sequence number",
			first + " host at eth1 seq 0: probed, a route is better: sequence number",
		}},
		{"a host that is better than a route", false, []int{1}, []bgp.Route{behind(leaf1, 0, 2)}, []string{
			first + " host at eth1 seq 0: probed, it is better than the routes: lower VTEP",
			second + " route at 10.0.0.11 seq 0: inactive, a claim here is better: lower VTEP",
		}},
		{"a MAC that went elsewhere", false, []int{1}, []bgp.Route{with(macRoute(leaf1, 100, mac(1)), 3)}, []string{
			first + " host at 10.0.0.11 seq 3: inactive, its MAC is behind VTEP 10.0.0.11",
		}},
		{"given to a MAC", true, []int{1}, []bgp.Route{behind(leaf1, 3, 2)}, []string{
			"02:00:00:00:00:07 static at eth1 seq 0: active, the address was given to the MAC",
			first + " host at eth1 seq 0: inactive, the address was given to 02:00:00:00:00:07",
			second + " route at 10.0.0.11 seq 3: inactive, the address was given to 02:00:00:00:00:07",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, b := twoPorts(t, options{})
			if c.given {
				g.staticMAC("host7", "eth1", mac(7), ip)
			}
			for _, n := range c.heard {
				g.hears(b, 1, mac(n), ip)
			}
			for _, r := range c.routes {
				g.send(update(peer1, r))
			}
			g.settle()
			g.wantClaims(ip, c.want...)
		})
	}
}

// A claim is shown as probed while its host is asked, and no longer.
func TestAClaimIsProbedUntilItsHostAnswers(t *testing.T) {
	const ip = "10.10.0.9"
	g, b := twoPorts(t, options{})
	g.hears(b, 1, mac(1), ip)
	g.send(update(peer1, hostRoute(leaf1, 100, mac(2), ip, 0)))
	g.settle()
	route := "02:00:00:00:00:02 route at 10.0.0.11 seq 0: inactive, a claim here is better: lower VTEP"
	const reason = "it is better than the routes: lower VTEP"
	g.wantClaims(ip, "02:00:00:00:00:01 host at eth1 seq 0: probed, "+reason, route)
	g.hears(b, 1, mac(1), ip)
	g.wantClaims(ip, "02:00:00:00:00:01 host at eth1 seq 0: active, "+reason, route)
}

func TestAnAddressThatIsHeldIsShownAsDuplicateUntilItIsCleared(t *testing.T) {
	const ip = "10.10.0.9"
	cfg := testConfig()
	cfg.Duplicates.Moves = 2
	g, b := twoPorts(t, options{cfg: cfg})
	for _, n := range []int{1, 2, 1} {
		g.hears(b, 1, mac(n), ip)
	}
	g.wantAnswer(b, ip, "nobody")
	rows, err := g.c.Address(t.Context(), addr(ip))
	if err != nil || len(rows) != 1 || len(rows[0].Claims) != 2 {
		t.Fatalf("%+v, %v", rows, err)
	}
	for _, c := range rows[0].Claims {
		holds := strings.HasPrefix(c.Reason, "it holds the address")
		if c.State != view.ClaimDuplicate || holds != (c.MAC == mac(2)) {
			t.Errorf("%+v", c)
		}
	}
	for _, which := range []view.Duplicate{{MAC: mac(2)}, {Address: addr("10.10.0.8")}} {
		if n, err := g.c.ClearDuplicates(t.Context(), "bridge-10", which); n != 0 || err != nil {
			t.Errorf("%+v: %d cleared, %v", which, n, err)
		}
	}
	if n, err := g.c.ClearDuplicates(t.Context(), "bridge-10", view.Duplicate{}); n != 1 || err != nil {
		t.Errorf("%d cleared, %v", n, err)
	}
	g.settle()
	g.hears(b, 1, mac(1), ip)
	g.wantAnswer(b, ip, mac(1).String())
}

func TestAMACIsShownInEveryBridgeWithItsClaimsAndAddresses(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.hears(b, 1, mac(1), "10.10.0.9")
	g.hears(b, 1, mac(1), "10.10.0.8")
	g.send(update(peer1, macRoute(leaf1, 100, mac(1))), update(peer1, hostRoute(leaf1, 100, mac(1), "10.10.0.7", 0)))
	g.settle()
	g.now.advance(90 * time.Second)
	rows, err := g.c.MAC(t.Context(), mac(1))
	if err != nil || len(rows) != 1 {
		t.Fatalf("%+v, %v", rows, err)
	}
	got := rows[0]
	slices.SortFunc(got.Addresses, netip.Addr.Compare)
	if want := []netip.Addr{addr("10.10.0.7"), addr("10.10.0.8"), addr("10.10.0.9")}; !slices.Equal(got.Addresses, want) {
		t.Errorf("addresses %v, want %v", got.Addresses, want)
	}
	want := strings.Join([]string{
		"02:00:00:00:00:01 host at eth1 seq 0: active, it is better than the routes: lower VTEP",
		"02:00:00:00:00:01 route at 10.0.0.11 seq 0: inactive, another location of the MAC is better: lower VTEP",
		"02:00:00:00:00:01 route at 10.0.0.11 seq 0: inactive, another location of the MAC is better: lower VTEP",
	}, "\n")
	if text := claimsText(got.Claims); text != want || got.Claims[0].Age < 90*time.Second {
		t.Errorf("%v, claims\n%s\nwant\n%s", got.Claims[0].Age, text, want)
	}
	if rows, err := g.c.MAC(t.Context(), mac(9)); err != nil || len(rows) != 0 {
		t.Errorf("a MAC that nobody has: %+v, %v", rows, err)
	}
	g.learn(b, 2, mac(1)) // moves, until it is held
	for range 9 {
		g.learn(b, 1, mac(1))
		g.learn(b, 2, mac(1))
	}
	g.settle()
	rows, err = g.c.MAC(t.Context(), mac(1))
	if err != nil || len(rows) != 1 || !strings.HasPrefix(rows[0].Claims[0].Reason, "it is held where it is") ||
		rows[0].Claims[1].State != view.ClaimDuplicate {
		t.Errorf("%+v, %v", rows, err)
	}
}

func TestTheFlagsOfAnAddressAreShown(t *testing.T) {
	g, b := twoPorts(t, options{})
	r := hostRoute(leaf1, 100, mac(1), "2001:db8::9", 0)
	r.ARPND = bgp.ARPND{Said: true, Flags: bgp.ARPNDRouter | bgp.ARPNDImmutable | 0x40}
	g.send(update(peer1, r))
	g.hears(b, 1, mac(5), "2001:db8::5") // by a solicitation, which says nothing
	for ip, want := range map[string]view.Claim{
		"2001:db8::9": {FlagsKnown: true, Router: true, Immutable: true},
		"2001:db8::5": {},
	} {
		rows, err := g.c.Address(t.Context(), addr(ip))
		if err != nil || len(rows) != 1 || len(rows[0].Claims) != 1 {
			t.Fatalf("%s: %+v, %v", ip, rows, err)
		}
		c := rows[0].Claims[0]
		if c.FlagsKnown != want.FlagsKnown || c.Router != want.Router || c.Override || c.Immutable != want.Immutable {
			t.Errorf("%s: %+v", ip, c)
		}
	}
	g.peek(func(l *loop) {
		l.heard(l.bridges[b], sighting{ip: addr("2001:db8::5"), mac: mac(5), port: 1, by: byHost,
			flags: packet.FlagsKnown | packet.FlagRouter | packet.FlagOverride})
	})
	if rows, _ := g.c.Address(t.Context(), addr("2001:db8::5")); !rows[0].Claims[0].Router || !rows[0].Claims[0].Override {
		t.Errorf("%+v", rows)
	}
}

// What is shown as active is what forwarding goes by, whatever was said.
func TestTheActiveClaimIsWhereTheAddressIs(t *testing.T) {
	shown := 0
	for seed := range uint64(20) {
		f := newFabric(t, seed)
		for range 200 {
			f.step()
		}
		f.tell()
		f.finish()
		for _, b := range f.bridges {
			for ip := range b.addresses {
				at := b.locate(ip)
				var active []view.Claim
				for _, c := range f.hostClaims(b, ip) {
					if c.Reason == "" {
						t.Errorf("%v in %s: %+v has no reason", ip, b.ID, c)
					}
					shown++
					if c.State == view.ClaimActive {
						active = append(active, c)
					}
				}
				if !at.known() && len(active) > 0 || at.known() && (len(active) != 1 || active[0].MAC != at.mac) {
					t.Errorf("%v in %s is at %v, shown as %+v", ip, b.ID, at.mac, active)
				}
			}
		}
	}
	if shown < 100 {
		t.Errorf("%d claims shown", shown)
	}
}
