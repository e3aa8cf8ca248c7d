package rtnetlink

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/ether"
)

func message(kind uint16, data ...[]byte) (m syscall.NetlinkMessage) {
	m.Header.Type = kind
	m.Data = slices.Concat(data...)
	return m
}

// attribute is a struct rtattr with its value, padded as rtnetlink(7) has it.
func attribute(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, -len(b)&3)...)
}

// ndmsg is the head of a neighbour message (struct ndmsg).
func ndmsg(family byte, link int32, state uint16, flags byte) []byte {
	b := binary.NativeEndian.AppendUint32([]byte{family, 0, 0, 0}, uint32(link))
	return append(binary.NativeEndian.AppendUint16(b, state), flags, 0)
}

// rtmsg is the head of the message of a route (struct rtmsg).
func rtmsg(family, length byte) []byte { return []byte{family, length, 0, 0, 254, 2, 0, 1, 0, 0, 0, 0} }

var (
	hostMAC = ether.MAC{2, 0, 0, 0, 0, 1}
	ten     = NeighbourKey{7, netip.MustParseAddr("10.0.0.1")}
	six     = NeighbourKey{8, netip.MustParseAddr("fe80::1")}
)

func news(messages ...syscall.NetlinkMessage) (n News) {
	n.Add(messages)
	return n
}

