package main

import (
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/controller/intent"
)

func TestTheSpeakerHasTheGracefulRestartOfTheConfiguration(t *testing.T) {
	f, err := config.Parse([]byte(`as: 65000
router_id: 10.0.0.1
vteps: [10.0.0.1]
bgp:
  graceful_restart: {restart_time: 90s, long_lived_time: 1h, deferral: 45s}
`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := speakerConfig(f, intent.NewMemory())
	want := bgp.GracefulRestart{
		Enabled: true, RestartTime: 90 * time.Second, LongLived: time.Hour, Deferral: 45 * time.Second,
	}
	if err != nil || c.GracefulRestart != want {
		t.Errorf("%+v (%v), want %+v", c.GracefulRestart, err, want)
	}
}
