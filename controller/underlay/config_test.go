package underlay

import (
	"strings"
	"testing"
	"time"
)

func TestAConfigurationThatWillNotDoIsRefusedByField(t *testing.T) {
	for want, cfg := range map[string]Config{
		"netdev":    {Uplinks: []string{"up1", ""}},
		"probe -1s": {Probe: -time.Second},
		"retry -1s": {Retry: -time.Second},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q in it", cfg, err, want)
		}
	}
}
