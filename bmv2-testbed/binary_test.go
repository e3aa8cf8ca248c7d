package testbed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// program makes an executable file in a new folder, and gives its path.
func program(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	check(t, os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755))
	return path
}

func TestTheProgramToShowIsTheOneThatIsNamedElseBesideTheDemoElseOnPath(t *testing.T) {
	self := must(os.Executable())(t)
	onPath, named := program(t, "p4evpn"), program(t, "p4evpn")
	t.Setenv("PATH", filepath.Dir(onPath))
	if found := must(findBinary(""))(t); found != onPath {
		t.Errorf("found %s, want %s of PATH", found, onPath)
	}
	beside := filepath.Join(filepath.Dir(self), "p4evpn")
	check(t, os.WriteFile(beside, []byte("#!/bin/sh\n"), 0o755))
	t.Cleanup(func() { _ = os.Remove(beside) })
	if found := must(findBinary(""))(t); found != beside {
		t.Errorf("found %s, want %s beside this program", found, beside)
	}
	t.Chdir(filepath.Dir(named))
	if found := must(findBinary("./p4evpn"))(t); found != named {
		t.Errorf("found %s, want %s", found, named)
	}
}

func TestAProgramToShowThatIsNotThereIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	notExecutable := filepath.Join(t.TempDir(), "p4evpn")
	check(t, os.WriteFile(notExecutable, nil, 0o644))
	for named, words := range map[string]string{"": "make build", "./none": "./none", notExecutable: notExecutable} {
		if found, err := findBinary(named); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: found %q, error %v; want one with %q", named, found, err, words)
		}
	}
}
