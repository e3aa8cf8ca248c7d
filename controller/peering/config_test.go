package peering

import (
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/liveness"
)

func TestAConfigurationThatWillNotDoIsRefusedByField(t *testing.T) {
	store, speaker := intent.NewMemory(), controllertest.NewSpeaker()
	for want, cfg := range map[string]Config{
		"no intent":   {Speaker: speaker},
		"no speaker":  {Intent: store},
		"no underlay": {Intent: store, Speaker: speaker, NextHops: []liveness.Peer{{}}},
		"retry -1s":   {Intent: store, Speaker: speaker, Retry: -time.Second},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q in it", cfg, err, want)
		}
	}
}
