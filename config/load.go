package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/internal/file"
	"github.com/p4evpn/p4evpn/internal/socket"
)

// Defaults of keys that are left out.
const (
	DefaultAPI      = "unix:/run/p4evpn/api.sock"
	DefaultTarget   = "unix:/run/p4evpn/switch.sock"
	DefaultLiveness = "unix:/run/p4evpn/liveness.sock"
	DefaultStore    = "/var/lib/p4evpn/p4evpn.db"
	defaultDeviceID = 1
	// defaultAuditInterval is of the embedded switch.
	defaultAuditInterval = 10 * time.Minute

	leastAddressAge = 5 * time.Second

	defaultCarrierUp = 100 * time.Millisecond
	mostCarrierDelay = 5 * time.Minute

	leftOut = -1 * time.Hour // of what has a default that depends on other keys
)

// Load reads and checks the file at path.
func Load(path string) (*File, error) {
	b, err := file.Read(path, file.Small)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	f, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return f, nil
}

// Parse reads and checks a configuration. Unknown and repeated keys are errors.
func Parse(b []byte) (*File, error) {
	f := &File{
		Store: DefaultStore,
		Target: Target{Address: DefaultTarget, DeviceID: defaultDeviceID, ElectionID: 1, Embedded: true, Claim: "auto",
			AuditInterval: leftOut},
		API:       API{Listen: Addresses{DefaultAPI}},
		Telemetry: Telemetry{OTLP: OTLP{Protocol: OTLPoverGRPC, Sample: 1}},

		Check:        Check{CPUPercent: 1},
		VTEPRoutes:   VTEPRoutesNotDefault,
		CarrierDelay: CarrierDelay{Up: defaultCarrierUp},

		SlowPath: SlowPath{Namespaces: defaultNamespaces},
		BGP:      BGP{GracefulRestart: defaultGracefulRestart},
	}
	if err := decode(b, f); err != nil {
		return nil, err
	}
	if f.Target.AuditInterval == leftOut {
		f.Target.AuditInterval = 0
		if f.Target.Embedded {
			f.Target.AuditInterval = defaultAuditInterval
		}
	}
	if f.Liveness.Address == "" {
		f.Liveness.Address = besideTarget(f.Target.Address)
	}
	c := checker{file: f}
	c.check()
	if err := c.explain(b); err != nil {
		return nil, err
	}
	return f, nil
}

// besideTarget is where BFD runs with a target at an address.
func besideTarget(target string) string {
	if a, err := socket.Parse(target); err == nil && a.Unix() {
		a.Where = strings.TrimSuffix(a.Where, ".sock") + "-liveness.sock"
		return a.String()
	}
	return DefaultLiveness
}

// decode reads b into f. The library panics on some input that is no YAML
// (anchors and sequences half written): that is the writer's mistake too.
func decode(b []byte, f *File) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not YAML that can be read: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict(), yaml.DisallowUnknownField())
	// A document without content would clear the defaults.
	read := *f
	switch err := dec.Decode(&read); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		// The library's own text holds the line, the column and the lines around.
		return errors.New(yaml.FormatError(err, false, true))
	}
	*f = read
	return nil
}

// fault is a value that reads but will not do.
type fault struct{ path, msg string }

// locate finds the line of the fault's key, or of the nearest one above it that
// is there.
func (f fault) locate(doc *ast.File) error {
	for at := f.path; at != ""; at = parent(at) {
		p, err := yaml.PathString("$." + at)
		if err != nil {
			continue
		}
		if node, err := p.FilterFile(doc); err == nil && node != nil {
			return fmt.Errorf("line %d: %s: %s", node.GetToken().Position.Line, f.path, f.msg)
		}
	}
	return fmt.Errorf("%s: %s", f.path, f.msg)
}

func parent(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			return path[:i]
		}
	}
	return ""
}

type checker struct {
	file   *File
	faults []fault
}

func (c *checker) fail(path, format string, args ...any) {
	c.faults = append(c.faults, fault{path, fmt.Sprintf(format, args...)})
}

// explain gives all faults with their lines, nil if there is none.
func (c *checker) explain(b []byte) error {
	if len(c.faults) == 0 {
		return nil
	}
	doc, err := parser.ParseBytes(b, 0)
	if err != nil {
		doc = &ast.File{}
	}
	var all []error
	for _, fault := range c.faults {
		all = append(all, fault.locate(doc))
	}
	return errors.Join(all...)
}

