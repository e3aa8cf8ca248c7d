package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/p4evpn/p4evpn/p4"
)

// switchKind says which switch runs the P4 program.
type switchKind string

const (
	embedded switchKind = "p4evpn switch"
	bmv2     switchKind = "BMv2"
)

// bmv2Variable names a simple_switch_grpc other than the one on PATH, such as a
// build that is optimised and does not log.
const bmv2Variable = "P4EVPN_BMV2"

func bmv2Program() string { return cmp.Or(os.Getenv(bmv2Variable), "simple_switch_grpc") }

// program gives the path of a switch's program; a skip where there is no BMv2.
func (b *bench) program(ctx context.Context, kind switchKind) (string, error) {
	if kind == bmv2 {
		path, err := exec.LookPath(bmv2Program())
		if err != nil {
			return "", skip(bmv2Program() + " is not here: put BMv2's simple_switch_grpc on PATH or name it in " + bmv2Variable)
		}
		return path, nil
	}
	if b.binary != "" {
		return b.binary, nil
	}
	path := filepath.Join(b.dir, "p4evpn")
	if err := build(ctx, path); err != nil {
		return "", err
	}
	b.binary = path
	return path, nil
}

// build makes p4evpn, with more arguments of go build.
func build(ctx context.Context, path string, more ...string) error {
	args := append(append([]string{"build"}, more...), "-o", path, "github.com/p4evpn/p4evpn/cmd/p4evpn")
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build p4evpn: %w: %s", err, out)
	}
	return nil
}

// switchOptions say how a switch is started.
type switchOptions struct {
	kind    switchKind
	address string // of P4Runtime
	thrift  uint16 // port of BMv2's own control
	ports   []string
	runs    *program // what it is told to run; nil for what is shipped
	// inside gives the command that runs a program where the ports are; nil
	// for here.
	inside func(args ...string) *exec.Cmd
}

// startSwitch starts a switch without a program. It ends with stop, or with ctx.
func (b *bench) startSwitch(ctx context.Context, o switchOptions) (*process, error) {
	path, err := b.program(ctx, o.kind)
	if err != nil {
		return nil, err
	}
	args := []string{path}
	common := []string{"--no-p4", "--device-id", "1"}
	for _, p := range o.ports {
		common = append(common, "-i", p)
	}
	own := []string{"--grpc-server-addr", o.address, "--cpu-port", fmt.Sprint(p4.CPUPort), "--drop-port",
		fmt.Sprint(p4.DropPort)}
	if o.kind == bmv2 {
		args = append(append(args, common...), "--thrift-port", fmt.Sprint(o.thrift), "--log-level", "off", "--")
		own = append(own, "--max-mc-groups", "8192", "--max-l1-entries", "8192", "--max-l2-entries", "16384")
	} else {
		args = append(append(args, "switch", "--log-level", "warn"), common...)
	}
	args = append(args, own...)
	inside := o.inside
	if inside == nil {
		inside = func(args ...string) *exec.Cmd { return exec.CommandContext(ctx, args[0], args[1:]...) }
	}
	return startProcess(string(o.kind), inside(args...), filepath.Join(b.dir, "switch.log"))
}

// deepenQueues lets BMv2's queues hold a batch of frames: its own 64 frames a
// port lose bursts that it could carry. Without its CLI they stay as they are.
func deepenQueues(o switchOptions) {
	if _, err := exec.LookPath("simple_switch_CLI"); o.kind != bmv2 || err != nil {
		return
	}
	cmd := o.inside("simple_switch_CLI", "--thrift-port", fmt.Sprint(o.thrift))
	cmd.Stdin = strings.NewReader("set_queue_depth 4096\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: BMv2's queues stay short: %v: %s\n", err, out)
	}
}

// freePort gives a TCP port of the loopback that nobody listens at now.
func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer func() { _ = l.Close() }()
	return netip.ParseAddrPort(l.Addr().String())
}

// process is a program that this run started.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
}

// startProcess starts a command in a process group of its own, so that Ctrl-C
// reaches us, who end it, and not the program.
func startProcess(name string, cmd *exec.Cmd, log string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = file.Close() }()
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, log: log, cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ends is in its log
		close(p.done)
	}()
	return p, nil
}

// stop asks the process to end, insists after a while, and waits for its end.
func (p *process) stop() {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			fmt.Fprintf(os.Stderr, "bench: end %s (pid %d): %v\n", p.name, p.cmd.Process.Pid, err)
		}
		select {
		case <-p.done:
			return
		case <-time.After(3 * time.Second):
		}
	}
	<-p.done
}

// lastWords says why a process ended, nil if it did not.
func (p *process) lastWords() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	text, err := os.ReadFile(p.log)
	if err != nil {
		text = []byte(err.Error())
	}
	return fmt.Errorf("%s has ended: %s", p.name, text[max(0, len(text)-800):])
}
