package testbed

import (
	"testing"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet/packettest"
)

// arrivedSilently is how hypervisors tell of a machine whose addresses they do not know.
const arrivedSilently = "RARP"

// arrival is how a machine that was moved is noticed at its new place. The last two do not
// name its address: that goes along with the MAC (RFC 9135 section 7, RFC 9721).
type arrival struct {
	name  string
	names bool // the address
	frame func(h *Host) []byte
}

var arrivals = []arrival{
	{"gratuitous ARP", true, func(h *Host) []byte {
		return packettest.ARP(packettest.Request, h.MAC, h.Address.Addr(), ether.MAC{}, h.Address.Addr())
	}},
	{"an ARP request for another", true, func(h *Host) []byte {
		return packettest.ARP(packettest.Request, h.MAC, h.Address.Addr(), ether.MAC{}, numbered(99).Addr())
	}},
	{arrivedSilently, false, func(h *Host) []byte { return packettest.RARP(h.MAC) }},
	{"a frame of data", false, func(h *Host) []byte { return packettest.Data(h.MAC, ether.Broadcast) }},
}

// journey takes the mover from the gateway to each end point, from each to each other, and
// between ports.
var journey = []string{"leaf", "second", "gateway", "gateway, other port", "second", "leaf", "gateway"}

func TestAMachineThatMovesIsReachedWithinASecondHoweverItIsNoticed(t *testing.T) {
	for name, o := range leafKinds {
		t.Run(name, func(t *testing.T) {
			eachFabric(t, o, func(t *testing.T, f *Fabric) {
				for _, a := range arrivals {
					if name == usualLeaf || a.name == arrivedSilently {
						t.Run(a.name, func(t *testing.T) { f.travel(t, a) })
					}
				}
			})
		})
	}
}

// travel takes the mover along its journey.
func (f *Fabric) travel(t *testing.T, a arrival) {
	h := f.Hosts["mover"]
	check(t, f.moveMover("gateway"))
	check(t, h.Announce())
	for _, to := range journey {
		what := "to the " + to + " by " + a.name
		f.withinASecond(t, what, h.Address.Addr(), h, a.frame(h), func() error { return f.moveMover(to) })
		// It is reached, so that it has answered ARP by now, or is asked by who looks after
		// its address.
		f.awaitWhatIsSaid(t, what, h.Address.Addr(), h, func() error {
			if a.names {
				return sendFrom(h, a.frame(h))
			}
			return nil
		}, a.name == arrivals[0].name)
		if t.Failed() {
			t.FailNow() // what follows would be of no use
		}
	}
}

// moveMover takes the mover's MAC and address to the device that it has at a place.
func (f *Fabric) moveMover(to string) error {
	h := f.Hosts["mover"]
	if h.Dev == f.moverDevs[to] {
		return nil
	}
	if err := h.NS.DeleteAddress(h.Dev, h.Address); err != nil {
		return err
	}
	if err := h.NS.SetMAC(h.Dev, spareMAC(h.Dev)); err != nil {
		return err
	}
	h.Dev = f.moverDevs[to]
	return h.Configure()
}
