package slowpath

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

// Constants of RFC 4861, section 10.
const (
	maxInitialAdvertInterval = 16 * time.Second
	maxInitialAdverts        = 3
	minDelayBetweenAdverts   = 3 * time.Second
	maxAdvertDelay           = 500 * time.Millisecond
	maxRouterLifetime        = 9000 * time.Second
)

// advert is what a router advertisement says.
type advert struct {
	MAC      ether.MAC
	MTU      uint16
	Lifetime time.Duration // of the router
	Prefixes []netip.Prefix
}

func (a advert) equal(b advert) bool {
	return a.MAC == b.MAC && a.MTU == b.MTU && a.Lifetime == b.Lifetime && slices.Equal(a.Prefixes, b.Prefixes)
}

// advertiser sends the router advertisements of one SVI (RFC 4861, section 6.2).
type advertiser struct {
	advert
	cancel    context.CancelFunc
	done      sync.WaitGroup
	solicited chan struct{} // one slot
}

// startAdvertiser sends until stop, at random times of at most interval.
func startAdvertiser(a advert, interval time.Duration, send func(frame []byte)) *advertiser {
	ctx, cancel := context.WithCancel(context.Background())
	v := &advertiser{advert: a, cancel: cancel, solicited: make(chan struct{}, 1)}
	v.done.Go(func() { v.run(ctx, interval, send) })
	return v
}

func (v *advertiser) stop() {
	v.cancel()
	v.done.Wait()
}

// solicit asks for an advertisement soon; it does not wait.
func (v *advertiser) solicit() {
	select {
	case v.solicited <- struct{}{}:
	default:
	}
}

func (v *advertiser) run(ctx context.Context, interval time.Duration, send func([]byte)) {
	frame := v.frame()
	var last time.Time
	next := time.Now() // the first one at once: hosts wait for it
	timer := time.NewTimer(0)
	defer timer.Stop()
	for sent := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-v.solicited:
			// Answered for all hosts at once, which also bounds what they can
			// make us send (section 6.2.6).
			at := time.Now().Add(rand.N(maxAdvertDelay))
			if soonest := last.Add(minDelayBetweenAdverts); at.Before(soonest) {
				at = soonest
			}
			if at.Before(next) {
				next = at
			}
		case <-timer.C:
			send(slices.Clone(frame))
			last = time.Now()
			sent++
			next = last.Add(pause(interval, sent))
		}
		timer.Reset(time.Until(next))
	}
}

// pause is the time to the next unsolicited advertisement (section 6.2.4).
func pause(interval time.Duration, sent int) time.Duration {
	least := interval / 3 // MinRtrAdvInterval, section 6.2.1
	if interval < 9*time.Second {
		least = interval * 3 / 4
	}
	d := least + rand.N(interval-least+1)
	if sent < maxInitialAdverts {
		d = min(d, maxInitialAdvertInterval)
	}
	return d
}

// ICMPv6 types and ND options.
const (
	icmpv6RouterSolicitation  = 133
	icmpv6RouterAdvertisement = 134
	icmpv6Redirect            = 137

	optionSourceMAC = 1
	optionPrefix    = 3
	optionMTU       = 5
)

const (
	etherTypeIPv6 = 0x86dd
	protocolICMP6 = 58
	ipv6Header    = 40
	hopLimitND    = 255 // proof that no router forwarded it
)

