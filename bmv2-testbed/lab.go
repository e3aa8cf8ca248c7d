package testbed

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Lab owns what one run makes. Its methods may be called from any goroutine.
type Lab struct {
	Dir string // run directory: configurations and logs

	prefix string // of the names of its namespaces

	mu   sync.Mutex
	undo []func() error
}

const (
	labPrefix   = "p4lab-"
	netnsFolder = "/run/netns"
)

// labName matches what a Lab names, and captures the process that made it.
var labName = regexp.MustCompile(`^` + labPrefix + `([0-9]+)-[0-9a-f]{6}(?:-|$)`)

// NewLab makes an empty lab after sweeping what dead runs left. It needs root.
func NewLab() (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a lab needs root: it makes network namespaces")
	}
	if err := sweep(); err != nil {
		return nil, fmt.Errorf("sweep the leftovers of earlier runs: %w", err)
	}
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	name := fmt.Sprintf("%s%d-%s", labPrefix, os.Getpid(), hex.EncodeToString(b[:]))
	l := &Lab{Dir: filepath.Join(os.TempDir(), name), prefix: name + "-"}
	if err := os.Mkdir(l.Dir, 0o755); err != nil { // FRR's daemons read it as their own user
		return nil, fmt.Errorf("make the run directory: %w", err)
	}
	l.onClose(func() error { return os.RemoveAll(l.Dir) })
	return l, nil
}

// onClose notes what Close has to do; the last noted is done first.
func (l *Lab) onClose(f func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.undo = append(l.undo, f)
}

// Close removes everything the lab made. It may be called more than once.
func (l *Lab) Close() error {
	l.mu.Lock()
	undo := l.undo
	l.undo = nil
	l.mu.Unlock()
	var errs []error
	for _, f := range slices.Backward(undo) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// sweep removes the namespaces, processes and files of labs whose process is
// gone.
func sweep() error {
	var errs []error
	for _, name := range deadLabs(netnsFolder) {
		killAllIn(name)
		errs = append(errs, deleteNamespace(name))
	}
	for _, name := range deadLabs(os.TempDir()) {
		errs = append(errs, os.RemoveAll(filepath.Join(os.TempDir(), name)))
	}
	return errors.Join(errs...)
}

func deadLabs(folder string) []string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil // no such folder: nothing was left
	}
	var dead []string
	for _, e := range entries {
		m := labName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		pid, err := strconv.Atoi(m[1])
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			dead = append(dead, e.Name())
		}
	}
	return dead
}

// deleteNamespace unmounts and removes a named namespace; the devices in it go
// with it. Another run that sweeps at the same time may have been first.
func deleteNamespace(name string) error {
	out, err := exec.Command("ip", "netns", "delete", name).CombinedOutput()
	if _, gone := os.Lstat(filepath.Join(netnsFolder, name)); err != nil && gone == nil {
		return fmt.Errorf("delete namespace %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// removeNamespaces ends what runs in the namespaces whose names begin with a
// prefix, and deletes them.
func removeNamespaces(prefix string) error {
	entries, err := os.ReadDir(netnsFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			killAllIn(e.Name())
			errs = append(errs, deleteNamespace(e.Name()))
		}
	}
	return errors.Join(errs...)
}

// killAllIn ends every process whose network namespace is the named one: only
// what a lab started can be there, a daemon's child too.
func killAllIn(name string) {
	var ns syscall.Stat_t
	if err := syscall.Stat(filepath.Join(netnsFolder, name), &ns); err != nil {
		return // gone already
	}
	found, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range found {
		var st syscall.Stat_t
		if syscall.Stat(path, &st) != nil || st.Ino != ns.Ino || st.Dev != ns.Dev {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err == nil && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
			removeCrashLog(pid)
		}
	}
}

// removeCrashLog removes the folder that an FRR daemon makes for its crash log
// and leaves behind when it is killed.
func removeCrashLog(pid int) {
	found, _ := filepath.Glob(fmt.Sprintf("/var/tmp/frr/*.%d", pid))
	for _, folder := range found {
		_ = os.RemoveAll(folder) // litter at worst
	}
}
