package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// FRR is a zebra and a bgpd in one namespace. Their sockets, configurations and
// logs are in a folder of the lab, so that neither the machine's own FRR nor
// another lab's is touched.
type FRR struct {
	NS     *Namespace
	Folder string

	lab  *Lab
	vrfs []LeafVRF
	bfd  bool // bfdd runs, and outlives bgpd

	zebra, bgpd, bfdd *Process
}

// frrDaemons is where Debian and the project's own packages put the daemons.
var frrDaemons = "/usr/lib/frr"

// NewFRR prepares zebra and bgpd in a namespace with bgpd's configuration. If
// there are VRFs, their namespaces are what FRR takes for VRFs.
func (l *Lab) NewFRR(n *Namespace, short, bgpConfig string, vrfs ...LeafVRF) (*FRR, error) {
	f := &FRR{NS: n, Folder: filepath.Join(l.Dir, short), lab: l, vrfs: vrfs, bfd: strings.Contains(bgpConfig, " bfd")}
	files := map[string]string{"bgpd.conf": bgpConfig, "bfdd.conf": "", "zebra.conf": zebraConfig(vrfs),
		"vtysh.conf": "no service integrated-vtysh-config\n"}
	return f, f.writeFolder(files)
}

// StartFRR prepares and starts both.
func (l *Lab) StartFRR(ctx context.Context, n *Namespace, short, bgpConfig string) (*FRR, error) {
	f, err := l.NewFRR(n, short, bgpConfig)
	if err != nil {
		return nil, err
	}
	return f, f.Start(ctx)
}

// Start starts zebra and bgpd.
func (f *FRR) Start(ctx context.Context) (err error) {
	more := []string{"-s", "90000000"}
	if len(f.vrfs) > 0 {
		more = append(more, "--vrfwnetns")
	}
	if f.zebra, err = f.start("zebra", more...); err != nil {
		return err
	}
	if err := f.await(ctx, "zebra", f.zebra); err != nil {
		return err
	}
	if f.bfd {
		if f.bfdd, err = f.start("bfdd", "--bfdctl", filepath.Join(f.Folder, "bfdd.sock")); err != nil {
			return err
		}
		if err := f.await(ctx, "bfdd", f.bfdd); err != nil {
			return err
		}
	}
	return f.StartBGP(ctx)
}

// writeFolder makes the folder and gives it to the user that the daemons become.
func (f *FRR) writeFolder(files map[string]string) error {
	u, err := user.Lookup("frr")
	if err != nil {
		return fmt.Errorf("FRR is not installed: %w", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Mkdir(f.Folder, 0o755); err != nil {
		return fmt.Errorf("make FRR's folder: %w", err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(f.Folder, name), []byte(text), 0o640); err != nil {
			return fmt.Errorf("write FRR's configuration: %w", err)
		}
	}
	return filepath.WalkDir(f.Folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, gid)
	})
}

func (f *FRR) start(daemon string, more ...string) (*Process, error) {
	in := func(name string) string { return filepath.Join(f.Folder, name) }
	args := []string{
		filepath.Join(frrDaemons, daemon), "-u", "frr", "-g", "frr", "-f", in(daemon + ".conf"), "-i", in(daemon + ".pid"),
		"-z", in("zserv.api"), "--vty_socket", f.Folder, "-A", "127.0.0.1", "-P", "0", "--log", "stdout", "--log-level",
		"warnings",
	}
	args = append(f.seeingVRFs(), append(args, more...)...)
	p, err := f.lab.Start(f.NS, filepath.Base(f.Folder)+"-"+daemon, args...)
	if err == nil {
		f.lab.onClose(func() error { _ = p.Kill(); removeCrashLog(p.PID()); return nil })
	}
	return p, err
}

// await waits until a daemon answers on its socket.
func (f *FRR) await(ctx context.Context, daemon string, p *Process) error {
	return Eventually(ctx, patience, daemon+" answers", func(ctx context.Context) error {
		if err := p.Running(); err != nil {
			return err
		}
		_, err := f.vtysh(ctx, "-d", daemon, "-c", "show version")
		return err
	})
}

// StartBGP starts bgpd again after StopBGP or KillBGP.
func (f *FRR) StartBGP(ctx context.Context) (err error) {
	if f.bgpd, err = f.start("bgpd"); err != nil {
		return err
	}
	return f.await(ctx, "bgpd", f.bgpd)
}

// StopBGP ends bgpd in good order: it tells its peers.
func (f *FRR) StopBGP() error { return f.bgpd.Stop() }

// KillBGP ends bgpd without a word to its peers but for the kernel's TCP reset.
func (f *FRR) KillBGP() error { return f.bgpd.Kill() }

// Kill ends all daemons so. Start starts them again.
func (f *FRR) Kill() error {
	err := errors.Join(f.bgpd.Kill(), f.zebra.Kill())
	if f.bfd {
		err = errors.Join(err, f.bfdd.Kill())
	}
	return err
}

func (f *FRR) vtysh(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"--vty_socket", f.Folder, "--config_dir", f.Folder}, args...)
	cmd := exec.CommandContext(ctx, "vtysh", args...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("vtysh %s: %w: %s", args[len(args)-1], err, out)
	}
	return string(out), nil
}

// Show runs one command of FRR's shell, such as "show evpn mac vni all".
func (f *FRR) Show(ctx context.Context, command string) (string, error) {
	return f.vtysh(ctx, "-c", command)
}

// JSON runs a show command, which gets "json" appended, and decodes its answer.
func (f *FRR) JSON(ctx context.Context, command string, into any) error {
	out, err := f.Show(ctx, command+" json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("%s json: %w in %.200q", command, err, out)
	}
	return nil
}

// Configure enters configuration commands, one a line.
func (f *FRR) Configure(ctx context.Context, lines ...string) error {
	args := []string{"-c", "configure terminal"}
	for _, line := range lines {
		args = append(args, "-c", line)
	}
	out, err := f.vtysh(ctx, args...)
	if err == nil && strings.Contains(out, "%") {
		err = fmt.Errorf("FRR refuses %q: %s", lines, out)
	}
	return err
}