// frame builds the advertisement (section 4.2), from the link-local address of
// the MAC to all nodes.
func (a advert) frame() []byte {
	b := make([]byte, 0, 128)
	b = append(b, 0x33, 0x33, 0, 0, 0, 1)
	b = append(b, a.MAC[:]...)
	b = binary.BigEndian.AppendUint16(b, etherTypeIPv6)
	b = append(b, 0x60, 0, 0, 0, 0, 0, protocolICMP6, hopLimitND)
	src, dst := linkLocal(a.MAC).As16(), netip.MustParseAddr("ff02::1").As16()
	b = append(b, src[:]...)
	b = append(b, dst[:]...)

	const hopLimit = 64 // for hosts to start with; flags are none: no DHCPv6
	b = append(b, icmpv6RouterAdvertisement, 0, 0, 0, hopLimit, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(min(a.Lifetime, maxRouterLifetime)/time.Second))
	b = append(b, make([]byte, 8)...) // reachable time, retransmission timer: unspecified
	b = append(b, optionSourceMAC, 1)
	b = append(b, a.MAC[:]...)
	b = append(b, optionMTU, 1, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(a.MTU))
	for _, p := range a.Prefixes {
		b = appendPrefix(b, p)
	}
	packet := b[ethernetHeader:]
	binary.BigEndian.PutUint16(packet[4:], uint16(len(packet)-ipv6Header))
	binary.BigEndian.PutUint16(packet[ipv6Header+2:], ^checksum(packet))
	return b
}

// appendPrefix adds a prefix information option (section 4.6.2) with the
// lifetimes of section 6.2.1. Hosts make addresses of 64-bit prefixes only
// (RFC 4862, section 5.5.3).
func appendPrefix(b []byte, p netip.Prefix) []byte {
	const onLink, autonomous, valid, preferred = 0x80, 0x40, 30 * 24 * 3600, 7 * 24 * 3600
	flags := byte(onLink)
	if p.Bits() == 64 {
		flags |= autonomous
	}
	b = append(b, optionPrefix, 4, byte(p.Bits()), flags)
	b = binary.BigEndian.AppendUint32(b, valid)
	b = binary.BigEndian.AppendUint32(b, preferred)
	b = append(b, 0, 0, 0, 0)
	a := p.Masked().Addr().As16()
	return append(b, a[:]...)
}

// linkLocal is the address that RFC 4291, appendix A, derives from a MAC.
func linkLocal(m ether.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}

// checksum is the sum of RFC 4443, section 2.3, over an ICMPv6 packet without
// extension headers: 0xffff when it holds a right checksum, and the complement
// of the checksum to put in when that field is zero.
func checksum(packet []byte) uint16 {
	sum := uint32(len(packet)-ipv6Header) + protocolICMP6
	data := packet[8:] // addresses and message
	for ; len(data) >= 2; data = data[2:] {
		sum += uint32(data[0])<<8 | uint32(data[1])
	}
	if len(data) == 1 {
		sum += uint32(data[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// icmpv6Type gives the type of an ICMPv6 message, 0 (not used) for all else.
func icmpv6Type(frame []byte) byte {
	if len(frame) < ethernetHeader+ipv6Header+4 || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv6 {
		return 0
	}
	if packet := frame[ethernetHeader:]; packet[0]>>4 == 6 && packet[6] == protocolICMP6 {
		return packet[ipv6Header]
	}
	return 0
}

// isSolicitation reports whether a frame is a router solicitation that is valid
// (RFC 4861, section 6.1.1).
func isSolicitation(frame []byte) bool {
	if icmpv6Type(frame) != icmpv6RouterSolicitation {
		return false
	}
	packet := frame[ethernetHeader:]
	size := ipv6Header + int(binary.BigEndian.Uint16(packet[4:]))
	if size > len(packet) || size < ipv6Header+8 || packet[7] != hopLimitND {
		return false
	}
	packet = packet[:size] // Ethernet pads short frames
	if packet[ipv6Header+1] != 0 || checksum(packet) != 0xffff {
		return false
	}
	unspecified := netip.AddrFrom16([16]byte(packet[8:24])).IsUnspecified()
	for options := packet[ipv6Header+8:]; len(options) > 0; {
		if len(options) < 8 || options[1] == 0 || int(options[1])*8 > len(options) {
			return false
		}
		if options[0] == optionSourceMAC && unspecified {
			return false
		}
		options = options[int(options[1])*8:]
	}
	return true
}
