package testbed

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestBMv2ScriptStartsASwitch(t *testing.T) {
	needDemo(t, BMv2)
	l := needLab(t)
	n := must(l.Namespace("bmv2"))(t)
	check(t, l.Cable(End{NS: n, Dev: "vf1"}, End{NS: n, Dev: "far"}))
	socket := filepath.Join(l.Dir, "sock")
	script := must(filepath.Abs("bmv2.sh"))(t)
	p := must(l.Start(n, "switch", "env", "P4EVPN="+must(builtBinary())(t), "GRPC=unix:"+socket, script, "1@vf1"))(t)
	check(t, Eventually(t.Context(), patience, "BMv2 serves P4Runtime", func(context.Context) error {
		if err := p.Running(); err != nil {
			return err
		}
		conn, err := net.Dial("unix", socket)
		if err == nil {
			err = conn.Close()
		}
		return err
	}))
	claims := must(n.Output(t.Context(), must(builtBinary())(t), "claim"))(t)
	if !strings.Contains(claims, "vf1") || strings.Contains(claims, "far") {
		t.Errorf("claimed are\n%s, want vf1 alone", claims)
	}
}

func TestBMv2ScriptSaysWhatIsWrong(t *testing.T) {
	stub := t.TempDir() // there is a simple_switch_grpc, which is never started
	check(t, os.WriteFile(filepath.Join(stub, "simple_switch_grpc"), []byte("#!/bin/sh\nexit 9\n"), 0o755))
	path := stub + ":/usr/bin:/bin"
	for _, c := range []struct{ name, path, want, args string }{
		{"no arguments", path, "bmv2.sh PORT@INTERFACE", ""},
		{"no port number", path, "vf1 is no PORT@INTERFACE", "vf1"},
		{"a port that is no number", path, "one@lo is no PORT@INTERFACE", "one@lo"},
		{"no such interface", path, "there is no interface nope", "1@nope"},
		{"no BMv2", "/nowhere", "docs/bmv2.md", "1@lo"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "./bmv2.sh", strings.Fields(c.args)...)
			cmd.Env = append(os.Environ(), "PATH="+c.path)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("it ended with %v and said %q, want %q", err, out, c.want)
			}
		})
	}
}

func TestConfigurationOfTheComposeFileIsGood(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), must(builtBinary())(t), "run", "--check", "-c",
		"compose/gateway.yaml").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
