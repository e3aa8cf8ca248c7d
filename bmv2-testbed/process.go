package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Process is a long-running program of a lab, with its output in a file.
type Process struct {
	Name string
	Log  string // path of its output

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// grace is what a process gets to end by itself: one that does not end at all is
// rare, one that others keep from the processor is not.
const grace = 20 * time.Second

// Start starts a program in a namespace. It has a process group of its own, so
// that Ctrl-C reaches the lab, which ends it in order, and not the program.
func (l *Lab) Start(n *Namespace, name string, args ...string) (*Process, error) {
	return l.start(name, append([]string{"ip", "netns", "exec", n.Name}, args...))
}

// StartSharing does what Start does for a program that makes namespaces itself:
// `ip netns exec` would give it mounts of its own, where they end with it.
func (l *Lab) StartSharing(n *Namespace, name string, args ...string) (*Process, error) {
	return l.start(name, append([]string{"nsenter", "--net=" + filepath.Join(netnsFolder, n.Name)}, args...))
}

func (l *Lab) start(name string, args []string) (*Process, error) {
	p := &Process{Name: name, Log: filepath.Join(l.Dir, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	// No context ends it: Close does, after what depends on it.
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Dir = l.Dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // cmd.ProcessState says how it ended
		close(p.done)
	}()
	l.onClose(p.Stop)
	return p, nil
}

// PID is the process's id: what enters the namespace becomes the program.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// errEnded is of a process that should run: waiting for it is in vain.
var errEnded = errors.New("has ended")

// Running reports whether the process has not ended, and how it did otherwise.
func (p *Process) Running() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s %w (%s); its last words: %s", p.Name, errEnded, p.cmd.ProcessState, p.Tail(800))
	default:
		return nil
	}
}

// Stop asks the process to end, insists after a while, and waits for its end.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

// Kill ends the process without a chance to say goodbye.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

func (p *Process) end(sig syscall.Signal) error {
	_ = p.Resume()
	for _, s := range []syscall.Signal{sig, syscall.SIGKILL} {
		if err := p.Signal(s); err != nil {
			return err
		}
		select {
		case <-p.done:
			return nil
		case <-time.After(grace):
		}
	}
	return fmt.Errorf("%s (pid %d) does not end", p.Name, p.PID())
}

// Signal sends a signal to the process, if it has not ended.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %v to %s: %w", s, p.Name, err)
	}
	return nil
}

// Pause stops the process (SIGSTOP), and returns when each of its threads has
// stopped: those that were running when the signal came go on until they are told.
// Resume lets it go on.
func (p *Process) Pause(ctx context.Context) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := Eventually(ctx, patience, "all threads of "+p.Name+" stop", func(context.Context) error {
		if err := p.Running(); err != nil {
			return err
		}
		return allStopped(p.PID())
	})
	if err != nil {
		return errors.Join(err, p.Resume())
	}
	return nil
}

// Resume undoes Pause.
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }

// allStopped says which thread of a process is not stopped (proc_pid_stat(5): the
// state follows the name, which is in parentheses and may hold some).
func allStopped(pid int) error {
	folder := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("list the threads of %d: %w", pid, err)
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(filepath.Join(folder, thread.Name(), "stat"))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended since
		}
		if err != nil {
			return fmt.Errorf("read the state of a thread: %w", err)
		}
		_, state, _ := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(" "))
		if !bytes.HasPrefix(state, []byte("T")) {
			return fmt.Errorf("thread %s of %d is in state %.1s", thread.Name(), pid, state)
		}
	}
	return nil
}

// Tail gives the last bytes of the process's output.
func (p *Process) Tail(size int) string {
	out, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	if len(out) > size {
		out = out[len(out)-size:]
	}
	return string(bytes.TrimSpace(out))
}

// patience is what something gets that takes milliseconds when the machine is
// idle, and must not fail when ten others want each of its processors.
const patience = 2 * time.Minute

// Eventually calls f until it gives no error. When the time is over the error
// says what was awaited and f's last answer.
func Eventually(ctx context.Context, within time.Duration, what string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	start := time.Now()
	var last error
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if errors.Is(err, errEnded) {
			return fmt.Errorf("%s: %w", what, err)
		}
		if last == nil || ctx.Err() == nil { // not one that only says the time is over
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %v: %w", what, within, last)
		// What takes long is asked less often: to ask is work for the machine too.
		case <-time.After(min(max(20*time.Millisecond, time.Since(start)/20), time.Second)):
		}
	}
}
