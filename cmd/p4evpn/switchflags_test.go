package main

import (
	"io"
	"strings"
	"testing"
)

func TestWrongSwitchFlagsAreRefused(t *testing.T) {
	for _, x := range []struct {
		args string
		text string
	}{
		{"--no-p4 --grpc-server-cert x", "--grpc-server-ssl"},
		{"--no-p4 --grpc-server-ssl --grpc-server-cert x", "--grpc-server-key"},
		{"--no-p4 --grpc-server-ssl --grpc-server-cert /nowhere --grpc-server-key /nowhere", "/nowhere"},
		{"--no-p4 -i 1@a -i 2@b --max-port-count 1", "--max-port-count allows 1"},
		{"--no-p4 --max-mc-groups -1", "negative"},
		{"a.json b.json", "one program"},
		{"a.json -- --cpu-port 5 b.json", "one program"},
		{"a.json -- --no-p4", "exclude each other"},
		{"a.json", "--p4info"},
		{"--no-p4 -- --nonsense", "nonsense"},
		// What BMv2's scripts say is understood, up to the wrong port at the end.
		{"--no-p4 --thrift-port 9090 --log-console -- --grpc-server-addr 127.0.0.1:0 --cpu-port 510 --priority-queues 8 --max-mc-groups 99 --max-l1-entries 9 --max-l2-entries 8 -i 510@x", "CPU port"},
	} {
		cmd := newSwitch()
		cmd.SetArgs(strings.Fields(x.args))
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), x.text) {
			t.Errorf("%s: got %v, want an error that says %q", x.args, err, x.text)
		}
	}
}
