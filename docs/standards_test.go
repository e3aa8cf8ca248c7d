package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testNames are those of all tests and fuzz tests.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "..":
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			found[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEachRowOfStandardsIsProvedByATest(t *testing.T) {
	text, err := os.ReadFile("standards.md")
	if err != nil {
		t.Fatal(err)
	}
	names, quoted := testNames(t), regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	rows := 0
	for line := range strings.Lines(string(text)) {
		mentioned := quoted.FindAllStringSubmatch(line, -1)
		for _, m := range mentioned {
			if !names[m[1]] {
				t.Errorf("there is no %s", m[1])
			}
		}
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.Contains(line, "| test |") {
			continue
		}
		if rows++; len(mentioned) == 0 && !strings.Contains(line, "not done") {
			t.Errorf("no test proves %s", line)
		}
	}
	if rows < 60 {
		t.Errorf("only %d rows: this test looks at the wrong file", rows)
	}
}
