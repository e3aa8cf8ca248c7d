package packaging

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// need skips a test where a program is missing, or we are not root.
func need(t *testing.T, programs ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("it installs a Debian")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip("needs ", p)
		}
	}
}

// run runs a command in the folder of the tree, with more of an environment, and
// returns what it wrote to standard output.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = "..", append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// of is the environment of a package's version, whose sources are of 2026.
func of(version string) []string {
	return []string{"VERSION=" + version, "SOURCE_DATE_EPOCH=1767225600"}
}

// made runs a script that makes a package or an image, and moves that into a folder.
func made(t *testing.T, script, version, folder string) (path string) {
	t.Helper()
	words := strings.Fields(run(t, of(version), script))
	name := strings.Trim(words[len(words)-1], "'.")
	path = filepath.Join(folder, filepath.Base(name))
	run(t, nil, "mv", name, path)
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestThePackageIsReproducibleAndRunsInADebianOfItsOwn(t *testing.T) {
	need(t, "dpkg-deb", "lintian", "debootstrap", "systemd-nspawn")
	root, err := os.MkdirTemp("/var/tmp", "p4evpn-package-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil { // it becomes /, and the gateway is not root
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "debootstrap", "--variant=minbase",
		"--include=systemd,systemd-sysv,dbus,iproute2,iputils-ping", "bookworm", root, mirror(t)).CombinedOutput(); err != nil {
		t.Skipf("SKIP: debootstrap makes no Debian of that mirror here: %v\n%s", err, out)
	}
	packages := filepath.Join(root, "root/deb")
	if err := os.Mkdir(packages, 0o755); err != nil {
		t.Fatal(err)
	}
	first := made(t, "packaging/deb.sh", "0.0.1", packages)
	again := made(t, "packaging/deb.sh", "0.0.1", t.TempDir())
	if !bytes.Equal(read(t, first), read(t, again)) {
		t.Error("two packages of the same sources differ")
	}
	if said := run(t, nil, "lintian", "--allow-root", "--fail-on", "none", first); said != "" {
		t.Errorf("lintian says:\n%s", said)
	}
	withOtherConfiguration(t, made(t, "packaging/deb.sh", "0.0.2", packages), "0.0.3")
	boots(t, root)
}

// mirror is that of this machine's Debian.
func mirror(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(run(t, nil, "apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)",
		"Created-By: Packages")) {
		if uri, ok := strings.CutPrefix(strings.TrimSpace(line), "bookworm "); ok {
			return uri
		}
	}
	t.Skip("apt knows no mirror of Debian 12 here")
	return ""
}

// withOtherConfiguration makes a later version of a package, beside it, that brings
// another configuration along.
func withOtherConfiguration(t *testing.T, deb, version string) {
	t.Helper()
	tree := t.TempDir()
	run(t, nil, "dpkg-deb", "-R", deb, tree)
	for path, edit := range map[string][2]string{
		"/DEBIAN/control":         {"Version: 0.0.2\n", "Version: " + version + "\n"},
		"/etc/p4evpn/p4evpn.yaml": {"vteps:\n", "accept_unknown_vteps: false\nvteps:\n"},
	} {
		before := string(read(t, tree+path))
		after := strings.Replace(before, edit[0], edit[1], 1)
		if after == before {
			t.Fatalf("%s lacks %q", path, edit[0])
		}
		write(t, tree+path, after)
	}
	run(t, nil, "dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, strings.Replace(deb, "0.0.2", version, 1))
}

// boots boots a Debian, in which testdata/inside.sh then runs. The claims are its.
func boots(t *testing.T, root string) {
	t.Helper()
	script := read(t, "testdata/inside.sh")
	write(t, filepath.Join(root, "root/inside.sh"), string(script))
	write(t, filepath.Join(root, "etc/systemd/system/inside.service"), `[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/bash /root/inside.sh
ExecStopPost=/usr/bin/systemctl poweroff --no-block
StandardOutput=file:/root/log
StandardError=inherit
[Install]
WantedBy=multi-user.target
`)
	run(t, nil, "chroot", root, "systemctl", "enable", "inside.service")
	console, err := exec.CommandContext(t.Context(), "timeout", "--kill-after=5", "240", "systemd-nspawn",
		"--quiet", "-D", root, "--register=no", "--keep-unit", "--private-network", "--capability=CAP_BPF,CAP_NET_ADMIN", "-b").CombinedOutput()
	log := read(t, filepath.Join(root, "root/log"))
	claims := regexp.MustCompile(`(?m)^ok (.+)$`).FindAllSubmatch(script, -1)
	for _, claim := range claims {
		if !bytes.Contains(log, []byte("\nok: "+string(claim[1])+"\n")) {
			t.Logf("%s%v", console, err)
			t.Fatalf("not seen: %s\n%s", claim[1], log)
		}
	}
	if len(claims) == 0 {
		t.Error("testdata/inside.sh claims nothing")
	}
}
