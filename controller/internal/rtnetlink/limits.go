package rtnetlink

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The length of struct ndtmsg and its attributes (linux/neighbour.h).
const (
	ndtaName    = 1
	ndtaThresh1 = 2 // to 4: gc_thresh1 to gc_thresh3
	ndtmsgLen   = 4
)

// NeighbourLimits reads gc_thresh1 to gc_thresh3 of the kernel's neighbour tables by
// the tables' names (arp_cache, ndisc_cache). All namespaces share them, and each can
// read them here; the files below /proc/sys are in the initial one alone.
func NeighbourLimits() (map[string][3]int, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETNEIGHTBL, unix.NLM_F_DUMP)
	request.AddRawData(make([]byte, ndtmsgLen)) // of every family
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGHTBL)
	if err != nil {
		return nil, fmt.Errorf("read the limits of the neighbour tables: %w", err)
	}
	tables := map[string][3]int{}
	for _, m := range messages {
		if name, limits, ok := neighbourTable(m); ok {
			tables[name] = limits
		}
	}
	return tables, nil
}

// neighbourTable decodes one message. Those with the settings of one link have no
// limits.
func neighbourTable(message []byte) (name string, limits [3]int, ok bool) {
	if len(message) < ndtmsgLen {
		return "", limits, false
	}
	attributes, err := careful(nl.ParseRouteAttr, message[ndtmsgLen:])
	if err != nil {
		return "", limits, false
	}
	found := 0
	for _, a := range attributes {
		switch n := int(a.Attr.Type); {
		case n == ndtaName:
			name = strings.TrimRight(string(a.Value), "\x00")
		case n >= ndtaThresh1 && n < ndtaThresh1+len(limits) && len(a.Value) == 4:
			limits[n-ndtaThresh1] = int(binary.NativeEndian.Uint32(a.Value))
			found++
		}
	}
	return name, limits, name != "" && found == len(limits)
}
