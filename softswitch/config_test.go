package softswitch

import (
	"strings"
	"testing"
)

func TestPortNotation(t *testing.T) {
	p, err := ParsePort("12@eth0.5@x")
	if err != nil || p != (Port{Number: 12, Interface: "eth0.5@x"}) || p.String() != "12@eth0.5@x" {
		t.Errorf("got %v, %v", p, err)
	}
	for _, bad := range []string{"", "1", "eth0", "@eth0", "1@", "-1@eth0", "x@eth0", "4294967296@eth0"} {
		if _, err := ParsePort(bad); err == nil || !strings.Contains(err.Error(), "PORT@INTERFACE") {
			t.Errorf("%q: got %v, want an error that shows the notation", bad, err)
		}
	}
}

func TestWrongConfigurationIsRefused(t *testing.T) {
	for _, x := range []struct {
		name string
		cfg  Config
		text string
	}{
		{"no address", Config{}, "address"},
		{"port twice", Config{GRPCAddress: "x", Ports: []Port{{1, "a"}, {1, "b"}}}, "port 1 is there twice"},
		{"interface twice", Config{GRPCAddress: "x", Ports: []Port{{1, "a"}, {2, "a"}}}, "interface a is there twice"},
		{"port number too large", Config{GRPCAddress: "x", Ports: []Port{{70000, "a"}}}, "65535"},
		{"drop port", Config{GRPCAddress: "x", Ports: []Port{{511, "a"}}}, "drop port"},
		{"CPU port", Config{GRPCAddress: "x", CPUPort: 510, Ports: []Port{{510, "a"}}}, "CPU port"},
		{"CPU port is the drop port", Config{GRPCAddress: "x", CPUPort: 511}, "drop port"},
	} {
		x.cfg.Logger = quiet()
		if _, err := New(x.cfg); err == nil || !strings.Contains(err.Error(), x.text) {
			t.Errorf("%s: got %v, want an error that says %q", x.name, err, x.text)
		}
	}
}
