package rtnetlink

import (
	"encoding/binary"
	"errors"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Link is a netdev as the kernel announced it.
type Link struct {
	Index int
	Name  string
	Flags uint32 // IFF_ bits
	Gone  bool   // it is no more, or in another namespace
}

// running are the bits of a netdev that is up, has carrier, and is not kept dormant (RFC
// 2863). The kernel tells of the last one later than of the others.
const running = unix.IFF_UP | unix.IFF_LOWER_UP | unix.IFF_RUNNING

// Running reports whether frames go through a netdev with such IFF_ bits.
func Running(flags uint32) bool { return flags&running == running }

// Links gives what messages say of netdevs, in their order, and reports whether
// some may be missing: then all have to be read anew.
func Links(messages []syscall.NetlinkMessage) (links []Link, lost bool) {
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			l, ofBridge, err := readLink(m.Data)
			switch {
			case err != nil:
				return links, true
			case !ofBridge:
				l.Gone = m.Header.Type == unix.RTM_DELLINK
				links = append(links, l)
			}
		case unix.NLMSG_OVERRUN:
			return links, true
		}
	}
	return links, false
}

// readLink reads struct ifinfomsg. What a bridge says of its ports has the same type: such a
// message of a port that leaves does not end the netdev.
func readLink(data []byte) (l Link, ofBridge bool, err error) {
	if len(data) < unix.SizeofIfInfomsg {
		return l, false, errors.New("the message of a link is too short")
	}
	if data[0] != unix.AF_UNSPEC {
		return l, true, nil
	}
	l.Index = int(int32(binary.NativeEndian.Uint32(data[4:])))
	l.Flags = binary.NativeEndian.Uint32(data[8:])
	attributes, err := careful(nl.ParseRouteAttr, data[unix.SizeofIfInfomsg:])
	if err != nil {
		return l, false, err
	}
	for _, a := range attributes {
		if a.Attr.Type == unix.IFLA_IFNAME {
			l.Name = unix.ByteSliceToString(a.Value)
		}
	}
	if l.Name == "" {
		return l, false, errors.New("the message of a link has no name")
	}
	return l, false, nil
}
