package ovn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// server is a genuine ovsdb-server with one database, of Debian's packages.
type server struct {
	*testing.T
	dir, schema string
	args        []string // more of ovsdb-server's
	cmd         *exec.Cmd
}

const (
	northboundSchema  = "/usr/share/ovn/ovn-nb.ovsschema"
	openVSwitchSchema = "/usr/share/openvswitch/vswitch.ovsschema"
)

// serve starts a server with an empty database.
func serve(t *testing.T, schema string, args ...string) *server {
	t.Helper()
	for _, file := range []string{schema, "/usr/sbin/ovsdb-server", "/usr/bin/ovsdb-tool"} {
		if _, err := os.Stat(file); err != nil {
			t.Skipf("SKIP: OVN and Open vSwitch are not installed: %v", err)
		}
	}
	s := &server{T: t, dir: t.TempDir(), schema: schema, args: args}
	s.run("ovsdb-tool", "create", s.path("db"), schema)
	s.start()
	t.Cleanup(s.stop)
	return s
}

// serveCluster starts servers that are one database, of which one leads.
func serveCluster(t *testing.T, schema, database string, n int) (members []*server) {
	t.Helper()
	first := ""
	for range n {
		s := &server{T: t, dir: t.TempDir(), schema: schema}
		if _, err := os.Stat(schema); err != nil {
			t.Skipf("SKIP: OVN and Open vSwitch are not installed: %v", err)
		}
		local := "tcp:127.0.0.1:" + freePort(t)
		if first == "" {
			first = local
			s.run("ovsdb-tool", "create-cluster", s.path("db"), schema, local)
		} else {
			s.run("ovsdb-tool", "join-cluster", s.path("db"), database, local, first)
		}
		s.start()
		t.Cleanup(s.stop)
		s.await("it has joined", func() bool { return strings.Contains(s.role(database), "Status: cluster member") })
		members = append(members, s)
	}
	return members
}

// role is how a member stands to its cluster, "" if it does not answer.
func (s *server) role(database string) string {
	out, _ := exec.Command("ovs-appctl", "--timeout=5", "-t", s.path("ctl"), "cluster/status", database).Output()
	return string(out)
}

// leader waits until there is one among the members that run.
func leader(t *testing.T, database string, members []*server) (found *server) {
	t.Helper()
	await(t, "the cluster has a leader", func() bool {
		for _, s := range members {
			if s.cmd != nil && strings.Contains(s.role(database), "Role: leader") {
				found = s
			}
		}
		return found != nil
	})
	return found
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }
func (s *server) address() string         { return "unix:" + s.path("sock") }

func (s *server) start() {
	s.Helper()
	args := append([]string{"--no-chdir", "--log-file=" + s.path("log"), "--pidfile=" + s.path("pid"),
		"--unixctl=" + s.path("ctl"), "--remote=punix:" + s.path("sock")}, s.args...)
	s.cmd = exec.Command("ovsdb-server", append(args, s.path("db"))...)
	s.cmd.Env = append(os.Environ(), "OVS_RUNDIR="+s.dir, "OVS_LOGDIR="+s.dir)
	if err := s.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.await("the database serves", func() bool {
		return exec.Command("ovsdb-client", "list-dbs", s.address()).Run() == nil
	})
}

func (s *server) stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// run runs a command, and gives what it printed.
func (s *server) run(name string, args ...string) string {
	s.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		s.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// nb runs ovn-nbctl, vs ovs-vsctl.
func (s *server) nb(command string) string {
	s.Helper()
	return s.run("ovn-nbctl", append([]string{"--db=" + s.address()}, words(command)...)...)
}

func (s *server) vs(command string) string {
	s.Helper()
	return s.run("ovs-vsctl", append([]string{"--no-wait", "--db=" + s.address()}, words(command)...)...)
}

// words splits a command; ~ is a space within a word.
func words(command string) []string {
	all := []string{"--timeout=10"}
	for _, w := range strings.Fields(command) {
		all = append(all, strings.ReplaceAll(w, "~", " "))
	}
	return all
}

func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 30 s not: %s", what)
		}
	}
}

