package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestOnlyRegularFilesOfABoundedSizeAreRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, size := range map[string]int{"empty": 0, "full": 10, "more": 11} {
		if err := os.WriteFile(at(name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(syscall.Mkfifo(at("fifo"), 0o600), os.Mkdir(at("folder"), 0o700),
		os.Symlink("full", at("link")), os.Symlink("/dev/zero", at("link to zero"))); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		at("empty"): "", at("full"): "", at("link"): "",
		at("more"): "larger than 10 bytes", at("fifo"): "not a regular file", at("folder"): "not a regular file",
		"/dev/zero": "not a regular file", at("link to zero"): "not a regular file",
	} {
		_, err := Read(path, 10)
		if (err == nil) != (says == "") || err != nil && (!strings.Contains(err.Error(), says) ||
			!strings.Contains(err.Error(), path)) {
			t.Errorf("%s: %v, want one that says %q", path, err, says)
		}
	}
	if _, err := Read(at("missing"), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// What /proc shows has size 0 and content all the same.
func TestAFileThatIsLargerThanItSaysIsFound(t *testing.T) {
	if _, err := Read("/proc/self/status", 10); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Error(err)
	}
}
