package main

import (
	"os"
	"strings"
	"testing"
)

func TestThePageHasWhatIsConfigured(t *testing.T) {
	page, err := os.ReadFile("../../docs/route-speed.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"devices": frrLinks(), "bgpd": frrConfig()} {
		if !strings.Contains(string(page), "```\n"+text+"```\n") {
			t.Errorf("docs/route-speed.md has other %s than\n%s", name, text)
		}
	}
}
