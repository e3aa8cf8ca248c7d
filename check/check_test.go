package check

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// small is a gateway with a local bridge of two ports, and a station at one of them.
func small() Snapshot {
	mac := ether.MAC{2, 0, 0, 0, 0, 1}
	s := Snapshot{State: State{
		Settings: Settings{TargetPorts: []TargetPort{{Name: "eth1", Number: 1}, {Name: "eth2", Number: 2}}},
		Bridges:  []intent.LogicalBridge{{ID: "blue", VLAN: 10, Index: 1}},
		Ports: []intent.BridgePort{{ID: "eth1", Type: intent.Access, Bridges: []string{"blue"}},
			{ID: "eth2", Type: intent.Trunk, Bridges: []string{"blue"}}},
		Known: view.Known{RouterMAC: ether.MAC{2, 0, 0, 0, 0, 0xfe}, AskerMAC: ether.MAC{6, 0, 0, 0, 0, 0xfe},
			Stations: []view.KnownStation{{Bridge: 1, MAC: mac, Port: 1}}},
	}}
	for _, e := range []p4.Typed{
		p4.BridgePort{Port: 1}, p4.BridgePort{Port: 2}, p4.Member{Port: 1, Bridge: 1},
		p4.Member{Port: 2, VLAN: 10, Bridge: 1, Trusted: true}, p4.EgressVLAN{Port: 1, Bridge: 1},
		p4.EgressVLAN{Port: 2, Bridge: 1, VLAN: 10}, p4.Source{Bridge: 1, MAC: mac, Port: 1},
		p4.FDB{Bridge: 1, MAC: mac, Kind: p4.ToPort, Port: 1},
		p4.Group{ID: 1, Members: []p4.GroupMember{{Port: 1, Instance: 1}, {Port: 2, Instance: 1}}},
		p4.CloneSession{ID: p4.CPUCloneSession, Port: p4.CPUPort},
	} {
		s.Acknowledged = append(s.Acknowledged, e.Entry())
	}
	for _, kind := range []struct {
		typ  uint16
		icmp uint8
		to   ether.MAC
	}{{0x0806, 0, ether.MAC{}}, {0x86dd, 133, ether.MAC{}}, {0x86dd, 134, ether.MAC{}}, {0x86dd, 135, ether.MAC{}},
		{0x86dd, 136, ether.MAC{}}, {0x0806, 0, s.Known.AskerMAC}, {0x86dd, 135, s.Known.AskerMAC},
		{0x86dd, 136, s.Known.AskerMAC}} {
		trap := p4.Trap{EtherType: kind.typ, ICMPv6Type: kind.icmp, MAC: kind.to, Origin: p4.OriginBridge, Priority: 10,
			Reason: p4.PuntND}
		if kind.typ == 0x0806 {
			trap.Reason = p4.PuntARP
		}
		if !kind.to.IsZero() {
			trap.Divert, trap.Priority = true, 11
		}
		s.Acknowledged = append(s.Acknowledged, trap.Entry())
	}
	return s
}

// of is a checker of what snapshot gives; read, unless nil, is what the target itself says.
func of(snapshot func() Snapshot, read func(each func(*p4v1.Entity) error) error) Config {
	return Config{
		Program: &p4v1.ForwardingPipelineConfig{P4Info: p4.P4Info(), P4DeviceConfig: p4.DeviceConfig()},
		Again:   time.Millisecond, Snapshot: func(context.Context) (Snapshot, error) { return snapshot(), nil },
		Read: func(_ context.Context, _ []*p4v1.Entity, each func(*p4v1.Entity) error) error { return read(each) },
	}
}

// broken lacks the station.
func broken() Snapshot {
	s := small()
	for i, e := range s.Acknowledged {
		if e.Key.Table() == "bridge.fdb" {
			s.Acknowledged = append(s.Acknowledged[:i:i], s.Acknowledged[i+1:]...)
			return s
		}
	}
	return s
}

func TestWhatIsThereOnceIsNoDifference(t *testing.T) {
	for name, c := range map[string]struct {
		first, then func() Snapshot
		differs     bool
	}{
		"healthy": {small, small, false}, "under way": {broken, small, false}, "broken": {broken, broken, true},
	} {
		calls := 0
		got, err := New(of(func() Snapshot {
			if calls++; calls == 1 {
				return c.first()
			}
			return c.then()
		}, nil)).Check(t.Context(), view.CheckRequest{})
		if err != nil || (len(got.Differences) > 0) != c.differs || got.Frames < 10 {
			t.Errorf("%s: %v, %d frames, %+v", name, err, got.Frames, got.Differences)
		}
		for _, d := range got.Differences {
			if d.Bridge != "blue" || d.Port == "eth2" && !strings.Contains(d.Expected, "eth1") || d.Rule == "" ||
				len(d.Steps) == 0 {
				t.Errorf("%s: %+v", name, d)
			}
		}
	}
}

func TestWhatIsUnderWayIsWaitedFor(t *testing.T) {
	calls := 0
	got, err := New(of(func() Snapshot {
		s := broken()
		if calls++; calls < 3 {
			s.Known.Busy = "an entry is on its way"
			return s
		}
		return small()
	}, nil)).Check(t.Context(), view.CheckRequest{})
	if err != nil || len(got.Differences) > 0 || calls != 3 {
		t.Errorf("%v, %+v, after %d looks", err, got, calls)
	}
}

