package config

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const minimal = `as: 65000
router_id: 10.0.0.1
vteps: [10.0.0.1]
`

func TestTheExampleInTheRepositoryIsValid(t *testing.T) {
	b, err := os.ReadFile("../p4evpn.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Ports) == 0 || len(f.Uplinks) == 0 || len(f.BGP.Neighbors) == 0 || f.Learning.Ageing == 0 {
		t.Errorf("the example leaves out what it should show: %+v", f)
	}
}

func TestWhatIsLeftOutHasItsDefault(t *testing.T) {
	f, err := Parse([]byte(minimal + "learning: {ageing: 90s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.API.Listen, Addresses{DefaultAPI}) || f.Target.Address != DefaultTarget ||
		f.Target.DeviceID != defaultDeviceID ||
		f.Store != DefaultStore || !f.Target.Embedded || f.Learning.Ageing != 90*time.Second ||
		f.Target.AuditInterval != defaultAuditInterval || f.Liveness.Address != "unix:/run/p4evpn/switch-liveness.sock" {
		t.Errorf("defaults: %+v", f)
	}
	f, err = Parse([]byte(minimal + "target: {address: 127.0.0.1:9559}\n"))
	if err != nil || f.Liveness.Address != DefaultLiveness {
		t.Errorf("beside a target over TCP BFD is at %s (%v)", f.Liveness.Address, err)
	}
	if f, err = Parse([]byte(minimal + "target: {embedded: false}\n")); err != nil || f.Target.AuditInterval != 0 {
		t.Errorf("a target that is not the embedded switch is audited every %v (%v)", f.Target.AuditInterval, err)
	}
}

func TestGracefulRestartIsOnAndItsKeysStandAlone(t *testing.T) {
	want := defaultGracefulRestart
	for in, change := range map[string]func(){
		"": func() {},
		"bgp: {graceful_restart: {restart_time: 90s}}\n": func() { want.RestartTime = 90 * time.Second },
		"bgp: {graceful_restart: {enabled: false}}\n":    func() { want.Enabled = false },
		// The most that RFC 9494 section 4.2 has room for: 24 bits of seconds.
		"bgp: {graceful_restart: {long_lived_time: 16777215s}}\n": func() { want.LongLivedTime = 16777215 * time.Second },
		"bgp: {port: 1790}\n": func() {},
	} {
		want = defaultGracefulRestart
		change()
		if f, err := Parse([]byte(minimal + in)); err != nil || f.BGP.GracefulRestart != want {
			t.Errorf("%q gives %+v (%v), want %+v", in, f, err, want)
		}
	}
}

// twoUplinks is a file's port and uplinks, with what the second uplink is.
func twoUplinks(second string) string {
	return "ports: [{name: p, number: 9, interface: p}]\nuplinks: [{name: a, number: 1, interface: a, host: {number: 2, " +
		"interface: b, device: d}}, {" + second + "}]\n"
}

func TestErrorsNameTheLineAndTheKey(t *testing.T) {
	for name, tc := range map[string]struct{ in, want, line string }{
		"unknown key":              {minimal + "colour: red\n", `"colour"`, "[4:1]"},
		"unknown nested key":       {minimal + "api:\n  listn: x\n", `"listn"`, "[5:3]"},
		"repeated key":             {minimal + "as: 2\n", "as", "[4:"},
		"not YAML":                 {"as: [1\n", "", "1"},
		"wrong type":               {"as: many\n", "", "[1:"},
		"bad address":              {"as: 1\nrouter_id: 10.0.0\n", "10.0.0", "[2:"},
		"duplicate VTEP":           {"as: 1\nrouter_id: 10.0.0.1\nvteps:\n- 10.0.0.1\n- 10.0.0.1\n", "vteps[1]", "line 5:"},
		"no AS":                    {"router_id: 10.0.0.1\nvteps: [10.0.0.1]\n", "as: missing", ""},
		"IPv6 VTEP":                {"as: 1\nrouter_id: 10.0.0.1\nvteps: [\"2001:db8::1\"]\n", "IPv4", "line 3:"},
		"port number":              {minimal + "ports:\n- name: a\n  number: 510\n  interface: x\n", "ports[0].number", "line 6:"},
		"port number twice":        {minimal + "ports:\n- {name: a, number: 1, interface: x}\n- {name: b, number: 1, interface: y}\n", "taken by ports[0]", "line 6:"},
		"port name twice":          {minimal + "ports:\n- {name: a, number: 1, interface: x}\n- {name: a, number: 2, interface: y}\n", `"a" is taken`, "line 6:"},
		"interface twice":          {minimal + "ports:\n- {name: a, number: 1, interface: x}\n- {name: b, number: 2, interface: x}\n", `"x" is taken`, "line 6:"},
		"interface missing":        {minimal + "ports:\n- {name: a, number: 1}\n", "ports[0].interface", "line 5:"},
		"group MAC":                {minimal + "ports:\n- {name: a, number: 1, interface: x, mac: \"01:00:00:00:00:01\"}\n", "group address", "line 5:"},
		"bad MAC":                  {minimal + "ports:\n- {name: a, number: 1, interface: x, mac: \"zz\"}\n", "zz", "[5:"},
		"neighbour without AS":     {minimal + "bgp:\n  neighbors:\n  - address: 10.1.0.1\n", "bgp.neighbors[0].as", "line 6:"},
		"neighbour twice":          {minimal + "bgp:\n  neighbors:\n  - {address: 10.1.0.1, as: 1}\n  - {address: 10.1.0.1, as: 2}\n", "bgp.neighbors[1]", "line 7:"},
		"audit interval":           {minimal + "target:\n  audit_interval: -5s\n", "target.audit_interval: -5s", "line 5:"},
		"short address age":        {minimal + "learning:\n  address_age: 4s\n", "learning.address_age: 4s: want 5s or more", "line 5:"},
		"restart time":             {minimal + "bgp:\n  graceful_restart:\n    restart_time: 2h\n", "bgp.graceful_restart.restart_time: 2h", "line 6:"},
		"long-lived time":          {minimal + "bgp:\n  graceful_restart:\n    long_lived_time: 4661h\n", "bgp.graceful_restart.long_lived_time: 4661h", "line 6:"},
		"long-lived alone":         {minimal + "bgp:\n  graceful_restart: {enabled: false, long_lived_time: 1h}\n", "bgp.graceful_restart.long_lived_time: 1h0m0s: want graceful restart", "line 5:"},
		"late deferral":            {minimal + "bgp:\n  graceful_restart:\n    deferral: 3m\n", "bgp.graceful_restart.deferral: 3m", "line 6:"},
		"unknown family":           {minimal + "bgp:\n  neighbors:\n  - {address: 10.1.0.1, as: 1, families: [evpn, vpnv4]}\n", "vpnv4", "[6:"},
		"family twice":             {minimal + "bgp:\n  neighbors:\n  - {address: 10.1.0.1, as: 1, families: [ipv4, ipv4]}\n", "bgp.neighbors[0].families[1]", "line 6:"},
		"own AS too often":         {minimal + "bgp:\n  neighbors:\n  - {address: 10.1.0.1, as: 1, allow_own_as: 11}\n", "bgp.neighbors[0].allow_own_as: 11: want 0 to 10", "line 6:"},
		"BFD too often":            {minimal + "bgp:\n  neighbors:\n  - {address: 10.1.0.1, as: 1, bfd: {interval: 1ms}}\n", "bgp.neighbors[0].bfd.interval: 1ms: want whole milliseconds", "line 6:"},
		"next hop without address": {minimal + "underlay: {next_hops: [{bfd: {}}]}\n", "underlay.next_hops[0].address: missing", "line 4:"},
		"next hop of all":          {minimal + "underlay: {next_hops: [{address: 224.0.0.1}]}\n", "underlay.next_hops[0].address", "line 4:"},
		"next hop link-local":      {minimal + "underlay: {next_hops: [{address: \"fe80::1\"}]}\n", "underlay.next_hops[0].address", "line 4:"},
		"next hop twice":           {minimal + "underlay: {next_hops: [{address: 10.1.0.1}, {address: 10.1.0.1}]}\n", "underlay.next_hops[1]", "line 4:"},
		"next hop far away":        {minimal + "underlay: {next_hops: [{address: 10.1.0.1, bfd: {hops: 2}}]}\n", "underlay.next_hops[0].bfd.hops", "line 4:"},
		"next hop too often":       {minimal + "underlay: {next_hops: [{address: 10.1.0.1, bfd: {interval: 1ms}}]}\n", "underlay.next_hops[0].bfd.interval", "line 4:"},
		"too many next hops":       {minimal + "underlay: {next_hops: [" + strings.Repeat("{address: 10.1.0.1}, ", 513) + "]}\n", "underlay.next_hops: 513: want at most 512", "line 4:"},
		"BFD too far":              {minimal + "bgp:\n  neighbors:\n  - {address: 10.1.0.1, as: 1, bfd: {hops: 256}}\n", "256", "[6:"},
		"BFD of no socket":         {minimal + "liveness: {address: 127.0.0.1:1}\n", "liveness.address: \"127.0.0.1:1\": want unix:PATH", "line 4:"},
		"too many hops":            {minimal + "bgp:\n  neighbors:\n  - {address: 10.1.0.1, as: 1, ttl_security: 255}\n", "bgp.neighbors[0].ttl_security", "line 6:"},
		"hops twice":               {minimal + "bgp:\n  neighbors:\n  - {address: 10.1.0.1, as: 1, ttl_security: 2, multihop: 2}\n", "multihop is set too", "line 6:"},
		"long farewell":            {minimal + "bgp:\n  neighbors:\n  - {address: 10.1.0.1, as: 1, shutdown_message: " + strings.Repeat("x", 256) + "}\n", "bgp.neighbors[0].shutdown_message: 256 bytes", "line 6:"},
		"ipv6 over IPv4":           {minimal + "bgp:\n  neighbors:\n  - {address: 10.1.0.1, as: 1, families: [ipv6]}\n", "over that IP version", "line 6:"},
		"prefix to nobody":         {minimal + "bgp:\n  underlay: {advertise: [10.0.0.1/32]}\n", "bgp.underlay.advertise", "line 5:"},
		"prefix with host bits": {minimal + "bgp:\n  neighbors:\n  - {address: 10.1.0.1, as: 1, families: [ipv4]}\n  underlay:\n    advertise: [10.0.0.1/24]\n",
			"want 10.0.0.0/24", "line 8:"},
		"prefix that is none":    {minimal + "bgp:\n  underlay: {advertise: [10.0.0.1]}\n", "10.0.0.1", "[5:"},
		"group prefix":           {minimal + "bgp:\n  underlay: {advertise: [224.0.0.0/4]}\n", "unicast", "line 5:"},
		"bad route target":       {minimal + "bridges:\n  blue: {import_route_targets: [\"x\"]}\n", "x", "[5:"},
		"group router MAC":       {minimal + "router_mac: \"01:00:00:00:00:01\"\n", "group address", "line 4:"},
		"unknown gateway":        {minimal + "svis:\n  blue: {gateway: shared}\n", "want anycast, unique or centralised", "line 5:"},
		"static with host bits":  {minimal + "vrfs:\n  blue:\n    statics:\n    - {prefix: 10.0.0.1/8, next_hop: 10.0.0.1}\n", "want 10.0.0.0/8", "line 7:"},
		"static twice":           {minimal + "vrfs:\n  blue:\n    statics:\n    - {prefix: 10.0.0.0/8, next_hop: 10.0.0.1}\n    - {prefix: 10.0.0.0/8, next_hop: 10.0.0.2}\n", "vrfs.blue.statics[0]", "line 8:"},
		"static without a hop":   {minimal + "vrfs:\n  blue:\n    statics:\n    - {prefix: 10.0.0.0/8}\n", "next_hop", "line 7:"},
		"static of two families": {minimal + "vrfs:\n  blue:\n    statics:\n    - {prefix: 10.0.0.0/8, next_hop: \"2001:db8::1\"}\n", "family", "line 7:"},
		"static to a group":      {minimal + "vrfs:\n  blue:\n    statics:\n    - {prefix: 224.0.0.0/4, next_hop: 10.0.0.1}\n", "no packets", "line 7:"},
		"no namespaces":          {minimal + "slow_path: {namespaces: \"\"}\n", "slow_path.namespaces", "line 4:"},
		"OVN without a database": {minimal + "ovn: {chassis: hv1}\n", "ovn.nb", "line 4:"},
		"OVN without a chassis":  {minimal + "ovn: {nb: [\"tcp:10.0.0.9:6641\"]}\n", "ovn.chassis", "line 4:"},
		"OVN without an end":     {minimal + "ovn: {nb: [\"tcp:10.0.0.9:6641\"], ovs: \"unix:/x\"}\n", "ovn.interface", "line 4:"},
		"OVN at no port":         {minimal + "ovn: {nb: [\"tcp:a:1\"], chassis: hv1, port: eth99}\n", "ovn.port", "line 4:"},
		"OVN on no host":         {minimal + "ovn: {nb: [\"tcp::6641\"], chassis: hv1}\n", "ovn.nb[0]", "line 4:"},
		"OVN at an open bracket": {minimal + "ovn: {nb: [\"tcp:[::1:6641\"], chassis: hv1}\n", "ovn.nb[0]", "line 4:"},
		"OVN in no mode":         {minimal + "ovn: {nb: [\"tcp:a:1\"], chassis: hv1, mode: both}\n", "ovn.mode", "line 4:"},
		"tunnels from nowhere":   {minimal + "ovn: {nb: [\"tcp:a:1\"], chassis: hv1, mode: tunnels}\n", "ovn.ovs", "line 4:"},
		"tunnels at a trunk":     {minimal + "ovn: {nb: [\"tcp:a:1\"], ovs: \"unix:/x\", mode: tunnels, interface: ovn1}\n", "ovn.interface", "line 4:"},
		"OVN shared by nobody":   {minimal + "ovn: {nb: [\"tcp:a:1\"], chassis: hv1, shared: true}\n", "ovn.owner", "line 4:"},
		"shared tunnels":         {minimal + "ovn: {nb: [\"tcp:a:1\"], ovs: \"unix:/x\", mode: tunnels, owner: a, shared: true}\n", "ovn.shared", "line 4:"},
		"OVN by no way":          {minimal + "ovn: {nb: [\"tcp:a:1\"], chassis: hv1, remote: all}\n", "ovn.remote", "line 4:"},
		"OVN by no scheme":       {minimal + "ovn: {nb: [\"10.0.0.9:6641\"], chassis: hv1}\n", "ovn.nb[0]", "line 4:"},
		"OVN's own network":      {minimal + "ovn: {nb: [\"tcp:a:1\"], chassis: hv1, network: provnet-1}\n", "provnet", "line 4:"},
		"OVN without TLS":        {minimal + "ovn: {nb: [\"ssl:a:1\"], chassis: hv1}\n", "ovn.tls.ca", "line 4:"},
		"half of OVN's TLS":      {minimal + "ovn: {nb: [\"tcp:a:1\"], chassis: hv1, tls: {ca: a}}\n", "ovn.tls.key", "line 4:"},
		"half of TLS":            {minimal + "api:\n  tls: {certificate: a, key: b}\n", "api.tls.client_ca", "line 5:"},
		"TLS without roles":      {minimal + "api:\n  tls: {certificate: a, key: b, client_ca: c}\n", "nobody may", "line 5:"},
		"roles without TLS":      {minimal + "api:\n  roles: {CN=a: viewer}\n", "set api.tls", "line 5:"},
		"unknown role":           {minimal + "api:\n  roles: {\"CN=a,O=b\": admin}\n", "want viewer or operator", "line 5:"},
		"role of nobody":         {minimal + "api:\n  roles: {\"\": viewer}\n", "empty subject", "line 5:"},
		"routes of no kind":      {minimal + "vtep_routes: some\n", "vtep_routes", "line 4:"},
		"carrier before it is":   {minimal + "carrier_delay: {up: -1s}\n", "carrier_delay.up", "line 4:"},
		"carrier after an hour":  {minimal + "carrier_delay: {down: 1h}\n", "carrier_delay.down", "line 4:"},
		"two uplinks, a device":  {minimal + twoUplinks("name: c, number: 3, interface: c, host: {number: 4, interface: e, device: d}"), "uplinks[1].host.device", "line 5:"},
		"two uplinks, a name":    {minimal + twoUplinks("name: a, number: 3, interface: c, host: {number: 4, interface: e, device: f}"), "uplinks[1].name", "line 5:"},
		"an uplink and a port":   {minimal + twoUplinks("name: p, number: 3, interface: c, host: {number: 4, interface: e, device: f}"), "uplinks[1].name", "line 5:"},
		"two uplinks, a number":  {minimal + twoUplinks("name: c, number: 1, interface: c, host: {number: 4, interface: e, device: f}"), "uplinks[1].number", "line 5:"},
		"two uplinks, a netdev":  {minimal + twoUplinks("name: c, number: 3, interface: a, host: {number: 4, interface: e, device: f}"), "uplinks[1].interface", "line 5:"},
		"two hosts, a number":    {minimal + twoUplinks("name: c, number: 3, interface: c, host: {number: 2, interface: e, device: f}"), "uplinks[1].host.number", "line 5:"},
		"two hosts, a netdev":    {minimal + twoUplinks("name: c, number: 3, interface: c, host: {number: 4, interface: b, device: f}"), "uplinks[1].host.interface", "line 5:"},
		"an uplink twice":        {minimal + twoUplinks("name: a, number: 1, interface: a, host: {number: 2, interface: b, device: d}"), "uplinks[1].host.device", "line 5:"},
		"fewer than no VTEPs":    {minimal + "limits: {vteps: -1}\n", "limits", "line 4:"},
		"fewer addresses":        {minimal + "learning: {max_addresses_per_port: -1}\n", "learning", "line 4:"},
		"fewer than no MACs":     {minimal + "learning: {max_macs_per_port: -1}\n", "learning", "line 4:"},
		"too many samples":       {minimal + "drops: {sample: 101}\n", "drops.sample", "line 4:"},
		"fewer than no drops":    {minimal + "drops: {report_above: -2}\n", "drops.report_above", "line 4:"},
		"no such protocol":       {minimal + "telemetry:\n  otlp: {protocol: udp}\n", "telemetry.otlp.protocol", "line 5:"},
		"more than every call":   {minimal + "telemetry:\n  otlp: {sample: 2}\n", "telemetry.otlp.sample", "line 5:"},
		"a sample that is none":  {minimal + "telemetry:\n  otlp: {sample: .nan}\n", "telemetry.otlp.sample", "line 5:"},
		"a collector of no port": {minimal + "telemetry:\n  otlp: {endpoint: a}\n", "telemetry.otlp.endpoint", "line 5:"},
		"a CA without TLS": {minimal + "telemetry:\n  otlp: {insecure: true, ca: /a}\n", "telemetry.otlp.ca",
			"line 5:"},
		"negative limit":         {minimal + "api:\n  limits: {burst: -1}\n", "api.limits", "line 5:"},
		"limit that is none":     {minimal + "api:\n  limits: {calls_per_second: .nan}\n", "api.limits", "line 5:"},
		"no name to call it by":  {minimal + "api:\n  hosts: [\"gw:1\"]\n", "api.hosts", "line 5:"},
		"TCP without TLS":        {minimal + "api:\n  listen: 127.0.0.1:1\n", "api.insecure: true", "line 5:"},
		"insecure for others":    {minimal + "api:\n  insecure: true\n  listen: [unix:/a, 0.0.0.0:1]\n", "no loopback", "line 6:"},
		"insecure without host":  {minimal + "api:\n  insecure: true\n  vtep_listen: :8080\n", "api.vtep_listen", "line 6:"},
		"no address at all":      {minimal + "api:\n  listen: []\n", "api.listen", "line 5:"},
		"an address of two":      {minimal + "api:\n  listen: {a: b}\n", "or a list of them", "[5:"},
		"a number for address":   {minimal + "api:\n  listen: [1]\n", "or a list of them", "[5:"},
		"REST without TLS":       {minimal + "api:\n  rest_listen: 10.0.0.1:1\n", "api.rest_listen", "line 5:"},
		"user without name":      {minimal + "api:\n  roles: {\"user:\": viewer}\n", "a name or number", "line 5:"},
		"roles of users alone":   {minimal + "api:\n  tls: {certificate: a, key: b, client_ca: c}\n  roles: {\"user:a\": viewer}\n", "by TLS", "line 6:"},
		"subject with blanks":    {minimal + "api:\n  tls: {certificate: a, key: b, client_ca: c}\n  roles: {\"CN=a, O=b\": viewer}\n", "RFC2253", "line 6:"},
		"subject by OpenSSL":     {minimal + "api:\n  tls: {certificate: a, key: b, client_ca: c}\n  roles: {\"/CN=a/O=b,c\": viewer}\n", "RFC2253", "line 6:"},
		"subject with two roles": {minimal + "api:\n  tls: {certificate: a, key: b, client_ca: c}\n  roles: {CN=a: viewer, CN=a: operator}\n", "CN=a", "6"},
		"a page for others":      {minimal + "web:\n  listen: [unix:/a, 0.0.0.0:1]\n", "api.tls", "line 5:"},
		"a page nowhere":         {minimal + "web: {listen: here}\n", "web.listen", "line 4:"},
		"no address of the API":  {minimal + "api: {listen: \"\"}\n", "api.listen", "line 4:"},
		"target that is nowhere": {minimal + "target: {address: x}\n", "target.address", "line 4:"},
		"half of target's TLS":   {minimal + "target:\n  address: a:1\n  embedded: false\n  tls: {ca: a, key: b}\n", "target.tls.certificate", "line 7:"},
		"TLS by a socket":        {minimal + "target:\n  tls: {ca: a, key: b, certificate: c}\n", "no TLS", "line 5:"},
		"TLS of our switch":      {minimal + "target:\n  address: a:1\n  tls: {ca: a, key: b, certificate: c}\n", "target.embedded", "line 6:"},
		"election id":            {minimal + "target: {election_id: 0}\n", "target.election_id", "line 4:"},
		"static by broadcast": {minimal + "vrfs:\n  blue:\n    statics:\n" +
			"    - {prefix: 10.0.0.0/8, next_hop: 255.255.255.255}\n", "want a host's address", "line 7:"},
		"static by mapped IPv4": {minimal + "vrfs:\n  blue:\n    statics:\n" +
			"    - {prefix: \"2001:db8::/32\", next_hop: \"::ffff:10.0.0.1\"}\n", "want a host's address", "line 7:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tc.in))
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.line) {
				t.Errorf("got %q; want it to hold %q and %q", err, tc.want, tc.line)
			}
		})
	}
}

func TestAllFaultsAreReportedAtOnce(t *testing.T) {
	_, err := Parse([]byte("ports:\n- {name: a, number: 0}\n"))
	for _, want := range []string{"vteps:", "ports[0].number", "ports[0].interface"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want it to hold %q", err, want)
		}
	}
}

func FuzzParseNeverPanics(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("ports: [{static_macs: [{}]}]"))
	f.Add([]byte("- \xff"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = Parse(b) })
}