func (s *server) await(what string, cond func() bool) { s.Helper(); await(s.T, what, cond) }

// shows waits until ovn-nbctl prints exactly this.
func (s *server) shows(command, want string) {
	s.Helper()
	got := ""
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got = s.nb(command); got == want {
			return
		}
	}
	s.Fatalf("ovn-nbctl %s: got\n%s\nwant\n%s", command, got, want)
}

// foreign is all of the northbound database that is not ours.
func (s *server) foreign() string {
	s.Helper()
	var rows []string
	for line := range strings.Lines(s.run("ovsdb-client", "dump", s.address(), "-f", "csv")) {
		if !strings.Contains(line, ownerMark) {
			rows = append(rows, line)
		}
	}
	text := strings.NewReplacer(`"[`, "[", `]"`, "]").Replace(strings.Join(rows, "")) // of one or of several
	ours := s.nb("--bare --columns=_uuid find Logical_Switch_Port external_ids:" + ownerMark + "=here")
	for uuid := range strings.SplitSeq(ours, "\n") { // as switches name it, first, last or in between
		if uuid != "" {
			text = strings.NewReplacer(uuid+", ", "", ", "+uuid, "", uuid, "").Replace(text)
		}
	}
	return text
}

// gateway is a Keeper that runs, and its intent.
type gateway struct {
	*testing.T
	store *intent.Store
	*Keeper
	stop func()
}

// start starts a Keeper for the databases; the second may be nil.
func start(t *testing.T, store *intent.Store, nb, vs *server, change ...func(*Config)) *gateway {
	t.Helper()
	cfg := Config{Intent: store, Northbound: []string{nb.address()}, Chassis: "hv1", Owner: "here",
		Gather: 10 * time.Millisecond, Retry: 100 * time.Millisecond}
	if vs != nil {
		cfg.OpenVSwitch, cfg.Chassis, cfg.Interface = vs.address(), "", "trunk0"
	}
	for _, do := range change {
		do(&cfg)
	}
	k, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- k.Run(ctx) }()
	g := &gateway{T: t, store: store, Keeper: k}
	g.stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
		g.stop = func() {}
	}
	t.Cleanup(func() { g.stop() })
	return g
}