func (c *checker) check() {
	f := c.file
	c.checkSpeaker()
	if len(f.VTEPs) == 0 {
		c.fail("vteps", "missing: give at least one VTEP address")
	}
	c.unique("vteps", f.VTEPs)
	for i, a := range f.VTEPs {
		if !a.Is4() || a.IsUnspecified() || a.IsMulticast() {
			c.fail(fmt.Sprintf("vteps[%d]", i), "%v: want an IPv4 unicast address", a)
		}
	}
	c.checkTarget()
	if !slices.Contains([]string{"auto", "tcx", "clsact", "nft"}, f.Target.Claim) {
		c.fail("target.claim", "%q: want auto, tcx, clsact or nft", f.Target.Claim)
	}
	if f.Target.AuditInterval < 0 || f.Target.AuditInterval > 0 && f.Target.AuditInterval < time.Second {
		c.fail("target.audit_interval", "%v: want 1s or more, or 0 for never", f.Target.AuditInterval)
	}
	if l := f.Learning; min(int(l.Ageing), l.MaxMACs, l.MaxPortMACs, l.MaxAddresses, l.MaxBridgeAddresses,
		l.MaxPortAddresses) < 0 {
		c.fail("learning", "negative values have no meaning")
	}
	if p := f.Check.CPUPercent; p != 0 && (p < 0.01 || p > 100 || p != p) {
		c.fail("check.cpu_percent", "%v: want 0.01 to 100, or 0 to look only when it is asked", p)
	}
	if f.Limits.VTEPs < 0 || f.Limits.Replicas < 0 || f.Limits.Routes < 0 {
		c.fail("limits", "negative values have no meaning: 0 is the default")
	}
	c.checkStorm("limits.storm", f.Limits.Storm)
	if age := f.Learning.AddressAge; age != 0 && age < leastAddressAge {
		c.fail("learning.address_age", "%v: want %v or more, since hosts are given 3s to answer", age, leastAddressAge)
	}
	for key, d := range map[string]time.Duration{"up": f.CarrierDelay.Up, "down": f.CarrierDelay.Down} {
		if d < 0 || d > mostCarrierDelay {
			c.fail("carrier_delay."+key, "%v: want 0s to %v", d, mostCarrierDelay)
		}
	}
	if a, err := socket.Parse(f.Liveness.Address); err != nil || !a.Unix() {
		c.fail("liveness.address", "%q: want unix:PATH", f.Liveness.Address)
	}
	c.checkDrops()
	c.checkAPI()
	c.checkWeb()
	c.checkTelemetry()
	c.checkOVN()
	c.checkBGP()
	c.checkPorts()
	c.checkRouting()
}

func (c *checker) checkTarget() {
	t := c.file.Target
	if t.ElectionID == 0 {
		c.fail("target.election_id", "0 is no election id: give 1 or more")
	}
	a, err := socket.Parse(t.Address)
	if err != nil {
		c.fail("target.address", "%v", err)
	}
	if t.TLS == (TargetTLS{}) {
		return
	}
	for _, f := range []struct{ key, file string }{{"certificate", t.TLS.Certificate}, {"key", t.TLS.Key},
		{"ca", t.TLS.CA}} {
		if f.file == "" {
			c.fail("target.tls."+f.key, "missing: TLS is mutual, and wants a certificate, its key and the target's authorities")
		}
	}
	switch {
	case a.Unix():
		c.fail("target.tls", "a Unix socket has no TLS: leave it out, or give a host:port as target.address")
	case t.Embedded:
		c.fail("target.tls", "the switch that p4evpn starts has none: start one with --grpc-server-ssl, and set "+
			"target.embedded to false")
	}
}

// checkSpeaker: the API gives our AS and router id where the file gives neither.
func (c *checker) checkSpeaker() {
	f := c.file
	if f.AS == 0 && !f.RouterID.IsValid() {
		return
	}
	if f.AS == 0 {
		c.fail("as", "missing: give our AS number, or leave out router_id too")
	}
	if !f.RouterID.Is4() || f.RouterID.IsUnspecified() {
		c.fail("router_id", "want an IPv4 address")
	}
}

func (c *checker) unique(path string, addrs []Addr) {
	seen := map[Addr]int{}
	for i, a := range addrs {
		if j, ok := seen[a]; ok {
			c.fail(fmt.Sprintf("%s[%d]", path, i), "%v is there already, as %s[%d]", a, path, j)
		}
		seen[a] = i
	}
}

func (c *checker) checkBGP() {
	if p := c.file.BGP.Port; p < -1 || p > 65535 {
		c.fail("bgp.port", "%d is no TCP port; -1 does not listen", p)
	}
	var addrs []Addr
	for i, n := range c.file.BGP.Neighbors {
		at := fmt.Sprintf("bgp.neighbors[%d]", i)
		if !n.Address.IsValid() {
			c.fail(at+".address", "missing")
		}
		if n.AS == 0 {
			c.fail(at+".as", "missing: give the neighbour's AS number")
		}
		c.checkSession(at, &n)
		c.checkFamilies(at, &n)
		addrs = append(addrs, n.Address)
	}
	c.unique("bgp.neighbors", addrs)
	c.checkUnderlay()
	c.checkRestart()
}

