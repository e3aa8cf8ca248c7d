package testbed

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The commands of docs/getting-started.md, and how each is run here. What takes
// long does a part: other tests do all of it.
var gettingStarted = map[string]func(t *testing.T, block []string){
	"git clone https://github.com/p4evpn/p4evpn && cd p4evpn": nil, // this is one
	"make demo":   func(t *testing.T, b []string) { runPart(t, b[0], "hosts on the gateway's access ports") },
	"make two-dc": func(t *testing.T, b []string) { runPart(t, b[0], "the example's REST calls") },
	"bin/p4evpn-demo two-dc --keep --only example":                               keepTwoDC,
	"ip netns exec p4lab-PID-RANDOM-gw curl http://localhost:8080/vtep/networks": nil, // there
	"make mininet":                   nil, // the next block is for its prompt
	"pingall":                        promptMininet,
	"h1 ping -c 3 h3":                nil, // there
	"gw1 p4evpn show fdb":            nil,
	"gw2 p4evpn show prefixes green": nil,
	// They want what Debian does not have; p4runtime-shell.md was made with them.
	"tcpdump -ni s1-eth10 udp port 4789": nil,
	"python3 -m p4runtime_sh --grpc-addr unix:/run/p4evpn-mininet/s1.sock --device-id 1 --election-id 0,1": nil,
	"P4EVPN_TARGET=bmv2 make mininet": nil, // TestMininet does, on BMv2
}

func TestCommandsOfGettingStartedDoWhatThePageSays(t *testing.T) {
	needDemo(t, Embedded)
	page := string(must(os.ReadFile("../docs/getting-started.md"))(t))
	commands := 0
	for _, m := range regexp.MustCompile("(?ms)^```\n(.*?)^```").FindAllStringSubmatch(page, -1) {
		block := strings.Split(strings.TrimSpace(m[1]), "\n")
		for i, line := range block {
			run, known := gettingStarted[line]
			if !known {
				t.Errorf("say in gettingStarted how %q is run", line)
			}
			if commands++; run != nil {
				t.Run(line, func(t *testing.T) { run(t, block[i:]) })
			}
		}
	}
	if commands != len(gettingStarted) {
		t.Errorf("the page has %d commands, want the %d of gettingStarted", commands, len(gettingStarted))
	}
}

// runPart runs a command of make with those checks whose name has a part.
func runPart(t *testing.T, command, part string) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = ".."
	// As from a user's shell: make says more, at the end too, when make runs it.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") })
	cmd.Env = append(cmd.Env, "DEMO=--only \""+part+"\"")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), ": 1 of 1 checks passed\n") {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
}

func keepTwoDC(t *testing.T, block []string) {
	needPython(t, "os_ken")
	needProgram(t, "curl")
	args := strings.Fields(block[0])
	cmd := demoCommand(t.Context(), t, args[1:]...)
	out := must(cmd.StdoutPipe())(t)
	check(t, cmd.Start())
	text := readUntil(out, "Left in place")
	found := must(filepath.Glob(filepath.Join(netnsFolder, labPrefix+strconv.Itoa(cmd.Process.Pid)+"-*-gw")))(t)
	if len(found) != 1 {
		t.Fatalf("the gateway's namespace is one of %v, after:\n%s", found, text)
	}
	line := strings.ReplaceAll(block[1], "p4lab-PID-RANDOM-gw", filepath.Base(found[0]))
	answer, err := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
	if err != nil || !strings.Contains(string(answer), `"vni":10`) {
		t.Errorf("%s: %v: %s", line, err, answer)
	}
	check(t, cmd.Process.Signal(os.Interrupt))
	_, _ = io.ReadAll(out)
	check(t, cmd.Wait())
	nothingLeft(t, cmd.Process.Pid)
}

// promptMininet types the block at Mininet's prompt.
func promptMininet(t *testing.T, block []string) {
	m := newMininet(t)
	m.Stdin = strings.NewReader(strings.Join(block, "\n") + "\n")
	out := must(io.ReadAll(m.startWithOutput(t)))(t)
	err := m.Wait()
	for _, want := range []string{"0% dropped", "3 received", "remote", "VRF"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v; no %q in:\n%s", err, want, out)
		}
	}
	m.nothingLeft(t)
}
