package slowpath

import (
	"strings"
	"testing"
	"time"
)

func TestAConfigurationThatWillNotDoIsRefusedByField(t *testing.T) {
	for want, cfg := range map[string]Config{
		`prefix "a/b"`:             {Prefix: "a/b"},
		"cannot begin the name":    {Prefix: strings.Repeat("x", maxPrefix+1)},
		"advertise interval 3s":    {AdvertiseInterval: 3 * time.Second}, // RFC 4861 section 6.2.1
		"advertise interval 30m1s": {AdvertiseInterval: 1801 * time.Second},
		"retry -1s":                {Retry: -time.Second},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q in it", cfg, err, want)
		}
	}
}
