package main

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/internal/certtest"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch"
)

func TestATargetIsProgrammedByMutualTLS(t *testing.T) {
	serverCert, serverKey := certtest.SelfSigned(t, "switch", "switch.example")
	ourCert, ourKey := certtest.SelfSigned(t, "gateway", "gateway.example")
	otherCert, otherKey := certtest.SelfSigned(t, "other", "other.example")
	sw, err := softswitch.New(softswitch.Config{GRPCAddress: "127.0.0.1:0", CPUPort: p4.CPUPort, DropPort: p4.DropPort,
		TLS: softswitch.TLS{Certificate: serverCert, Key: serverKey, ClientCA: ourCert, RequireClient: true}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = sw.Run(ctx) })
	good := config.TargetTLS{Certificate: ourCert, Key: ourKey, CA: serverCert, ServerName: "switch.example"}
	for name, c := range map[string]struct {
		change func(*config.TargetTLS)
		up     bool
	}{
		"as it should be":       {func(*config.TargetTLS) {}, true},
		"a certificate of none": {func(c *config.TargetTLS) { c.Certificate, c.Key = otherCert, otherKey }, false},
		"another target":        {func(c *config.TargetTLS) { c.CA = otherCert }, false},
		"another name":          {func(c *config.TargetTLS) { c.ServerName = "other.example" }, false},
		"no name":               {func(c *config.TargetTLS) { c.ServerName = "" }, false}, // it is for no address
		"in the clear":          {func(c *config.TargetTLS) { *c = config.TargetTLS{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := &config.File{Target: config.Target{Address: sw.Address().String(), DeviceID: 1, ElectionID: 1, TLS: good}}
			c.change(&f.Target.TLS)
			cfg, err := clientConfig(f)
			if err != nil {
				t.Fatal(err)
			}
			client, err := p4rt.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			running.Go(func() { _ = client.Run(ctx) })
			for e := range client.Events() {
				switch e.(type) {
				case p4rt.Up, p4rt.Down:
					if _, up := e.(p4rt.Up); up != c.up {
						t.Errorf("%+v", e)
					}
					cancel()
				}
			}
		})
	}
}

func TestFilesOfTheTargetsTLSThatCannotBeAreRefusedAtOnce(t *testing.T) {
	cert, key := certtest.SelfSigned(t, "switch", "switch.example")
	for says, c := range map[string]config.TargetTLS{
		"/nowhere":       {Certificate: cert, Key: key, CA: "/nowhere"},
		"no certificate": {Certificate: cert, Key: key, CA: key},
		key:              {Certificate: key, Key: key, CA: cert},
	} {
		_, err := clientConfig(&config.File{Target: config.Target{TLS: c}})
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "target.tls") {
			t.Errorf("%+v: %v, want one that says %q", c, err, says)
		}
	}
}
