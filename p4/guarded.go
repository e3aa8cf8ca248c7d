package p4

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// BoundSource is an address of a station behind a guarded port, from which it may send
// (source.ipv4, source.ipv6).
type BoundSource struct {
	Bridge  uint16
	Port    uint16
	MAC     ether.MAC
	Address netip.Addr
}

// Entry packs the entry.
func (s BoundSource) Entry() Entry { return Entry{s.Key(), pack(actionBound).value()} }

// Key packs the key alone.
func (s BoundSource) Key() Key {
	if s.Address.Is4() {
		return pack(tableSource4).u16(s.Bridge).u16(s.Port).mac(s.MAC).ipv4(s.Address).key()
	}
	return pack(tableSource6).u16(s.Bridge).u16(s.Port).mac(s.MAC).ipv6(s.Address).key()
}

// NoFlood keeps a bridge from flooding frames to stations that it does not know
// (bridge.unknown).
type NoFlood struct{ Bridge uint16 }

// Entry packs the entry.
func (n NoFlood) Entry() Entry { return Entry{n.Key(), pack(actionNoFlood).value()} }

// Key packs the key alone.
func (n NoFlood) Key() Key { return pack(tableNoFlood).u16(n.Bridge).key() }

// Snooped has what may be an answer of a DHCP server to a station of the bridge copied to
// the controller (snoop.bridge).
type Snooped struct{ Bridge uint16 }

// Entry packs the entry.
func (s Snooped) Entry() Entry { return Entry{s.Key(), pack(actionSnoop).value()} }

// Key packs the key alone.
func (s Snooped) Key() Key { return pack(tableSnooped).u16(s.Bridge).key() }

func (BoundSource) Type() Type { return TypeBoundSource }

func (BoundSource) Level() Level { return LevelLeaf }

func (BoundSource) Refs() []Key { return nil }

func (NoFlood) Type() Type { return TypeNoFlood }

func (NoFlood) Level() Level { return LevelLeaf }

func (NoFlood) Refs() []Key { return nil }

func (Snooped) Type() Type { return TypeSnooped }

func (Snooped) Level() Level { return LevelLeaf }

func (Snooped) Refs() []Key { return nil }
