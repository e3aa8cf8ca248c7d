package main

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/p4evpn/p4evpn/softswitch"
	"github.com/p4evpn/p4evpn/softswitch/netport"
)

// systemd receives what a unit says to it.
type systemd struct {
	t    *testing.T
	conn *net.UnixConn
	said []string // all messages so far
}

func newSystemd(t *testing.T) *systemd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &systemd{t: t, conn: conn}
}

// next receives one message, as its lines.
func (s *systemd) next(patience time.Duration) ([]string, bool) {
	s.t.Helper()
	buf := make([]byte, 4096)
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	n, err := s.conn.Read(buf)
	if err != nil {
		return nil, false
	}
	s.said = append(s.said, string(buf[:n]))
	return strings.Split(string(buf[:n]), "\n"), true
}

// until receives messages up to one that has a line.
func (s *systemd) until(holds func(line string) bool) []string {
	s.t.Helper()
	for {
		lines, ok := s.next(20 * time.Second)
		if !ok {
			s.t.Fatalf("systemd heard only %q", s.said)
		}
		if slices.ContainsFunc(lines, holds) {
			return lines
		}
	}
}

func isReady(line string) bool { return line == "READY=1" }

// never is called when all has ended.
func (s *systemd) never(holds func(line string) bool) {
	s.t.Helper()
	for {
		lines, ok := s.next(time.Millisecond)
		if !ok {
			return
		}
		if slices.ContainsFunc(lines, holds) {
			s.t.Errorf("systemd heard %q", lines)
		}
	}
}

// tells matches a STATUS with these words.
func tells(words ...string) func(string) bool {
	return func(line string) bool {
		text, ok := strings.CutPrefix(line, "STATUS=")
		for _, w := range words {
			ok = ok && strings.Contains(text, w)
		}
		return ok
	}
}

const oneBridge = `{"spec": {"vlan_id": 10, "vni": 10}}`

func TestReadyMeansThatTheAPIAnswersAndTheTargetIsInHand(t *testing.T) {
	s := newSystemd(t)
	target := "unix:" + filepath.Join(t.TempDir(), "switch.sock")
	stopSwitch := runSwitch(t, target)
	stopped := false
	defer func() {
		if !stopped {
			stopSwitch()
		}
	}()
	ask := runGateway(t, target)
	if lines := s.until(isReady); !slices.ContainsFunc(lines, tells("in hand")) {
		t.Errorf("ready with %q", lines)
	}
	// At once: nothing may still be on its way.
	if code, answer := ask("POST", "?logical_bridge_id=blue", oneBridge); code != 200 {
		t.Errorf("the API of a gateway that is ready: %d %s", code, answer)
	}

	stopSwitch()
	stopped = true
	s.until(tells("without the P4 target", target))
	defer runSwitch(t, target)()
	s.until(tells("in hand"))
	s.never(isReady)
}

func TestReadyWithoutTheTargetSaysSo(t *testing.T) {
	s := newSystemd(t)
	target := "unix:" + filepath.Join(t.TempDir(), "nobody.sock")
	ask := runGateway(t, target)
	lines := s.until(isReady)
	if !slices.ContainsFunc(lines, tells("without the P4 target", target)) {
		t.Errorf("ready with %q", lines)
	}
	if code, answer := ask("POST", "?logical_bridge_id=blue", oneBridge); code != 200 {
		t.Errorf("the API of a gateway that is ready: %d %s", code, answer)
	}
	defer runSwitch(t, target)()
	s.until(tells("in hand"))
}

func TestAGatewayThatCannotListenIsNeverReady(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, listener := range []string{"API", "VTEP", "metrics"} {
		t.Run(listener, func(t *testing.T) {
			s := newSystemd(t)
			target := "unix:" + filepath.Join(t.TempDir(), "switch.sock")
			defer runSwitch(t, target)()
			f := gatewayFile(t, target)
			switch at := taken.Addr().String(); listener {
			case "API":
				f.API.Listen, f.API.Insecure = []string{at}, true
			case "VTEP":
				f.API.VTEPListen, f.API.Insecure = at, true
			case "metrics":
				f.Metrics.Listen = at
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := run(ctx, f, false, false)
			if err == nil || !strings.Contains(err.Error(), "address already in use") {
				t.Fatalf("it ended with: %v", err)
			}
			part := map[string]string{"API": "API: ", "VTEP": "API: ", "metrics": "metrics: "}[listener]
			if !strings.HasPrefix(err.Error(), part) {
				t.Errorf("it ended with %q, which does not begin with the part's name %q", err, part)
			}
			s.never(isReady)
		})
	}
}

func TestSystemdIsToldOneLineOfStatus(t *testing.T) {
	s := newSystemd(t)
	notify("", "no target:\nREADY=1\nSTOPPING=1")
	if lines, _ := s.next(time.Second); !slices.Equal(lines, []string{"STATUS=no target: READY=1 STOPPING=1"}) {
		t.Errorf("systemd heard %q", lines)
	}
}

func TestTheSwitchIsReadyWhenItServesP4Runtime(t *testing.T) {
	s := newSystemd(t)
	address := "unix:" + filepath.Join(t.TempDir(), "switch.sock")
	cmd := newRoot()
	cmd.SetArgs([]string{"switch", "--no-p4", "--grpc-server-addr", address})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	s.until(isReady)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := p4v1.NewP4RuntimeClient(conn).Capabilities(t.Context(), &p4v1.CapabilitiesRequest{}); err != nil {
		t.Errorf("a switch that is ready: %v", err)
	}

	// Another one at its address.
	second := newRoot()
	second.SetArgs([]string{"switch", "--no-p4", "--grpc-server-addr", address})
	if err := second.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "P4Runtime") {
		t.Errorf("a second switch at the address ended with: %v", err)
	}
	s.never(isReady)
}

func TestTheSwitchsStatusNamesThePortsThatAreRefused(t *testing.T) {
	port := func(name, refused string) softswitch.PortStats {
		return softswitch.PortStats{Port: softswitch.Port{Interface: name},
			State: netport.State{Up: refused == "", Refused: refused}}
	}
	for want, ports := range map[string][]softswitch.PortStats{
		"serving P4Runtime": {port("vf1", ""), port("vf2", "")},
		"2 of 3 ports refused: vf1: the host has an address on it; vf3: no way works": {
			port("vf1", "the host has an address on it"), port("vf2", ""), port("vf3", "no way works")},
	} {
		if got := switchState(ports); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
