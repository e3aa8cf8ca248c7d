package netnstest

import (
	"bufio"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

const asPackage = "P4EVPN_TEST_AS_PACKAGE"

// TestMain is, for a child of the test, that of a package with labs.
func TestMain(m *testing.M) {
	if os.Getenv(asPackage) != "" {
		Alone()
		fmt.Fprintln(os.Stderr, "alone")
		_, _ = io.Copy(io.Discard, os.Stdin) // the tests take as long as their parent likes
		return
	}
	os.Exit(m.Run())
}

func TestASecondPackageWaitsUntilTheFirstHasEnded(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP: not root: nobody makes namespaces")
	}
	// In a namespace whose lock nobody else holds: that of the test's own package
	// may be held all the while. The thread goes with the test.
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	first, end := startPackage(t)
	first("alone")
	second, _ := startPackage(t)
	second("waiting until another package's tests in network namespaces have ended")
	end()
	second("alone")
}

// startPackage runs this binary as the tests of a package. It returns what
// expects its next line, and what ends it.
func startPackage(t *testing.T) (expect func(line string), end func()) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asPackage+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	expect = func(line string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != line {
			t.Fatalf("the package says %q, not %q", lines.Text(), line)
		}
	}
	return expect, func() { in.Close() }
}

// makesLinks are imports of tests that make namespaces or links.
var makesLinks = regexp.MustCompile(`^"github.com/(vishvananda/(netns|netlink)|p4evpn/p4evpn/bmv2-testbed)"$`)

func TestPackagesThatMakeNamespacesRunAlone(t *testing.T) {
	needs, calls := map[string]bool{"bmv2-testbed": true}, map[string]bool{}
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		for _, i := range f.Imports {
			needs[dir] = needs[dir] || makesLinks.MatchString(i.Path.Value)
		}
		calls[dir] = calls[dir] || regexp.MustCompile(`\bnetnstest\.(Main|Alone)\(`).Match(text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, need := range needs {
		if need && !calls[dir] {
			t.Errorf("the tests of %s make namespaces or links: their TestMain is to call netnstest.Main or Alone", dir)
		}
	}
}
