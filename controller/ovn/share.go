package ovn

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// This file is several gateways that share logical switches: the port of each is bound to the
// chassis of one, and bears its VTEP. The others leave it alone while EVPN tells of that VTEP
// in the bridge, and the first who misses it has the port be its own.

// vtepMark is the VTEP of the gateway that has a shared port.
const vtepMark = "p4evpn-vtep"

// share is how this gateway stands to the shared port of a bridge.
type share uint8

const (
	free    share = iota // it is nobody's: this gateway takes it
	ours                 // it is this gateway's, by what is in OVN
	another              // it is left to another gateway
)

// held is what is remembered of a shared port.
type held struct {
	by   string // the VTEP of whose it is, as it was seen last
	ours bool   // that is this gateway
	// unseen is that it was taken from this gateway by one of whom EVPN did not tell since:
	// taken back it would be taken again, and so on.
	unseen bool
}

// look says how this gateway stands to the port, and what is to be remembered.
func (h held) look(by string, a attachment) (share, held) {
	told := slices.ContainsFunc(a.behind.VTEPs, func(v netip.Addr) bool { return v.String() == by })
	switch {
	case !a.behind.Local.IsValid(): // the bridge is not there yet
		return another, h
	case by == a.behind.Local.String():
		return ours, held{by: by, ours: true}
	case by == "":
		return free, held{}
	case told:
		return another, held{by: by}
	case h.ours || h.unseen && h.by == by:
		return another, held{by: by, unseen: true}
	case !a.behind.Settled: // it may yet be told of
		return another, held{by: by}
	}
	return free, held{by: by}
}

// settleShares completes attachments by whose port it is, and says when to do so again; 0 = when
// something changes.
func (k *Keeper) settleShares(there northbound, wanted []attachment, problems map[string]string) (again time.Duration) {
	shares := map[string]held{}
	for i := range wanted {
		a := &wanted[i]
		if !k.cfg.Shared {
			a.share = ours
			continue
		}
		by := ""
		if p := there.port(attachedName(a.vni)); p != nil {
			by = p.ExternalIDs[vtepMark]
		}
		was := k.shares[a.bridge]
		var now held
		a.share, now = was.look(by, *a)
		shares[a.bridge] = now
		if !a.behind.Local.IsValid() {
			again = k.cfg.Retry
		}
		switch {
		case now.unseen:
			problems[a.bridge] = fmt.Sprintf("the gateway of VTEP %s has taken logical switch %q over, and EVPN does not tell "+
				"of that VTEP: have gateways that share logical switches be told of each other's routes", by, a.logicalSwitch)
		case now.ours && !was.ours:
			k.cfg.Logger.Info("a logical switch is joined here", "bridge", a.bridge, "logical_switch", a.logicalSwitch)
		case !now.ours && was.ours:
			k.cfg.Logger.Info("a logical switch is joined at another gateway", "bridge", a.bridge,
				"logical_switch", a.logicalSwitch, "vtep", by)
		}
	}
	k.shares = shares
	return again
}

// noVLAN is that of frames without a tag, of which the target sends none to OVN. Without any VLAN
// a port of Open vSwitch carries all.
const noVLAN = 0

// carried are the VLANs that the trunk to OVN carries, in order. Those of ports at other gateways
// are left out: an ovn-controller that is slow, or dead, has not let go of a port that was here,
// and what other gateways flood to this one would come back to OVN.
func carried(wanted []attachment) []int {
	all := []int{noVLAN}
	for _, a := range wanted {
		if a.share != another {
			all = append(all, int(a.vlan))
		}
	}
	slices.Sort(all)
	return all
}

// asSeen has a transaction fail if somebody has changed a shared port's marks since it was
// looked at: two may want to have it at once.
func asSeen(c client.Client, p *logicalSwitchPort) ([]ovsdb.Operation, error) {
	now, row := 0, &logicalSwitchPort{UUID: p.UUID, ExternalIDs: p.ExternalIDs}
	return c.Where(row).Wait(ovsdb.WaitConditionEqual, &now, row, &row.ExternalIDs)
}
