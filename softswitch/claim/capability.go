package claim

import (
	"strings"

	"golang.org/x/sys/unix"
)

// missingCapabilities names those that claims need and this process lacks, to
// go into an error.
func missingCapabilities() string {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return ""
	}
	var missing []string
	for _, c := range []struct {
		name   string
		number int
	}{{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN}, {"CAP_BPF", unix.CAP_BPF}} {
		if data[c.number/32].Effective&(1<<(c.number%32)) == 0 {
			missing = append(missing, c.name)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return " (this process lacks " + strings.Join(missing, " and ") + ")"
}
