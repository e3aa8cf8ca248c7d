package packaging

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// pod is a network namespace with two hosts behind it, and the folders that containers
// in it share.
type pod struct {
	*testing.T
	name, image string
	folder      string // of the configuration, sockets and store
	binary      string // p4evpn, to ask the gateway by its socket
}

func newPod(t *testing.T, image string) *pod {
	t.Helper()
	folder, err := os.MkdirTemp("", "p4evpn-image-") // podman refuses long paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &pod{T: t, name: "p4evpn-image-" + strconv.Itoa(os.Getpid()), image: image, folder: folder}
	p.binary = filepath.Join(p.folder, "p4evpn")
	run(t, of("0.0.1"), "packaging/build.sh", p.binary)
	for _, folder := range []string{"etc", "run", "store"} {
		if err := os.Mkdir(filepath.Join(p.folder, folder), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(p.folder, folder), 0o777); err != nil { // the containers' user is not ours
			t.Fatal(err)
		}
	}
	p.namespace(p.name)
	for i, n := range []string{"1", "2"} {
		host := p.host(i)
		p.namespace(host)
		run(t, nil, "ip", "-n", p.name, "link", "add", "vf"+n, "type", "veth", "peer", "name", "eth0", "netns", host)
		run(t, nil, "ip", "-n", p.name, "link", "set", "vf"+n, "up")
		run(t, nil, "ip", "-n", host, "link", "set", "eth0", "up")
		run(t, nil, "ip", "-n", host, "address", "add", "10.10.0.1"+n+"/24", "dev", "eth0")
	}
	return p
}

func (p *pod) host(i int) string { return p.name + "-h" + strconv.Itoa(i+1) }

func (p *pod) namespace(name string) {
	p.Helper()
	run(p.T, nil, "ip", "netns", "add", name)
	p.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", name).Run() })
}

// configure makes the package's configuration one with two ports.
func (p *pod) configure(more string) {
	p.Helper()
	c := string(read(p.T, "p4evpn.yaml")) + `
ports:
  - {name: port1, number: 1, interface: vf1}
  - {name: port2, number: 2, interface: vf2}
` + more
	write(p.T, filepath.Join(p.folder, "etc/p4evpn.yaml"), c)
}

// podman is the command with a storage of its own. Its default limits are higher than
// some machines let root set; runc is the runtime that takes hybrid control groups.
func (p *pod) podman(args ...string) *exec.Cmd {
	conf := filepath.Join(p.folder, "containers.conf")
	write(p.T, conf, "[containers]\ndefault_ulimits = []\n")
	cmd := exec.Command("podman", append([]string{"--root", filepath.Join(p.folder, "graph"),
		"--runroot", filepath.Join(p.folder, "podman"), "--storage-driver", "vfs", "--events-backend", "file",
		"--cgroup-manager", "cgroupfs", "--runtime", "runc"}, args...)...)
	cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+conf)
	return cmd
}

// starts runs a container until the test ends.
func (p *pod) starts(name string, flags []string, command ...string) {
	p.Helper()
	args := append([]string{"run", "--rm", "--name", name, "--network", "ns:/run/netns/" + p.name, "--read-only",
		"--cap-drop", "ALL", "-v", p.folder + "/etc:/etc/p4evpn:ro", "-v", p.folder + "/run:/run/p4evpn",
		"-v", p.folder + "/store:/var/lib/p4evpn"}, flags...)
	cmd := p.podman(append(append(args, "oci-archive:"+p.image), command...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		_ = p.podman("stop", "--time", "5", name).Run()
		_ = cmd.Wait()
		if p.Failed() {
			p.Logf("%s:\n%s", name, out.Bytes())
		}
	})
}

// eventually repeats a command until it succeeds.
func (p *pod) eventually(name string, args ...string) {
	p.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			p.Fatalf("not within 30 s: %s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
}

func (p *pod) gateway(args ...string) {
	p.Helper()
	run(p.T, nil, p.binary, append([]string{"--api", "unix:" + p.folder + "/run/api.sock"}, args...)...)
}

// The flags are those of docs/install.md.
func TestTheImageIsReproducibleAndRunsWithTheCapabilitiesOfTheManual(t *testing.T) {
	need(t, "buildah", "podman", "runc", "ip", "ping")
	image := made(t, "packaging/image.sh", "0.0.1", t.TempDir())
	again := made(t, "packaging/image.sh", "0.0.1", t.TempDir())
	if !bytes.Equal(read(t, image), read(t, again)) {
		t.Error("two images of the same sources differ")
	}
	manual := string(read(t, "../docs/install.md"))
	flags := func(line string) []string {
		t.Helper()
		if !strings.Contains(manual, line) {
			t.Errorf("docs/install.md does not have %q", line)
		}
		return strings.Fields(line)
	}
	for name, c := range map[string]struct{ both, gateway, config string }{
		"without the slow path": {"--user 997:997", "--cap-add NET_ADMIN,NET_BIND_SERVICE",
			"slow_path: {disabled: true}\n"},
		"with the slow path": {"--security-opt unmask=/proc/sys", "--cap-add NET_ADMIN,NET_BIND_SERVICE,SYS_ADMIN " +
			"--device /dev/net/tun --tmpfs /run/netns", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, image)
			p.configure(c.config)
			p.starts("switch", append(flags(c.both), flags("--cap-add NET_ADMIN,NET_RAW,BPF")...), "switch", "-c",
				"/etc/p4evpn/p4evpn.yaml")
			p.starts("gateway", append(flags(c.both), flags(c.gateway)...))
			p.eventually(p.binary, "--api", "unix:"+p.folder+"/run/api.sock", "list", "switch-port")
			p.gateway("create", "vrf", "blue-vrf", "--vni", "5000", "--loopback-ip-prefix", "10.0.0.1/32",
				"--vtep-ip-prefix", "10.0.0.1/32")
			p.gateway("create", "bridge", "blue-lan", "--vlan-id", "10", "--vni", "100", "--vtep-ip-prefix", "10.0.0.1/32")
			for _, n := range []string{"1", "2"} {
				p.gateway("create", "port", "port"+n, "--mac-address", "02:00:00:00:00:0"+n, "--ptype", "access",
					"--logical-bridges", "blue-lan")
			}
			p.gateway("create", "svi", "blue-svi", "--vrf", "blue-vrf", "--logical-bridge", "blue-lan",
				"--mac-address", "02:00:5e:00:00:01", "--gw-ip-prefix", "10.10.0.1/24")
			p.eventually("ip", "netns", "exec", p.host(0), "ping", "-c", "1", "-W", "1", "10.10.0.12")
			if c.config == "" {
				p.eventually("ip", "netns", "exec", p.host(0), "ping", "-c", "1", "-W", "1", "10.10.0.1")
			}
		})
	}
}
