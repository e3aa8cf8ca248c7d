package config

import "time"

// GracefulRestart is RFC 4724 with all neighbours: they keep our routes while
// we restart, and we keep theirs.
type GracefulRestart struct {
	// Enabled is the default. Otherwise routes go with the session, in both
	// directions.
	Enabled bool `yaml:"enabled"`
	// RestartTime is how long neighbours shall keep our routes without a
	// session.
	RestartTime time.Duration `yaml:"restart_time"`
	// LongLivedTime is how long neighbours with long-lived graceful restart (RFC
	// 9494) shall keep our EVPN routes after that, behind all others; 0 asks for
	// nothing. Theirs are kept for as long as they ask.
	LongLivedTime time.Duration `yaml:"long_lived_time"`
	// Deferral is how long after a restart what a neighbour may still say is
	// waited for, before what nobody has said is removed.
	Deferral time.Duration `yaml:"deferral"`
}

// defaultGracefulRestart is what holds unless the file says otherwise.
var defaultGracefulRestart = GracefulRestart{Enabled: true, RestartTime: 120 * time.Second, Deferral: 60 * time.Second}

func (c *checker) checkRestart() {
	const at = "bgp.graceful_restart"
	g := c.file.BGP.GracefulRestart
	if g.RestartTime < time.Second || g.RestartTime > 4095*time.Second || g.RestartTime%time.Second != 0 {
		c.fail(at+".restart_time", "%v: want whole seconds from 1s to 4095s", g.RestartTime)
	}
	switch {
	case g.LongLivedTime < 0 || g.LongLivedTime > (1<<24-1)*time.Second || g.LongLivedTime%time.Second != 0:
		c.fail(at+".long_lived_time", "%v: want whole seconds up to 16777215s, or 0 for none", g.LongLivedTime)
	case g.LongLivedTime > 0 && !g.Enabled:
		c.fail(at+".long_lived_time", "%v: want graceful restart to be enabled for it", g.LongLivedTime)
	}
	if g.Deferral <= 0 {
		c.fail(at+".deferral", "%v: want a time above 0", g.Deferral)
	} else if g.Enabled && g.Deferral >= g.RestartTime {
		c.fail(at+".deferral", "%v: want less than the restart time of %v, when neighbours give up", g.Deferral,
			g.RestartTime)
	}
}