// check checks the interval; nil is off.
func (b *BFD) check() error {
	if b == nil || b.Interval == 0 {
		return nil
	}
	return bfd.CheckInterval(b.Interval)
}

func (c *checker) checkSession(at string, n *Neighbor) {
	for _, setting := range []struct {
		key string
		err error
	}{
		{"allow_own_as", bgp.CheckAllowOwnAS(uint32(n.AllowOwnAS))},
		{"ttl_security", bgp.CheckTTLSecurity(uint32(n.TTLSecurity), n.Multihop > 0)},
		{"shutdown_message", bgp.CheckShutdownMessage(n.ShutdownMessage)},
		{"bfd.interval", n.BFD.check()},
	} {
		if setting.err != nil {
			c.fail(at+"."+setting.key, "%v", setting.err)
		}
	}
}

func (c *checker) checkPorts() {
	names, numbers, interfaces := map[string]string{}, map[uint16]string{}, map[string]string{}
	name := func(at, name string) {
		if name == "" {
			c.fail(at+".name", "missing")
		} else if other, ok := names[name]; ok {
			c.fail(at+".name", "%q is taken by %s", name, other)
		}
		names[name] = at
	}
	port := func(at string, number uint16, iface string) {
		if number < 1 || number > maxPort {
			c.fail(at+".number", "%d: ports are 1 to %d", number, maxPort)
		} else if other, ok := numbers[number]; ok {
			c.fail(at+".number", "%d is taken by %s", number, other)
		}
		numbers[number] = at
		if iface == "" {
			if c.file.Target.Embedded {
				c.fail(at+".interface", "missing: the embedded switch needs one (or set target.embedded to false)")
			}
		} else if other, ok := interfaces[iface]; ok {
			c.fail(at+".interface", "%q is taken by %s", iface, other)
		}
		interfaces[iface] = at
	}
	for i, p := range c.file.Ports {
		at := fmt.Sprintf("ports[%d]", i)
		name(at, p.Name)
		port(at, p.Number, p.Interface)
		c.checkStatic(at, p)
		c.checkStorm(at+".storm", p.Storm)
		if p.SourceGuard && p.StackedTags {
			c.fail(at+".source_guard", "it does not look behind a second tag: leave out stacked_tags")
		}
	}
	devices := map[string]string{}
	for i, u := range c.file.Uplinks {
		at := fmt.Sprintf("uplinks[%d]", i)
		name(at, u.Name)
		port(at, u.Number, u.Interface)
		port(at+".host", u.Host.Number, u.Host.Interface)
		other, taken := devices[u.Host.Device]
		switch {
		case u.Host.Device == "":
			c.fail(at+".host.device", "missing: name the netdev that has the underlay's address")
		case taken:
			c.fail(at+".host.device", "%q is taken by %s", u.Host.Device, other)
		}
		devices[u.Host.Device] = at
	}
}

// maxStorm is a rate of frames that no link has.
const maxStorm = 1_000_000_000

func (c *checker) checkStorm(at string, s Storm) {
	for _, rate := range []struct {
		key   string
		value int
	}{{"broadcast", s.Broadcast}, {"multicast", s.Multicast}, {"unknown_unicast", s.UnknownUnicast}} {
		if rate.value < -1 || rate.value > maxStorm {
			c.fail(at+"."+rate.key, "%d: want frames a second, 0 for the default or -1 for any number", rate.value)
		}
	}
}

// maxPort is the last port that a configuration may name; BMv2's CPU and drop
// ports are above.
const maxPort = 509

func (c *checker) checkStatic(at string, p Port) {
	if p.MAC.IsMulticast() {
		c.fail(at+".mac", "%v is a group address", p.MAC)
	}
	if p.MaxMACs < 0 {
		c.fail(at+".max_macs", "%d: want 0 for learning.max_macs_per_port, or more", p.MaxMACs)
	}
	if p.MaxAddresses < 0 {
		c.fail(at+".max_addresses", "%d: want 0 for learning.max_addresses_per_port, or more", p.MaxAddresses)
	}
	for i, s := range p.Static {
		if s.MAC.IsZero() || s.MAC.IsMulticast() {
			c.fail(fmt.Sprintf("%s.static_macs[%d].mac", at, i), "%v is no station's address", s.MAC)
		}
		if s.VLAN > 4094 {
			c.fail(fmt.Sprintf("%s.static_macs[%d].vlan", at, i), "%d: want 1 to 4094, or 0 for an access port", s.VLAN)
		}
	}
}
