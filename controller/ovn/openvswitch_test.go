package ovn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/p4evpn/p4evpn/controller/intent"
)

const chassisRows = "init -- set Open_vSwitch . external_ids:system-id=hv1 -- add-br br-int -- " +
	"set bridge br-int datapath_type=netdev -- add-br br-phy -- add-port br-phy up0"

// attached starts a gateway with one logical switch.
func attached(t *testing.T, chassisMore string) (g *gateway, nb, vs *server) {
	t.Helper()
	nb, vs = serve(t, northboundSchema), serve(t, openVSwitchSchema)
	nb.nb("ls-add ls1")
	vs.vs(chassisRows)
	if chassisMore != "" {
		vs.vs(chassisMore)
	}
	store := intent.NewMemory()
	stretch(t, store, 10, "ls1")
	return start(t, store, nb, vs), nb, vs
}

// joined waits until the trunk is joined to OVN.
func (s *server) joined(mappings string) {
	s.Helper()
	s.await("the mapping is "+mappings, func() bool {
		return s.vs("--if-exists get Open_vSwitch . external_ids:ovn-bridge-mappings") == `"`+mappings+`"`
	})
	s.await("the trunk is on br-evpn, with all VLANs", func() bool {
		return strings.Contains(s.vs("--columns=name list bridge"), "br-evpn") && s.vs("list-ports br-evpn") == "trunk0" &&
			s.vs("get Port trunk0 trunks") == "[]"
	})
	for _, want := range [][2]string{
		{"get bridge br-evpn datapath_type", "netdev"}, {"get-fail-mode br-evpn", "standalone"},
		{"get interface br-evpn type", "internal"}, {"get bridge br-evpn external_ids:p4evpn-owner", "here"},
		{"list-ports br-phy", "up0"},
	} {
		if got := strings.Trim(s.vs(want[0]), `"`); got != want[1] {
			s.Errorf("ovs-vsctl %s: %q, want %q", want[0], got, want[1])
		}
	}
}

func TestTheTrunkIsJoinedToOVNBesideWhatOthersMapped(t *testing.T) {
	for before, after := range map[string]string{
		"": "evpn:br-evpn", "physnet1:br-phy": "physnet1:br-phy,evpn:br-evpn",
		"a:b,c:d": "a:b,c:d,evpn:br-evpn", "evpn:br-evpn,x:y": "evpn:br-evpn,x:y",
	} {
		more := ""
		if before != "" {
			more = `set Open_vSwitch . external_ids:ovn-bridge-mappings="` + before + `"`
		}
		_, nb, vs := attached(t, more)
		vs.joined(after)
		nb.has(10, "ls1")
	}
}

func TestWhateverIsDoneToTheTrunksBridgeItComesBack(t *testing.T) {
	_, _, vs := attached(t, "")
	vs.joined("evpn:br-evpn")
	for name, command := range map[string]string{
		"the bridge deleted":  "del-br br-evpn",
		"the trunk taken off": "del-port br-evpn trunk0",
		"few of its VLANs":    "set Port trunk0 trunks=7,8",
		"the mapping deleted": "remove Open_vSwitch . external_ids ovn-bridge-mappings",
	} {
		t.Run(name, func(t *testing.T) {
			vs.vs(command)
			vs.joined("evpn:br-evpn")
		})
	}
}

func TestWhatOthersHaveOfAChassisIsNotTouched(t *testing.T) {
	for name, c := range map[string]struct{ rows, says string }{
		"a bridge of that name":  {"add-br br-evpn", "br-evpn is not ours"},
		"another's bridge":       {"add-br br-evpn -- set bridge br-evpn external_ids:p4evpn-owner=there", `"there"`},
		"the network mapped":     {"set Open_vSwitch . external_ids:ovn-bridge-mappings=evpn:br-phy", "to bridge br-phy"},
		"the trunk is elsewhere": {"add-port br-phy trunk0", "another bridge"},
		"a chassis of no name":   {"remove Open_vSwitch . external_ids system-id", "system-id"},
	} {
		t.Run(name, func(t *testing.T) {
			nb, vs, store := serve(t, northboundSchema), serve(t, openVSwitchSchema), intent.NewMemory()
			nb.nb("ls-add ls1")
			vs.vs(chassisRows)
			vs.vs(c.rows)
			before := vs.run("ovsdb-client", "dump", vs.address())
			stretch(t, store, 10, "ls1")
			start(t, store, nb, vs).complains(c.says)
			if after := vs.run("ovsdb-client", "dump", vs.address()); after != before {
				t.Errorf("the database was\n%s\nand is\n%s", before, after)
			}
			nb.hasNot(10) // frames of OVN would go nowhere
		})
	}
}

// pki is a CA and what it signed, in files.
type pki struct {
	*testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	p := &pki{T: t, dir: t.TempDir()}
	p.cert, p.key = p.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign})
	return p
}

