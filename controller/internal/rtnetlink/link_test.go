package rtnetlink

import (
	"encoding/binary"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ifinfomsg is the head of the message of a link (struct ifinfomsg).
func ifinfomsg(family byte, index int32, flags uint32) []byte {
	b := binary.NativeEndian.AppendUint32([]byte{family, 0, 1, 0}, uint32(index))
	return append(binary.NativeEndian.AppendUint32(b, flags), 0, 0, 0, 0)
}

func TestLinksAreWhatTheMessagesSay(t *testing.T) {
	name := attribute(unix.IFLA_IFNAME, []byte("eth0\x00")...)
	mtu := attribute(unix.IFLA_MTU, 0xdc, 5, 0, 0)
	up := message(unix.RTM_NEWLINK, ifinfomsg(unix.AF_UNSPEC, 7, unix.IFF_UP|unix.IFF_LOWER_UP), mtu, name)
	eth0 := Link{Index: 7, Name: "eth0", Flags: unix.IFF_UP | unix.IFF_LOWER_UP}
	gone := Link{Index: 7, Name: "eth0", Gone: true}
	for what, c := range map[string]struct {
		messages []syscall.NetlinkMessage
		want     []Link
		lost     bool
	}{
		"up": {[]syscall.NetlinkMessage{up}, []Link{eth0}, false},
		"gone": {[]syscall.NetlinkMessage{up, message(unix.RTM_DELLINK, ifinfomsg(0, 7, 0), name)},
			[]Link{eth0, gone}, false},
		"what a bridge says of a port that leaves": {
			[]syscall.NetlinkMessage{message(unix.RTM_DELLINK, ifinfomsg(unix.AF_BRIDGE, 7, 0), name)}, nil, false},
		"routes":                     {[]syscall.NetlinkMessage{message(unix.RTM_NEWROUTE, rtmsg(2, 0))}, nil, false},
		"an overrun":                 {[]syscall.NetlinkMessage{up, message(unix.NLMSG_OVERRUN), up}, []Link{eth0}, true},
		"a message without a name":   {[]syscall.NetlinkMessage{message(unix.RTM_NEWLINK, ifinfomsg(0, 7, 0), mtu)}, nil, true},
		"a message that is cut":      {[]syscall.NetlinkMessage{message(unix.RTM_NEWLINK, ifinfomsg(0, 7, 0)[:15])}, nil, true},
		"an attribute that is cut":   {[]syscall.NetlinkMessage{message(unix.RTM_NEWLINK, ifinfomsg(0, 7, 0), name[:6])}, nil, true},
		"a name without a zero byte": {[]syscall.NetlinkMessage{message(unix.RTM_NEWLINK, ifinfomsg(0, 7, 0), attribute(unix.IFLA_IFNAME, 'a'))}, []Link{{Index: 7, Name: "a"}}, false},
	} {
		got, lost := Links(c.messages)
		if !slices.Equal(got, c.want) || lost != c.lost {
			t.Errorf("%s: %+v, lost %t", what, got, lost)
		}
	}
}

// The kernel's messages are not checked by the library that reads them.
func FuzzLink(f *testing.F) {
	name := attribute(unix.IFLA_IFNAME, []byte("eth0\x00")...)
	for _, seed := range [][]byte{
		nil, {0}, ifinfomsg(0, 7, 1), append(ifinfomsg(0, 7, 1), name...), append(ifinfomsg(0, 7, 1), name[:5]...),
		append(ifinfomsg(unix.AF_BRIDGE, 7, 1), name...),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		links, lost := Links([]syscall.NetlinkMessage{message(unix.RTM_NEWLINK, data)})
		if lost == (len(links) > 0) && (len(data) == 0 || data[0] == unix.AF_UNSPEC) {
			t.Errorf("%d links, lost %t", len(links), lost)
		}
	})
}
