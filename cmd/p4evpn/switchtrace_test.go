package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

func TestSwitchTraceSaysWhatAProgramDoesWithAFrame(t *testing.T) {
	const program = "../../softswitch/p4rtserver/testdata/kinds."
	entries := filepath.Join(t.TempDir(), "entries.txtpb")
	text := `entities { table_entry { table_id: 40737662
  match { field_id: 1 exact { value: "\x02\x00\x00\x00\x00\x01" } }
  action { action { action_id: 26512162 params { param_id: 1 value: "\x04" } } } } }`
	if err := os.WriteFile(entries, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := newSwitch()
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(append([]string{"trace", "--p4info", program + "p4info.txtpb"}, args...))
		err := cmd.Execute()
		return out.String(), err
	}
	out, err := run("--entries", entries, "--port", "3", program+"json", "02:00:00:00:00:01 0200000000aa 0800")
	if want := "ingress.forward(port=0x004)"; err != nil || !strings.Contains(out, want) ||
		!strings.Contains(out, "sent to port 4, 14 bytes") {
		t.Errorf("%v, no %q in\n%s", err, want, out)
	}
	out, err = run("-o", "json", program+"json", "0200000000010200000000aa0800")
	var a pipeline.Account
	if err != nil || json.Unmarshal([]byte(out), &a) != nil || len(a.Steps) == 0 {
		t.Errorf("%v: not an account in JSON: %s", err, out)
	}
	for _, bad := range [][]string{{program + "json", "0g"}, {"--entries", program + "json", program + "json", "00"},
		{program + "p4", "00"}, {"-o", "yaml", program + "json", "00"}} {
		if out, err := run(bad...); err == nil {
			t.Errorf("%v is taken: %s", bad, out)
		}
	}
}
