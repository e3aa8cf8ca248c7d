package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/view"
)

// Neighbors gives a row for each BGP neighbour.
func (c *Controller) Neighbors(context.Context) ([]view.Neighbor, error) {
	var rows []view.Neighbor
	for _, p := range c.in.Speaker.Peers() {
		row := neighborRow(&p)
		if p.Up {
			row.Advertised = uint64(c.stats.originated.Load())
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func neighborRow(p *bgp.PeerState) view.Neighbor {
	row := view.Neighbor{
		Address: p.Address, AS: p.AS, State: p.State, Received: p.Routes, Limit: p.Limit, Shutdown: p.Shutdown,
		RouterID: p.RouterID, Unicast: p.Unicast, EndOfRIB: p.EndOfRIB, Graceful: p.Graceful, Losses: p.Flaps,
		LastLoss: p.LastDown,
	}
	if !p.Since.IsZero() {
		row.Uptime = time.Since(p.Since) // by the clock of the speaker
	}
	if !p.Up {
		row.Reason = whyDown(p)
	}
	for _, f := range p.Families {
		row.Families = append(row.Families, f.String())
	}
	for _, r := range slices.Sorted(maps.Keys(p.Faults)) {
		row.FaultCounts = append(row.FaultCounts, view.FaultCount{Reason: r.String(), Count: p.Faults[r]})
	}
	for _, f := range p.Recent {
		row.Faults = append(row.Faults, view.Fault{
			Time: f.Time, Reason: f.Reason.String(), What: f.What, Action: faultActions[f.Action], Bytes: f.Bytes,
		})
	}
	row.BFD = bfdRow(&p.BFD)
	return row
}

// bfdRow gives nil where the path is not watched.
func bfdRow(st *bfd.Status) *view.BFD {
	if *st == (bfd.Status{}) {
		return nil
	}
	row := &view.BFD{Trouble: st.Trouble}
	if st.Discriminator == 0 {
		return row
	}
	row.State, row.RemoteState = st.State.String(), st.RemoteState.String()
	row.Uptime, row.Transmission, row.Detection = time.Since(st.Since), st.Transmission, st.Detection
	row.Failures, row.RemoteIndependent = st.Failures, st.Independent
	if st.LastDown != bfd.NoDiagnostic {
		row.LastDown = st.LastDown.String()
	}
	if st.RemoteDiagnostic != bfd.NoDiagnostic {
		row.RemoteDiagnostic = st.RemoteDiagnostic.String()
	}
	return row
}

var faultActions = map[bgp.Action]view.FaultAction{
	bgp.Discarded:    view.Discarded,
	bgp.Withdrawn:    view.Withdrawn,
	bgp.SessionEnded: view.SessionEnded,
}

// whyDown says why there is no session with a neighbour, "" if that is not known.
func whyDown(p *bgp.PeerState) string {
	switch {
	case p.Shutdown && p.LastDown != "":
		return fmt.Sprintf("%s; the last session: %s", shutDown, p.LastDown)
	case p.Shutdown:
		return shutDown
	}
	return p.LastDown
}

// shutDown is why nobody speaks with a neighbour of Shutdown.
const shutDown = "it is shut down here, by its setting shutdown"
