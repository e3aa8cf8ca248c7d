package packet

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/ndp"

	"github.com/p4evpn/p4evpn/ether"
)

// RouterAdvertisement is what a router says of itself to the hosts of a link.
type RouterAdvertisement struct {
	MAC      ether.MAC
	MTU      uint16
	Lifetime time.Duration  // of the router; what is longer than 9000 s counts as that (RFC 4861 section 6.2.1)
	Prefixes []netip.Prefix // on the link; of IPv6
}

// Equal reports whether two say the same.
func (a RouterAdvertisement) Equal(b RouterAdvertisement) bool {
	return a.MAC == b.MAC && a.MTU == b.MTU && a.Lifetime == b.Lifetime && slices.Equal(a.Prefixes, b.Prefixes)
}

// Defaults of RFC 4861 section 6.2.1, but for the hop limit, which is Linux's.
const (
	maxRouterLifetime = 9000 * time.Second
	validLifetime     = 30 * 24 * time.Hour
	preferredLifetime = 7 * 24 * time.Hour
	hostHopLimit      = 64
)

// allNodesMAC is that of ff02::1, RFC 2464 section 7.
var allNodesMAC = ether.MAC{0x33, 0x33, 0, 0, 0, 1}

// Frame is the advertisement from the link-local address of the MAC to all nodes
// (RFC 4861 section 4.2). It tells of no DHCPv6. Hosts make addresses of 64-bit
// prefixes only (RFC 4862 section 5.5.3).
func (a RouterAdvertisement) Frame() ([]byte, error) {
	return a.FrameTo(allNodesMAC, netip.IPv6LinkLocalAllNodes())
}

// FrameTo is the advertisement to one host alone, as a router may answer its solicitation
// (RFC 4861 section 6.2.6). One that has no address yet, an invalid ip, takes what is sent
// to all nodes at its MAC (RFC 6085).
func (a RouterAdvertisement) FrameTo(mac ether.MAC, ip netip.Addr) ([]byte, error) {
	if !ip.IsValid() {
		ip = netip.IPv6LinkLocalAllNodes()
	}
	ra := ndp.RouterAdvertisement{
		CurrentHopLimit: hostHopLimit,
		RouterLifetime:  min(a.Lifetime, maxRouterLifetime),
		Options: []ndp.Option{
			&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: net.HardwareAddr(a.MAC[:])},
			ndp.NewMTU(uint32(a.MTU)),
		},
	}
	for _, p := range a.Prefixes {
		ra.Options = append(ra.Options, &ndp.PrefixInformation{
			PrefixLength: uint8(p.Bits()), OnLink: true, AutonomousAddressConfiguration: p.Bits() == 64,
			ValidLifetime: validLifetime, PreferredLifetime: preferredLifetime, Prefix: p.Masked().Addr(),
		})
	}
	source := LinkLocal(a.MAC)
	message, err := ndp.MarshalMessageChecksum(&ra, source, ip)
	if err != nil {
		return nil, fmt.Errorf("make the router advertisement of %v: %w", a.MAC, err)
	}
	f := slices.Concat(mac[:], a.MAC[:])
	f = binary.BigEndian.AppendUint16(f, EtherTypeIPv6)
	f = append(f, 6<<4, 0, 0, 0)
	f = binary.BigEndian.AppendUint16(f, uint16(len(message)))
	f = append(f, icmpv6, ndHopLimit)
	f = append(f, source.AsSlice()...)
	f = append(f, ip.AsSlice()...)
	return append(f, message...), nil
}
