package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/controller/intent"
)

// up says that everything is up.
type up struct{}

func (up) Status(_ context.Context, refs ...intent.Ref) []intent.Status {
	out := make([]intent.Status, len(refs))
	for i := range out {
		out[i].Oper = intent.StatusUp
	}
	return out
}

func (up) Leaving(context.Context, intent.Kind) []intent.Leaving { return nil }

// session is a gateway and commands given to it.
type session struct {
	t       *testing.T
	address string
	store   *intent.Store
}

func newSession(t *testing.T, configured ...intent.Object) *session {
	s := &session{t: t, store: intent.NewMemory(configured...)}
	s.address = serveStore(t, api.Config{Store: s.store, Status: up{}, View: shown})
	return s
}

func (s *session) run(line string) (string, error) {
	s.t.Helper()
	return command(s.t, append(strings.Fields(line), "--api", s.address)...)
}

// does runs a command that must work and say things.
func (s *session) does(line string, want ...string) string {
	s.t.Helper()
	out, err := s.run(line)
	if err != nil {
		s.t.Fatalf("p4evpn %s: %v", line, err)
	}
	s.says(line, out, want...)
	return out
}

// fails runs a command that must not work, say why, and change nothing.
func (s *session) fails(line string, want ...string) {
	s.t.Helper()
	before := s.all()
	out, err := s.run(line)
	if err == nil {
		s.t.Errorf("p4evpn %s: worked: %s", line, out)
		return
	}
	s.says(line, err.Error(), want...)
	if after := s.all(); after != before {
		s.t.Errorf("p4evpn %s: failed and changed\n%s\nto\n%s", line, before, after)
	}
}

func (s *session) says(line, out string, want ...string) {
	s.t.Helper()
	for _, w := range want {
		if !strings.Contains(out, w) {
			s.t.Errorf("p4evpn %s says\n%s\nwant it to hold %q", line, out, w)
		}
	}
}

func (s *session) all() string {
	out := ""
	for _, k := range []string{"bridge", "port", "vrf", "svi", "instance", "static-mac", "speaker", "neighbor"} {
		out += s.does("list " + k + " -o yaml")
	}
	return out
}