func (p *pki) issue(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	p.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := p.cert, p.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		p.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		p.Fatal(err)
	}
	p.write(name+".pem", "CERTIFICATE", der)
	p.write(name+".key", "EC PRIVATE KEY", private)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		p.Fatal(err)
	}
	return cert, key
}

func (p *pki) path(name string) string { return p.dir + "/" + name }

func (p *pki) write(name, kind string, der []byte) {
	p.Helper()
	if err := os.WriteFile(p.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		p.Fatal(err)
	}
}

// client is the TLS of one who trusts a CA and shows a certificate of p.
func (p *pki) client(trust *pki, name string) TLS {
	return TLS{Certificate: p.path(name + ".pem"), Key: p.path(name + ".key"), CA: trust.path("ca.pem")}
}

func TestTheNorthboundDatabaseIsReachedBySSLByThoseWhoMayAlone(t *testing.T) {
	ours, others := newPKI(t), newPKI(t)
	loopback := []net.IP{net.IPv4(127, 0, 0, 1)}
	ours.issue("server", &x509.Certificate{IPAddresses: loopback})
	ours.issue("plain", &x509.Certificate{}) // as ovs-pki makes them
	ours.issue("gateway", &x509.Certificate{})
	others.issue("gateway", &x509.Certificate{})
	for name, c := range map[string]struct {
		server string
		tls    TLS
		says   string // "" = it works
	}{
		"both trust each other":         {"server", ours.client(ours, "gateway"), ""},
		"the server is not trusted":     {"server", ours.client(others, "gateway"), "unknown authority"},
		"we are not trusted":            {"server", others.client(ours, "gateway"), "OVN's northbound database"},
		"the server names no address":   {"plain", ours.client(ours, "gateway"), "subjectAltName"},
		"there is no such key":          {"server", ours.client(ours, "none"), "none.key"},
		"nobody speaks TLS at the port": {"", ours.client(ours, "gateway"), "OVN's northbound database"},
	} {
		t.Run(name, func(t *testing.T) {
			port := freePort(t)
			remote := "--remote=pssl:" + port + ":127.0.0.1"
			args := []string{remote, "--private-key=" + ours.path(c.server+".key"),
				"--certificate=" + ours.path(c.server+".pem"), "--ca-cert=" + ours.path("ca.pem")}
			if c.server == "" {
				args = []string{"--remote=ptcp:" + port + ":127.0.0.1"}
			}
			nb, store := serve(t, northboundSchema, args...), intent.NewMemory()
			nb.nb("ls-add ls1")
			stretch(t, store, 10, "ls1")
			g := start(t, store, nb, nil, func(cfg *Config) {
				cfg.Northbound, cfg.TLS = []string{"ssl:127.0.0.1:" + port}, c.tls
			})
			if c.says == "" {
				nb.has(10, "ls1")
				return
			}
			g.complains(c.says)
			nb.hasNot(10)
		})
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// A server that says nothing, that is of another schema, that refuses to write.
func TestABadNorthboundDatabaseIsSaidToBeOneAndTriedAgain(t *testing.T) {
	store := intent.NewMemory()
	stretch(t, store, 10, "ls1")
	t.Run("silent", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		nb := serve(t, northboundSchema)
		g := start(t, store, nb, nil, func(cfg *Config) {
			cfg.Northbound, cfg.Patience = []string{"tcp:" + l.Addr().String()}, 100*time.Millisecond
		})
		g.complains("OVN's northbound database", "context deadline exceeded")
	})
	t.Run("another database", func(t *testing.T) {
		g := start(t, store, serve(t, openVSwitchSchema), nil)
		g.complains("OVN_Northbound")
	})
	t.Run("of an older schema", func(t *testing.T) {
		text, err := os.ReadFile(northboundSchema)
		if err != nil {
			t.Skipf("SKIP: OVN is not installed: %v", err)
		}
		older := t.TempDir() + "/older.ovsschema"
		if err := os.WriteFile(older, []byte(strings.Replace(string(text), `"tag_request"`, `"tag_wish"`, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		start(t, store, serve(t, older), nil).complains("tag_request")
	})
	t.Run("read-only", func(t *testing.T) {
		nb := serve(t, northboundSchema)
		nb.nb("ls-add ls1")
		control := func(command ...string) {
			nb.run("ovs-appctl", append([]string{"--timeout=10", "-t", nb.path("ctl")}, command...)...)
		}
		control("ovsdb-server/set-active-ovsdb-server", "tcp:127.0.0.1:1") // a backup takes no writes
		control("ovsdb-server/connect-active-ovsdb-server")
		g := start(t, store, nb, nil)
		await(t, "a problem is counted", func() bool { return testutil.ToFloat64(g.stats.problems) == 1 })
		nb.hasNot(10)
		control("ovsdb-server/disconnect-active-ovsdb-server")
		nb.has(10, "ls1")
	})
}
