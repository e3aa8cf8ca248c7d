// Package netnstest keeps apart the tests that make network namespaces and
// links: a package whose tests do calls Main or Alone in its TestMain. It knows
// nothing of what is tested.
package netnstest

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const inNamespace = "P4EVPN_TEST_IN_NAMESPACE"

// Main is the TestMain of a package whose tests run in a network namespace and a
// BPF file system of their own, which vanish with the process. Without root the
// tests run where they are, and those that Need a namespace are skipped.
func Main(m *testing.M) {
	if os.Getenv(inNamespace) == "1" {
		ownBPF()
		_ = os.Setenv(inNamespace, "2") // for processes that tests start from their own binary
	}
	if os.Getuid() != 0 || os.Getenv(inNamespace) != "" {
		os.Exit(m.Run())
	}
	Alone()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "tests in a network namespace:", err)
		os.Exit(1)
	}
}

// ownBPF mounts a BPF file system that no other process sees. A kernel without
// one has nothing to mount it at.
func ownBPF() {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		fmt.Fprintln(os.Stderr, "tests in a mount namespace:", err)
		os.Exit(1)
	}
	_ = syscall.Mount("bpf", "/sys/fs/bpf", "bpf", 0, "")
}

// Need skips a test that has no namespace of its own.
func Need(t testing.TB) {
	t.Helper()
	if os.Getenv(inNamespace) == "" {
		t.Skip("SKIP: not root: cannot make a network namespace and veth pairs")
	}
}

// namespaces is what Alone locks until the process ends.
var namespaces *os.File

// Alone waits until no other package's tests make namespaces, and keeps others
// waiting until this process ends, however it does. `go test ./...` runs packages
// side by side; with a lab in each, they take processor time from each other until
// BGP timers and waits run out. The lock is on the network namespace that both
// were started in, so that there is no file to leave behind. Without root nobody
// makes namespaces, and nobody waits.
func Alone() {
	if os.Getuid() != 0 || namespaces != nil {
		return
	}
	if err := lock("/proc/self/ns/net"); err != nil {
		fmt.Fprintln(os.Stderr, "waiting for other tests in network namespaces:", err)
		os.Exit(1)
	}
}

// lock holds a file's lock until the process ends.
func lock(path string) error {
	var err error
	if namespaces, err = os.Open(path); err != nil {
		return err
	}
	fd := int(namespaces.Fd())
	if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		return nil
	}
	// Shown where the wait lasts so long that the tests are killed.
	fmt.Fprintln(os.Stderr, "waiting until another package's tests in network namespaces have ended")
	for {
		if err := syscall.Flock(fd, syscall.LOCK_EX); err != syscall.EINTR {
			return err
		}
	}
}
