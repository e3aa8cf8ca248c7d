package slowpath

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
	"github.com/vishvananda/netns"
)

// setting is one file below /proc/sys/net, or below a folder there.
type setting struct {
	file, value string
	optional    bool // not in every kernel
}

// ofNamespace are the settings of a VRF's namespace as a whole.
var ofNamespace = []setting{
	{file: "ipv4/ip_forward", value: "1"},
	{file: "ipv4/igmp_link_local_mcast_reports", value: "0", optional: true},
}

// ofBoth go to ipv4/conf/ and ipv6/conf/: for all, for taps to come, and for taps
// that are.
var ofBoth = []setting{
	{file: "forwarding", value: "1"},
	{file: "accept_redirects", value: "0"},
}

// ofIPv4 go to ipv4/conf/ alone.
var ofIPv4 = []setting{
	{file: "rp_filter", value: "0"},
	// Another SVI's address is answered on its own bridge only, and requests
	// carry the address of the asked host's subnet.
	{file: "arp_ignore", value: "1"},
	{file: "arp_announce", value: "2"},
	{file: "send_redirects", value: "0"},
	{file: "promote_secondaries", value: "1"},
	// A tap has no carrier while the daemon restarts: neighbours stay.
	{file: "arp_evict_nocarrier", value: "0", optional: true},
}

// ofIPv6 go to ipv6/conf/ alone. The link-local address is ours to set, so that it
// is there without duplicate-address detection: other gateways have it too.
var ofIPv6 = []setting{
	{file: "disable_ipv6", value: "0"},
	{file: "addr_gen_mode", value: "1"},
	{file: "accept_dad", value: "0"},
	{file: "dad_transmits", value: "0"},
	{file: "accept_ra", value: "0"},
	{file: "autoconf", value: "0"},
	{file: "router_solicitations", value: "0"},
	{file: "keep_addr_on_down", value: "1", optional: true},
	{file: "ndisc_evict_nocarrier", value: "0", optional: true},
}

// ofNeighbours go to ipv4/neigh/ and ipv6/neigh/ of a tap: a probe ends with one
// question to everybody, which finds a host whose MAC address changed; a new
// address is believed at once; and hosts that are idle are not forgotten when
// the table grows beyond the first limit.
var ofNeighbours = []setting{
	{file: "gc_stale_time", value: "86400"},
	{file: "mcast_resolicit", value: "1"},
	{file: "locktime", value: "0"},
}

// namespaceSettings are to be made before the first tap, which inherits them.
func namespaceSettings() error {
	err := write("", ofNamespace)
	for _, scope := range []string{"all", "default"} {
		err = cmp.Or(err, interfaceSettings(scope))
	}
	return err
}

func interfaceSettings(name string) error {
	v4, v6 := "ipv4/conf/"+name, "ipv6/conf/"+name
	return cmp.Or(write(v6, ofIPv6), write(v4, ofBoth), write(v6, ofBoth), write(v4, ofIPv4))
}

// tapSettings also reach taps that an older version of us made.
func tapSettings(name string) error {
	return cmp.Or(interfaceSettings(name),
		write("ipv4/neigh/"+name, ofNeighbours), write("ipv6/neigh/"+name, ofNeighbours))
}

// write sets what differs; /proc/sys/net is that of the calling thread's
// network namespace.
func write(folder string, settings []setting) error {
	for _, s := range settings {
		file := strings.Join([]string{"/proc/sys/net", folder, s.file}, "/")
		old, err := os.ReadFile(file)
		if err == nil && strings.TrimSpace(string(old)) != s.value {
			err = os.WriteFile(file, []byte(s.value), 0)
		}
		if err != nil && !(s.optional && errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("set %s to %s: %w", file, s.value, err)
		}
	}
	return nil
}

// Limits of the kernel's neighbour tables, which all namespaces share. Below the
// first nothing is ever collected; memory is taken by what is there only.
var neighbourLimits = [3]int{1 << 16, 1 << 17, 1 << 18}

// raiseNeighbourLimits lets the kernel keep as many neighbours as VRFs have
// hosts. The files are in the initial namespace only: that is ours, or that of
// process 1, unless we are in a container, whose machine may have raised them.
func raiseNeighbourLimits(log *slog.Logger) {
	if high, err := rtnetlink.NeighbourLimits(); err == nil && enough(high) {
		return
	}
	raiseBoth := func() error { return cmp.Or(raise("ipv4"), raise("ipv6")) }
	err := raiseBoth()
	if errors.Is(err, fs.ErrNotExist) {
		var init netns.NsHandle
		if init, err = netns.GetFromPid(1); err == nil {
			err = inNamespace(init, raiseBoth)
			_ = init.Close()
		}
	}
	if err != nil {
		log.Warn("slowpath: the kernel's neighbour tables stay as small as they are (by default 1024 hosts of all VRFs "+
			"together); raise gc_thresh1, gc_thresh2 and gc_thresh3 of net.ipv4.neigh.default and net.ipv6.neigh.default on "+
			"the machine itself",
			"want", neighbourLimits, "err", err)
	}
}

// enough reports whether no table is smaller than it should be.
func enough(tables map[string][3]int) bool {
	for _, limits := range tables {
		for i, n := range limits {
			if n < neighbourLimits[i] {
				return false
			}
		}
	}
	return len(tables) > 0
}

func raise(family string) error {
	for i := len(neighbourLimits); i > 0; i-- { // the kernel wants them in order
		file := fmt.Sprintf("/proc/sys/net/%s/neigh/default/gc_thresh%d", family, i)
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && n >= neighbourLimits[i-1] {
			continue
		}
		if err := os.WriteFile(file, []byte(strconv.Itoa(neighbourLimits[i-1])), 0); err != nil {
			return err
		}
	}
	return nil
}