func TestOnlyWhatIsNamedIsChecked(t *testing.T) {
	for _, c := range []struct {
		request view.CheckRequest
		bad     string
		differs bool
	}{
		{view.CheckRequest{Bridge: "blue"}, "", true}, {view.CheckRequest{Bridge: "blue", VRF: "blue"}, "", true},
		{view.CheckRequest{Bridge: "red"}, "there is no logical bridge red", false},
		{view.CheckRequest{VRF: "blue"}, "there is no VRF blue", false},
		{view.CheckRequest{Bridge: "red", VRF: "red"}, "there is no logical bridge red, and no VRF red", false},
	} {
		got, err := New(of(broken, nil)).Check(t.Context(), c.request)
		var wrong *view.CheckError
		if c.bad != "" && (!errors.As(err, &wrong) || wrong.Problem != c.bad) || c.bad == "" && err != nil ||
			(len(got.Differences) > 0) != c.differs {
			t.Errorf("%+v: %v, %d differences", c.request, err, len(got.Differences))
		}
	}
}

// A target that answers half a read, or runs another program, is not said to differ.
func TestATargetThatCannotBeReadIsNoDifference(t *testing.T) {
	half := errors.New("the stream broke")
	for name, read := range map[string]func(each func(*p4v1.Entity) error) error{
		"half a read": func(each func(*p4v1.Entity) error) error {
			for _, e := range small().Acknowledged[:5] {
				if err := each(e.Entity()); err != nil {
					return err
				}
			}
			return half
		},
		"another program": func(each func(*p4v1.Entity) error) error {
			return each(&p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{TableId: 0x02999999}}})
		},
		"nothing that it may say": func(each func(*p4v1.Entity) error) error { return each(&p4v1.Entity{}) },
	} {
		c := New(of(small, read))
		got, err := c.Check(t.Context(), view.CheckRequest{Read: true})
		if err == nil || len(got.Differences) > 0 {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
		if got, err = c.Check(t.Context(), view.CheckRequest{}); err != nil || len(got.Differences) > 0 {
			t.Errorf("after %s: %v, %+v", name, err, got)
		}
	}
	read := func(each func(*p4v1.Entity) error) error {
		for _, e := range small().Acknowledged {
			if err := each(e.Entity()); err != nil {
				return err
			}
		}
		return nil
	}
	if got, err := New(of(small, read)).Check(t.Context(), view.CheckRequest{Read: true}); err != nil ||
		len(got.Differences) > 0 || !got.Read {
		t.Errorf("%v, %+v", err, got)
	}
}

func TestWhatIsNewIsToldOnceAndThatItIsOver(t *testing.T) {
	var log bytes.Buffer
	w := NewWatch(of(small, nil), WatchConfig{Share: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	found := view.Check{More: 2,
		Differences: []view.CheckDifference{{Object: "MAC 1", Expected: "a", Actual: "b", Frame: []byte{1}}}}
	for range 3 {
		w.note(found)
	}
	if n := strings.Count(log.String(), "event=check"); n != 1 || !strings.Contains(log.String(), "frame=01") {
		t.Errorf("told %d times: %s", n, &log)
	}
	want := "# HELP p4evpn_check_differences Frames that did not end where objects, configuration and routes want them, " +
		"in the last check of the target.\n# TYPE p4evpn_check_differences gauge\np4evpn_check_differences 3\n"
	if err := testutil.CollectAndCompare(w, strings.NewReader(want), "p4evpn_check_differences"); err != nil {
		t.Error(err)
	}
	for range 2 {
		w.note(view.Check{})
	}
	if n := strings.Count(log.String(), "event=check"); n != 2 {
		t.Errorf("told %d times: %s", n, &log)
	}
}

func TestAWatchFindsWhatIsBroken(t *testing.T) {
	told := make(chan struct{}, 100)
	w := NewWatch(of(broken, nil), WatchConfig{Share: 1, Pause: time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(writer(func() { told <- struct{}{} }), nil))})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	<-told
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

type writer func()

func (w writer) Write(b []byte) (int, error) { w(); return len(b), nil }

func TestAPaceLeavesTheOthersTheirShare(t *testing.T) {
	th := &throttle{share: 0.25, since: time.Now().Add(-time.Second)}
	if rest := th.rest(); rest < 3*time.Second || rest > 4*time.Second {
		t.Errorf("after 1 s of work at 25 %% it rests %v", rest)
	}
}

func TestAnAddressIsTheLastOfItsPrefix(t *testing.T) {
	for p, want := range map[string]string{"10.0.0.1/24": "10.0.0.255", "10.0.0.1/32": "10.0.0.1",
		"10.0.0.0/30":   "10.0.0.3",
		"2001:db8::/64": "2001:db8::ffff:ffff:ffff:ffff", "0.0.0.0/0": "255.255.255.255"} {
		if got := lastOf(netip.MustParsePrefix(p)); got.String() != want {
			t.Errorf("%s: %v, want %s", p, got, want)
		}
	}
}