// stretch has a bridge of a VNI stretch a logical switch.
func stretch(t *testing.T, store *intent.Store, vni uint32, logicalSwitch string) {
	t.Helper()
	err := store.Update(func(tx *intent.Tx) error {
		id := fmt.Sprintf("vni-%d", vni)
		_, err := tx.Bridges().Create(intent.LogicalBridge{ID: id, VLAN: uint16(vni), VNI: vni})
		if err != nil {
			return err
		}
		_, err = tx.Instances().Create(intent.Instance{ID: "bridge." + id, LogicalSwitch: logicalSwitch})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// has waits until a port is as it shall be, on one switch.
func (s *server) has(vni int, logicalSwitch string) {
	s.Helper()
	const columns = "type,options,addresses,tag_request,external_ids"
	s.shows(fmt.Sprintf("--bare --columns=%s find Logical_Switch_Port name=evpn_%d", columns, vni), fmt.Sprintf(
		"l2gateway\nl2gateway-chassis=hv1 network_name=evpn\nunknown\n%d\np4evpn-owner=here p4evpn-vni=%d", vni, vni))
	uuid := s.nb("get Logical_Switch_Port evpn_" + fmt.Sprint(vni) + " _uuid")
	s.await("on switch "+logicalSwitch+" alone", func() bool {
		var on []string
		for name := range strings.SplitSeq(s.nb("--bare --columns=name list Logical_Switch"), "\n") {
			if name != "" && strings.Contains(s.nb("get Logical_Switch "+name+" ports"), uuid) {
				on = append(on, name)
			}
		}
		return slices.Equal(on, []string{logicalSwitch})
	})
}

func (s *server) hasNot(vni int) {
	s.Helper()
	s.shows("--bare --columns=name find Logical_Switch_Port name=evpn_"+fmt.Sprint(vni), "")
}

// complains waits until something is said of a bridge; "" is of the databases.
func (g *gateway) complains(says ...string) {
	g.Helper()
	await(g.T, "a problem is counted", func() bool { return testutil.ToFloat64(g.stats.problems) > 0 })
	g.stop() // its problems are its own while it runs
	text := fmt.Sprint(g.problems)
	for _, want := range says {
		if !strings.Contains(text, want) {
			g.Errorf("%s\nwant %q in it", text, want)
		}
	}
}

func TestABridgeThatNamesALogicalSwitchHasAPortOnItWhileItDoes(t *testing.T) {
	nb, store := serve(t, northboundSchema), intent.NewMemory()
	nb.nb("ls-add ls1 -- ls-add ls2 -- lsp-add ls1 vm1 -- lsp-set-addresses vm1 dynamic")
	before := nb.foreign()
	start(t, store, nb, nil)
	stretch(t, store, 10, "ls1")
	stretch(t, store, 20, "ls2")
	nb.has(10, "ls1")
	nb.has(20, "ls2")
	change := func(do func(*intent.Tx) error) {
		t.Helper()
		if err := store.Update(do); err != nil {
			t.Fatal(err)
		}
	}
	change(func(tx *intent.Tx) error { return tx.Instances().Delete("bridge.vni-10") })
	nb.hasNot(10)
	nb.has(20, "ls2")
	change(func(tx *intent.Tx) error { // it goes to another switch
		_, err := tx.Instances().Update(intent.Instance{ID: "bridge.vni-20", LogicalSwitch: "ls1"})
		return err
	})
	nb.has(20, "ls1")
	change(func(tx *intent.Tx) error {
		return errors.Join(tx.Instances().Delete("bridge.vni-20"), tx.Bridges().Delete("vni-20"))
	})
	nb.hasNot(20)
	if after := nb.foreign(); after != before {
		t.Errorf("of others' rows there were\n%s\nand are\n%s", before, after)
	}
}

// What somebody does to our row is put right, and nothing else is touched.
func TestWhateverIsDoneToOurPortItComesBack(t *testing.T) {
	nb, store := serve(t, northboundSchema), intent.NewMemory()
	nb.nb("ls-add ls1 -- ls-add ls2 -- lsp-add ls1 vm1 -- lsp-add ls2 evpn_99 -- pg-add group vm1")
	stretch(t, store, 10, "ls1")
	start(t, store, nb, nil)
	nb.has(10, "ls1")
	for name, command := range map[string]string{
		"deleted":            "lsp-del evpn_10",
		"another type":       "lsp-set-type evpn_10 localnet",
		"no options":         "clear Logical_Switch_Port evpn_10 options",
		"an option more":     "set Logical_Switch_Port evpn_10 options:nat-addresses=router",
		"another chassis":    "set Logical_Switch_Port evpn_10 options:l2gateway-chassis=hv2",
		"no addresses":       "clear Logical_Switch_Port evpn_10 addresses",
		"other addresses":    "lsp-set-addresses evpn_10 dynamic",
		"no tag":             "clear Logical_Switch_Port evpn_10 tag_request",
		"another tag":        "set Logical_Switch_Port evpn_10 tag_request=11",
		"marked as another":  "set Logical_Switch_Port evpn_10 external_ids:p4evpn-vni=11",
		"its switch deleted": "ls-del ls1 -- ls-add ls1",
		"its switch renamed": "set Logical_Switch ls1 name=old -- ls-add ls1",
		"many at once":       "lsp-del evpn_10 -- lsp-del vm1 -- lsp-add ls1 vm2",
	} {
		t.Run(name, func(t *testing.T) {
			if name == "many at once" || strings.Contains(name, "switch") {
				nb.nb("--may-exist lsp-add ls1 vm1")
			}
			nb.nb(command)
			nb.has(10, "ls1")
			if strings.Contains(name, "renamed") {
				nb.nb("ls-del old")
			}
		})
	}
	nb.shows("--bare --columns=external_ids find Logical_Switch_Port name=evpn_99", "")
}

func TestAPortThatWeMadeBeforeIsTakenOverWithoutATransaction(t *testing.T) {
	nb, vs, store := serve(t, northboundSchema), serve(t, openVSwitchSchema), intent.NewMemory()
	vs.vs(chassisRows)
	nb.nb("ls-add ls1 -- ls-add ls2")
	stretch(t, store, 10, "ls1")
	stretch(t, store, 20, "ls2")
	first := start(t, store, nb, vs)
	nb.has(10, "ls1")
	nb.has(20, "ls2")
	first.stop()
	uuid := nb.nb("get Logical_Switch_Port evpn_10 _uuid")
	if err := store.Update(func(tx *intent.Tx) error { return tx.Instances().Delete("bridge.vni-20") }); err != nil {
		t.Fatal(err)
	}
	second := start(t, store, nb, vs)
	nb.hasNot(20) // it was not wanted any more while nobody was there
	if got := nb.nb("get Logical_Switch_Port evpn_10 _uuid"); got != uuid {
		t.Errorf("the port is another one: %s, was %s", got, uuid)
	}
	second.stop()
	if n := testutil.ToFloat64(second.stats.transactions); n != 1 {
		t.Errorf("%v transactions, want that of the port that went", n)
	}
}

func TestWhatIsNotOursIsNotTouchedAndTheBridgeIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		setUp string
		vni   uint32
		says  []string
	}{
		"a port of our name":       {"ls-add ls1 -- lsp-add ls1 evpn_10", 10, []string{"vni-10", "evpn_10", "not ours"}},
		"another gateway's port":   {"ls-add ls1 -- lsp-add ls1 evpn_10 -- set Logical_Switch_Port evpn_10 external_ids:p4evpn-owner=there", 10, []string{"vni-10", `"there"`}},
		"no such switch":           {"ls-add ls2", 10, []string{"vni-10", `no logical switch "ls1"`}},
		"two switches of one name": {"ls-add ls1 -- --add-duplicate ls-add ls1", 10, []string{"vni-10", "several"}},
		"a bridge without a VNI":   {"ls-add ls1", 0, []string{"no VNI"}},
	} {
		t.Run(name, func(t *testing.T) {
			nb, store := serve(t, northboundSchema), intent.NewMemory()
			nb.nb(c.setUp)
			before := nb.run("ovsdb-client", "dump", nb.address())
			if c.vni != 0 {
				stretch(t, store, c.vni, "ls1")
			} else if err := store.Update(func(tx *intent.Tx) error {
				_, err := tx.Bridges().Create(intent.LogicalBridge{ID: "blue", VLAN: 10})
				_, err2 := tx.Instances().Create(intent.Instance{ID: "bridge.blue", LogicalSwitch: "ls1"})
				return errors.Join(err, err2)
			}); err != nil {
				t.Fatal(err)
			}
			start(t, store, nb, nil).complains(c.says...)
			if after := nb.run("ovsdb-client", "dump", nb.address()); after != before {
				t.Errorf("the database was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

func TestChangesGatherUntilNoMoreComes(t *testing.T) {
	start := time.Now()
	for name, c := range map[string]struct {
		applied, first, now, want time.Duration // since start
	}{
		"the first after a pause":     {-time.Hour, 0, 0, moment},
		"one that comes with it":      {-time.Hour, 0, moment / 2, moment},
		"one of many, for long":       {-time.Hour, 0, time.Second - moment/2, moment / 2},
		"the last of too many":        {-time.Hour, 0, 2 * time.Second, 0},
		"the first soon after others": {-time.Second / 4, 0, 0, 3 * time.Second / 4},
		"one that comes with that":    {-time.Second / 4, 0, time.Second / 4, time.Second / 2},
	} {
		k := &Keeper{cfg: Config{Gather: time.Second}, applied: start.Add(c.applied)}
		if got := k.gather(start.Add(c.first), start.Add(c.now)); got != c.want {
			t.Errorf("%s: %v more, want %v", name, got, c.want)
		}
	}
}

// Only what comes soon after something else waits for more.
func TestAChangeAfterAPauseIsDoneAtOnce(t *testing.T) {
	nb, store := serve(t, northboundSchema), intent.NewMemory()
	nb.nb("ls-add ls1")
	stretch(t, store, 10, "ls1")
	start(t, store, nb, nil, func(c *Config) { c.Gather = time.Hour })
	nb.has(10, "ls1")
}

func TestOneBadBridgeKeepsNoOtherFromItsSwitch(t *testing.T) {
	nb, store := serve(t, northboundSchema), intent.NewMemory()
	nb.nb("ls-add ls2")
	stretch(t, store, 10, "ls1")
	stretch(t, store, 20, "ls2")
	start(t, store, nb, nil)
	nb.has(20, "ls2")
	nb.nb("ls-add ls1") // it comes late
	nb.has(10, "ls1")
}

func TestAnAbsentDatabaseIsWaitedForAndWhatHappenedMeanwhileIsSeen(t *testing.T) {
	nb, store := serve(t, northboundSchema), intent.NewMemory()
	nb.nb("ls-add ls1 -- ls-add ls2")
	nb.stop()
	stretch(t, store, 10, "ls1")
	g := start(t, store, nb, nil)
	await(t, "the absence is counted", func() bool { return testutil.ToFloat64(g.stats.problems) == 1 })
	nb.start()
	nb.has(10, "ls1")
	await(t, "all is well", func() bool { return testutil.ToFloat64(g.stats.problems) == 0 })
	nb.stop()
	await(t, "the absence is counted", func() bool { return testutil.ToFloat64(g.stats.problems) == 1 })
	stretch(t, store, 20, "ls2")
	nb.run("ovsdb-tool", "transact", nb.path("db"), `["OVN_Northbound",
		{"op":"mutate","table":"Logical_Switch","where":[["name","==","ls1"]],"mutations":[["ports","delete",["set",[]]]]},
		{"op":"update","table":"Logical_Switch","where":[["name","==","ls1"]],"row":{"ports":["set",[]]}}]`)
	nb.start()
	nb.has(10, "ls1")
	nb.has(20, "ls2")
}

func TestAConfigurationThatWillNotDoIsRefusedByField(t *testing.T) {
	store := intent.NewMemory()
	nb := []string{"tcp:127.0.0.1:6641"}
	for want, cfg := range map[string]Config{
		"no intent":     {Northbound: nb, Owner: "o", Chassis: "c"},
		"nb":            {Intent: store, Owner: "o", Chassis: "c"},
		"owner":         {Intent: store, Northbound: nb, Chassis: "c"},
		"chassis":       {Intent: store, Northbound: nb, Owner: "o"},
		"shared":        {Intent: store, Northbound: nb, Owner: "o", Chassis: "c", Shared: true},
		"interface":     {Intent: store, Northbound: nb, Owner: "o", OpenVSwitch: "unix:/x"},
		"gather -1ns":   {Intent: store, Northbound: nb, Owner: "o", Chassis: "c", Gather: -1},
		"provnet":       {Intent: store, Northbound: nb, Owner: "o", Chassis: "c", Network: "provnet-1"},
		`"10.0.0.1"`:    {Intent: store, Northbound: []string{"10.0.0.1"}, Owner: "o", Chassis: "c"},
		`"tcp:1.1.1.1"`: {Intent: store, Northbound: []string{"tcp:1.1.1.1"}, Owner: "o", Chassis: "c"},
		`"unix:sock"`:   {Intent: store, Northbound: nb, Owner: "o", Interface: "i", OpenVSwitch: "unix:sock"},
		"want tls":      {Intent: store, Northbound: []string{"ssl:[" + netip.IPv6Loopback().String() + "]:6641"}, Owner: "o", Chassis: "c"},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q in it", cfg, err, want)
		}
	}
}
