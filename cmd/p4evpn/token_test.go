package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/controller/intent"
)

func TestATokenIsPrintedAloneOrWhyThereIsNone(t *testing.T) {
	store := intent.NewMemory()
	t.Cleanup(func() { _ = store.Close() })
	dir := t.TempDir()
	address := serveStore(t, api.Config{Store: store, View: shown,
		WebListen: []string{"unix:" + filepath.Join(dir, "page")}, TokenKey: filepath.Join(dir, "token.key")})
	none := serveStore(t, api.Config{Store: store, View: shown})
	for args, want := range map[string]string{
		"--for 24h --holder alice": "p4evpn_",
		"":                         "p4evpn_",
		"--role operator":          "role: \"operator\": want viewer",
		"--for 0s":                 "lifetime: 0s: want 1s to 2160h0m0s",
		"--holder a/b":             "holder: \"a/b\": want at most 64 letters",
		"--api " + none:            "set web.listen",
	} {
		out, err := command(t, append([]string{"token", "create", "--api", address}, strings.Fields(args)...)...)
		if err != nil {
			out = err.Error()
		}
		if !strings.Contains(out, want) || err == nil && strings.Count(out, "\n") > 2 {
			t.Errorf("%s: got %q, want %q in it", args, out, want)
		}
	}
}