func TestNewsAreWhatTheMessagesSay(t *testing.T) {
	lladdr := attribute(unix.NDA_LLADDR, hostMAC[:]...)
	v4 := attribute(unix.NDA_DST, 10, 0, 0, 1)
	reachable := message(unix.RTM_NEWNEIGH, ndmsg(unix.AF_INET, 7, unix.NUD_REACHABLE, 0), v4, lladdr)
	for name, c := range map[string]struct {
		messages []syscall.NetlinkMessage
		want     News
	}{
		"an ARP entry": {
			[]syscall.NetlinkMessage{reachable},
			News{Neighbours: map[NeighbourKey]Neighbour{ten: {MAC: hostMAC, State: unix.NUD_REACHABLE}}},
		},
		"an ND entry, by an operator": {
			[]syscall.NetlinkMessage{message(unix.RTM_NEWNEIGH,
				ndmsg(unix.AF_INET6, 8, unix.NUD_NOARP, unix.NTF_EXT_LEARNED),
				attribute(unix.NDA_DST, six.IP.AsSlice()...), lladdr)},
			News{Neighbours: map[NeighbourKey]Neighbour{
				six: {MAC: hostMAC, State: unix.NUD_NOARP, Flags: unix.NTF_EXT_LEARNED}}},
		},
		"an entry that is asked for": {
			[]syscall.NetlinkMessage{message(unix.RTM_NEWNEIGH, ndmsg(unix.AF_INET, 7, unix.NUD_INCOMPLETE, 0), v4)},
			News{Neighbours: map[NeighbourKey]Neighbour{ten: {State: unix.NUD_INCOMPLETE}}},
		},
		"an entry that went, last of all": {
			[]syscall.NetlinkMessage{reachable,
				message(unix.RTM_DELNEIGH, ndmsg(unix.AF_INET, 7, unix.NUD_FAILED, 0), v4, lladdr)},
			News{Neighbours: map[NeighbourKey]Neighbour{ten: {}}},
		},
		"a bridge's FDB": {
			[]syscall.NetlinkMessage{message(unix.RTM_NEWNEIGH, ndmsg(unix.AF_BRIDGE, 7, unix.NUD_REACHABLE, 0), lladdr)},
			News{},
		},
		"routes": {
			[]syscall.NetlinkMessage{
				message(unix.RTM_NEWROUTE, rtmsg(unix.AF_INET, 24), attribute(unix.RTA_DST, 10, 1, 2, 0)),
				message(unix.RTM_DELROUTE, rtmsg(unix.AF_INET6, 10),
					attribute(unix.RTA_DST, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
				message(unix.RTM_NEWROUTE, rtmsg(unix.AF_INET, 0), attribute(unix.RTA_GATEWAY, 10, 0, 0, 1)),
				message(unix.RTM_NEWROUTE, rtmsg(unix.AF_INET6, 0)),
			},
			News{Routes: map[netip.Prefix]struct{}{
				netip.MustParsePrefix("10.1.2.0/24"): {}, netip.MustParsePrefix("fe80::/10"): {},
				netip.MustParsePrefix("0.0.0.0/0"): {}, netip.MustParsePrefix("::/0"): {}}},
		},
		"a link":            {[]syscall.NetlinkMessage{message(unix.RTM_NEWLINK)}, News{Links: true}},
		"an address":        {[]syscall.NetlinkMessage{message(unix.RTM_DELADDR)}, News{Links: true}},
		"a rule":            {[]syscall.NetlinkMessage{message(unix.RTM_NEWRULE)}, News{All: true}},
		"a next-hop object": {[]syscall.NetlinkMessage{message(unix.RTM_DELNEXTHOP)}, News{All: true}},
		"an overrun":        {[]syscall.NetlinkMessage{reachable, message(unix.NLMSG_OVERRUN), reachable}, News{All: true}},
		"half a route":      {[]syscall.NetlinkMessage{message(unix.RTM_NEWROUTE, []byte{2, 24})}, News{All: true}},
		"a route to 3 bytes": {
			[]syscall.NetlinkMessage{message(unix.RTM_NEWROUTE, rtmsg(2, 24), attribute(unix.RTA_DST, 1, 2, 3))},
			News{All: true}},
		"an unpadded attribute at the end": {
			[]syscall.NetlinkMessage{message(unix.RTM_NEWROUTE, rtmsg(2, 24), []byte{5, 0, 1, 0, 10})}, News{All: true}},
		"a cache info of 4 bytes": {
			[]syscall.NetlinkMessage{message(unix.RTM_NEWNEIGH, ndmsg(2, 7, 2, 0), attribute(unix.NDA_CACHEINFO, 1, 2, 3, 4))},
			News{All: true}},
		"an attribute longer than the message": {
			[]syscall.NetlinkMessage{message(unix.RTM_NEWNEIGH, ndmsg(2, 7, 2, 0), []byte{9, 0, 1, 0, 10, 0, 0, 1})},
			News{All: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := news(c.messages...); !reflect.DeepEqual(got, c.want) {
				t.Errorf("news %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestNewsBeyondTheBoundBecomeOneDump(t *testing.T) {
	var n News
	for i := range int32(maxNews) {
		n.Add([]syscall.NetlinkMessage{message(unix.RTM_NEWNEIGH, ndmsg(2, i, 2, 0), attribute(unix.NDA_DST, 10, 0, 0, 1))})
	}
	if n.All || len(n.Neighbours) != maxNews {
		t.Errorf("news of %d neighbours, all %v; want %d", len(n.Neighbours), n.All, maxNews)
	}
	n.Add([]syscall.NetlinkMessage{message(unix.RTM_NEWROUTE, rtmsg(2, 0))})
	if !reflect.DeepEqual(n, News{All: true}) {
		t.Errorf("news of %d neighbours, all %v; want all alone", len(n.Neighbours), n.All)
	}
}

func FuzzNews(f *testing.F) {
	f.Add(uint16(unix.RTM_NEWNEIGH), []byte{2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 1, 8, 0, 1, 0, 10, 0, 0, 1})
	f.Add(uint16(unix.RTM_NEWNEIGH), []byte{2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 8, 0, 1, 0, 10, 0, 0, 1})
	f.Add(uint16(unix.RTM_NEWNEIGH), slices.Concat(ndmsg(2, 1, 2, 0), attribute(unix.NDA_CACHEINFO, 1, 2, 3, 4)))
	f.Add(uint16(unix.RTM_NEWROUTE), []byte{2, 24, 0, 0, 254, 2, 0, 1, 0, 0, 0, 0, 8, 0, 1, 0, 10, 0, 0, 0})
	f.Add(uint16(unix.RTM_NEWLINK), []byte{})
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		n := news(message(kind, data))
		for k := range maps.Keys(n.Neighbours) {
			if !k.IP.IsValid() {
				t.Error("an entry without address")
			}
		}
		for p := range maps.Keys(n.Routes) {
			if !p.IsValid() {
				t.Error("a route without destination")
			}
		}
	})
}