// file writes a file of objects.
func (s *session) file(text string) string {
	s.t.Helper()
	name := filepath.Join(s.t.TempDir(), "site.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

func TestObjectsOfEveryKindAreMadeShownChangedAndDeleted(t *testing.T) {
	s := newSession(t)
	for _, c := range []struct{ kind, id, flags, shown, change, changed string }{
		{"bridge", "blue", "--vlan-id 10 --vni 100 --vtep-ip-prefix 10.0.0.1/32", "10.0.0.1/32", "--vni 101", "101"},
		{"bridge", "blue2", "--vlan-id 20", "20", "--vlan-id 21", "21"},
		{"port", "port1", "--mac-address 02:00:00:00:00:01 --ptype trunk", "02:00:00:00:00:01", "--ptype access --logical-bridges blue", "access"},
		{"vrf", "red1", "--vni 5000 --loopback-ip-prefix 2001:db8::1/128", "2001:db8::1/128", "--loopback-ip-prefix=10.100.0.1/32", "10.100.0.1/32"},
		{"svi", "gate", "--vrf red1 --logical-bridge blue --mac-address 02:00:5e:00:00:01 --gw-ip-prefix 10.10.0.1/24,2001:db8:1::1/64", "10.10.0.1/24,2001:db8:1::1/64", "--gw-ip-prefix 10.10.0.1/24", "10.10.0.1/24"},
		{"instance", "bridge.blue", "--route-distinguisher 65000:10 --import-route-targets 65000:10,65001:10", "65000:10,65001:10", "--route-distinguisher=", "-"},
		{"instance", "bridge.blue2", "--ethernet-tag 4294967295", "4294967295", "--ethernet-tag 100 --tagged-multicast", "100"},
		{"static-mac", "host1", "--logical-bridge blue --bridge-port port1 --mac-address 02:00:00:00:01:01 --ip-addresses 10.10.0.5", "10.10.0.5", "--ip-addresses 10.10.0.6", "10.10.0.6"},
		{"speaker", "default", "--as-number 65000 --router-id 10.0.0.1", "65000", "--as-number 65001", "65001"},
		{"neighbor", "10.1.1.1", "--remote-as 65101 --password secret --hold-time 9s --families evpn,ipv4", "9s", "--hold-time 30s --passive", "30s"},
		{"neighbor", "10.1.1.2", "--remote-as 65102 --allow-own-as 2 --max-prefixes 1000000 --ttl-security 254", "1000000", "--shutdown --shutdown-message moved", "moved"},
	} {
		s.does("create "+c.kind+" "+c.id+" "+c.flags, c.kind+" "+c.id+" is there")
		s.does("create "+c.kind+" "+c.id+" "+c.flags, "is there") // again is no error
		s.does("get "+c.kind+" "+c.id, strings.ToUpper("id"), c.shown, "up")
		s.does("update "+c.kind+" "+c.id+" "+c.change, "is changed")
		s.does("list "+c.kind, c.id, c.changed)
		s.does("get "+c.kind+" "+c.id+" -o yaml", "kind: "+c.kind, "id: "+c.id)
		s.does("list "+c.kind+"s -o json", `"kind": "`+c.kind+`"`)
	}
	if out := s.does("get neighbor 10.1.1.1 -o yaml", "has_password: true", "remote_as: 65101"); strings.Contains(out,
		"secret") {
		t.Errorf("the password is shown: %s", out)
	}
	s.does("list switch-port", "port1", "vf1", "bridge")
	for _, line := range []string{"neighbor 10.1.1.1", "neighbor 10.1.1.2", "speaker default", "static-mac host1",
		"instance bridge.blue", "instance bridge.blue2", "svi gate", "vrf red1", "port port1", "bridge blue", "bridge blue2"} {
		s.does("delete "+line, line+" is deleted")
		s.fails("get "+line, "there is no")
	}
}

func TestCommandsThatCannotBeDoneSayWhatToDo(t *testing.T) {
	s := newSession(t, intent.Neighbor{Address: addr("10.1.1.9"), AS: 9})
	s.does("create bridge blue --vlan-id 10")
	for line, want := range map[string][]string{
		"create":                                                               {"want a kind"},
		"create house":                                                         {`no kind "house"`, "bridge, port, vrf"},
		"create switch-port":                                                   {"not for switch-port"},
		"create bridge blue --vlan-id 11":                                      {"blue", "different one"},
		"create bridge green --vlan-id 10":                                     {"10 belongs to logical bridge blue"},
		"create bridge green --vlan-id ten":                                    {"--vlan-id", "want a number"},
		"create bridge green --vtep-ip-prefix x":                               {"--vtep-ip-prefix", "10.0.0.1/24"},
		"create bridge green --colour red":                                     {"unknown flag"},
		"create port port1 --mac-address 0200":                                 {"--mac-address", "02:00:00:00:00:01"},
		"create port port1 --ptype hybrid":                                     {"--ptype", "access or trunk"},
		"create neighbor leaf --remote-as 1":                                   {"neighbor_id", "IP address"},
		"create neighbor 10.1.1.9 --remote-as 1":                               {"configuration file"},
		"delete neighbor 10.1.1.9":                                             {"configuration file", "restart"},
		"create neighbor 10.1.1.1 --hold-time 9":                               {"--hold-time", "90s"},
		"create neighbor 10.1.1.1 --remote-as 1 --allow-own-as 11":             {"allow_own_as", "0 to 10"},
		"create neighbor 10.1.1.1 --remote-as 1 --ttl-security 2 --multihop 2": {"ttl_security", "multihop is set too"},
		"create neighbor 10.1.1.1 --remote-as 1 --max-prefixes 4294967296":     {"--max-prefixes", "4294967295"},
		"create instance vrf.red1 --ethernet-tag 1":                            {"ethernet_tag", "bridges"},
		"update bridge blue":                                                   {"nothing to change"},
		"update bridge none --vlan-id 5":                                       {"there is no logical bridge"},
		"get bridge":                                                           {"accepts 1 arg"},
		"get bridge none":                                                      {"none"},
		"list bridge -o xml":                                                   {"want table, yaml or json"},
		"delete bridge none":                                                   {"there is no logical bridge"},
		"apply -f /not/there":                                                  {"/not/there"},
		"create instance bridge.none":                                          {"create it first"},
		"create static-mac host1 --logical-bridge blue --bridge-port none --mac-address 02:00:00:00:00:01": {"there is no bridge port none"},
	} {
		s.fails(line, want...)
	}
	if _, err := command(t, "list", "bridge", "--api", "unix:/not/there", "--timeout", "1s"); err == nil ||
		!strings.Contains(err.Error(), "no gateway answers") {
		t.Errorf("without a gateway: %v", err)
	}
}

func TestKindsAndIDsAreCompleted(t *testing.T) {
	s := newSession(t)
	s.does("create bridge blue --vlan-id 10")
	s.does("create bridge green --vlan-id 11")
	for _, c := range []struct{ line, want string }{
		{"__complete create v", "vrf"}, {"__complete get s", "svi"}, {"__complete list --api ADDRESS swi", "switch-port"},
		{"__complete get bridge --api ADDRESS b", "blue"}, {"__complete delete bridge --api ADDRESS blue g", "green"},
		{"__complete create bridge x --v", "--vlan-id"}, {"__complete list bridge -o y", "yaml"},
	} {
		out, err := command(t, strings.Fields(strings.ReplaceAll(c.line, "ADDRESS", s.address))...)
		if err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v\n%s", c.line, err, out)
		}
	}
}

const site = `
# In any order.
- {kind: svi, id: gate, spec: {vrf: red1, logical_bridge: blue, mac_address: 02:00:5e:00:00:01, gw_ip_prefix: [10.10.0.1/24]}}
- kind: port
  id: port1
  spec: {mac_address: "02:00:00:00:00:01", ptype: access, logical_bridges: [blue]}
- kind: static-mac
  id: host1
  spec:
    logical_bridge: blue
    bridge_port: port1
    mac_address: 02:00:00:00:01:01
    ip_addresses: [10.10.0.5, "2001:DB8::5"]
---
kind: vrf
id: red1
spec: {vni: 5000, loopback_ip_prefix: 10.100.0.1/32}
---
kind: instance
id: bridge.blue
spec: {import_route_targets: ["65000:100"]}
---
kind: bridge
id: blue
spec: {vlan_id: 10, vni: 100}
---
kind: neighbor
id: 10.1.1.1
spec: {remote_as: 65101, hold_time: 9s}
`

func TestAFileIsAppliedInTheOrderOfItsReferencesAndOnlyOnce(t *testing.T) {
	s := newSession(t)
	name := s.file(site)
	before := s.all()
	s.does("apply --dry-run -f "+name, "+ bridge blue", "    vni: 100", "+ svi gate",
		"nothing was changed (--dry-run): 7 to create, 0 to change, 0 to delete")
	if s.all() != before {
		t.Error("--dry-run changed something")
	}
	s.does("apply -f "+name, "7 created, 0 changed, 0 deleted")
	s.does("apply -f "+name, "nothing to change")
	shown := s.file(s.all())
	s.does("apply -f "+shown, "nothing to change") // what is shown can be applied
	// Deletes, moves and additions, which are possible in one order only.
	next := s.file(strings.NewReplacer("blue", "green", "vlan_id: 10", "vlan_id: 20", "vni: 100", "vni: 200",
		"bridge.blue", "bridge.green").Replace(site))
	out := s.does("apply --prune -f "+next, "+ bridge green", "- bridge blue", "~ port port1",
		"    logical_bridges: blue -> green")
	if strings.Index(out, "- bridge blue") < strings.Index(out, "~ port port1") {
		t.Errorf("the bridge goes before its port leaves it:\n%s", out)
	}
	s.does("apply --prune -f "+next, "nothing to change")
	s.does("list bridge", "green")
	// Two swap what only one may have.
	s.does("apply -f "+s.file("- {kind: bridge, id: one1, spec: {vlan_id: 1}}\n"+
		"- {kind: bridge, id: two2, spec: {vlan_id: 2}}"), "2 created")
	s.does("apply -f "+s.file("- {kind: bridge, id: one1, spec: {vlan_id: 2}}\n"+
		"- {kind: bridge, id: two2, spec: {vlan_id: 1}}"), "1 created, 1 changed, 1 deleted")
	s.does("list bridge", "one1   2", "two2   1")
}

func TestAPasswordIsAppliedThoughNobodyCanCompareIt(t *testing.T) {
	s := newSession(t)
	name := s.file("{kind: neighbor, id: 10.1.1.1, spec: {remote_as: 1, password: one}}")
	s.does("apply -f "+name, "1 created")
	s.does("apply -f "+name, "password: (set) -> (set anew)", "0 created, 1 changed")
	s.does("apply -f "+s.file("{kind: neighbor, id: 10.1.1.1, spec: {remote_as: 1}}"), "password: (set) -> none")
	s.does("apply -f "+s.file("{kind: neighbor, id: 10.1.1.1, spec: {remote_as: 1}}"), "nothing to change")
}

func TestAFileWithAMistakeSaysWhereAndChangesNothing(t *testing.T) {
	good := "- {kind: bridge, id: green, spec: {vlan_id: 20}}\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"no YAML":             {good + "- {kind: [", []string{"[2:"}},
		"unknown kind":        {good + "- {kind: house, id: blue}\n", []string{":2:", `no kind "house"`, "bridge, port"}},
		"no kind":             {good + "- {id: blue}\n", []string{":2:", "kind is missing"}},
		"no id":               {good + "- {kind: bridge}\n", []string{":2:", "id is missing"}},
		"unknown field":       {good + "- {kind: bridge, id: blue, spec: {vlan: 10}}\n", []string{":2:", `unknown field "vlan"`, "vlan_id, vni"}},
		"unknown top field":   {good + "- {kind: bridge, id: blue, vlan_id: 10}\n", []string{":2:", `unknown field "vlan_id"`}},
		"field twice":         {good + "- kind: bridge\n  id: blue\n  spec:\n    vlan_id: 1\n    vlan_id: 2\n", []string{"[6:", "vlan_id"}},
		"object twice":        {good + "\n- {kind: bridge, id: green, spec: {vlan_id: 30}}\n", []string{":3:", "there already, in line 1"}},
		"a list for a word":   {good + "- {kind: bridge, id: blue, spec: {vlan_id: [10]}}\n", []string{":2:", "vlan_id", "want a number"}},
		"a word for a number": {good + "- {kind: bridge, id: blue, spec: {vlan_id: ten}}\n", []string{":2:", "want a number"}},
		"a MAC that is none":  {good + "- {kind: port, id: port1, spec: {mac_address: 020000}}\n", []string{":2:", "02:00:00:00:00:01"}},
		"a bad value":         {good + "- {kind: bridge, id: blue, spec: {vlan_id: 5000}}\n", []string{"line 2", "5000 is not a VLAN"}},
		"nothing referred to": {good + "- {kind: port, id: port1, spec: {mac_address: '02:00:00:00:00:01', ptype: access, logical_bridges: [blue]}}\n", []string{"line 2", "there is no logical bridge blue"}},
		"a VLAN twice":        {good + "- {kind: bridge, id: blue, spec: {vlan_id: 20}}\n", []string{"line 2", "20 belongs to logical bridge green"}},
		"two that wait for each other": {"- {kind: bridge, id: old3, spec: {vlan_id: 4}}\n- {kind: bridge, id: old4, spec: {vlan_id: 3}}\n",
			[]string{"line 1", "belongs to logical bridge old4", "line 2", "belongs to logical bridge old3"}},
		"an object that holds itself": {"&a\nkind: bridge\nid: blue\nspec: *a\n", []string{"anchors and aliases"}},
		"a port of the target":        {good + "- {kind: switch-port, id: port1}\n", []string{":2:", "configuration file"}},
		"what the file configures":    {"- {kind: neighbor, id: 10.1.1.9, spec: {remote_as: 8}}\n", []string{"line 1", "configuration file"}},
		"a text":                      {"hello", []string{":1:", "want a mapping"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSession(t, intent.Neighbor{Address: addr("10.1.1.9"), AS: 9})
			s.does("create bridge old1 --vlan-id 1")
			s.does("create bridge old2 --vlan-id 2")
			for _, used := range []string{"3", "4"} { // by a port, so that they cannot be made anew
				s.does("create bridge old" + used + " --vlan-id " + used)
				s.does("create port port" + used + " --ptype access --mac-address 02:00:00:00:00:09 --logical-bridges old" + used)
			}
			s.fails("apply -f "+s.file(c.text), append(c.want, "nothing was changed")...)
			s.fails("apply --dry-run -f "+s.file(c.text), c.want...)
		})
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
