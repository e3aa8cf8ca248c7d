package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// showNeighbors shows a line for each neighbour, and of one that is named all.
func showNeighbors(ctx context.Context, c p4evpnv1.ViewClient, address string) (*table, error) {
	var sessions []*p4evpnv1.Session
	stream, err := c.ListSessions(ctx, &p4evpnv1.ListSessionsRequest{Neighbor: address})
	err = collect(stream, err, func(part *p4evpnv1.ListSessionsResponse) {
		sessions = append(sessions, part.GetSessions()...)
	})
	switch {
	case err != nil:
		return nil, err
	case address != "" && len(sessions) == 1:
		return showNeighbor(sessions[0]), nil
	case address != "": // it is an object, and BGP has not heard of it yet
		return nil, fmt.Errorf("neighbor %s: BGP does not have it yet: is there a speaker?", address)
	}
	t := &table{columns: []string{"neighbor", "as", "state", "since", "bfd", "received/limit", "advertised", "reason"}}
	for _, n := range sessions {
		t.add(n, n.GetAddress(), n.GetAs(), n.GetState(), age(n.GetUptime()), bfdState(n.GetBfd()),
			received(n.GetReceived(), n.GetLimit()), n.GetAdvertised(), n.GetReason())
	}
	return t, nil
}

func received(routes uint64, limit uint32) string { return fmt.Sprintf("%d/%d", routes, limit) }

// receivedByFamily names the families that the session has.
func receivedByFamily(n *p4evpnv1.Session) string {
	var parts []string
	for _, f := range n.GetFamilies() {
		routes := n.GetReceivedUnicast() // a session has one unicast family
		if f == p4evpnv1.Family_FAMILY_EVPN {
			routes = n.GetReceived()
		}
		parts = append(parts, client.Word(f)+" "+received(routes, n.GetLimit()))
	}
	return strings.Join(parts, ", ")
}

// showNeighbor shows one neighbour: what is known of it above the last faults.
func showNeighbor(n *p4evpnv1.Session) *table {
	var counts []string
	for _, f := range n.GetFaultCounts() {
		counts = append(counts, fmt.Sprintf("%s %d", f.GetReason(), f.GetCount()))
	}
	t := &table{}
	t.rowsPB = append(t.rowsPB, n)
	line := func(name, format string, args ...any) {
		t.notes = append(t.notes, fmt.Sprintf("%-17s %s", name, orDash(fmt.Sprintf(format, args...))))
	}
	line("neighbor", "%s", n.GetAddress())
	line("as", "%d", n.GetAs())
	line("router id", "%s", n.GetRouterId())
	line("state", "%s", client.Word(n.GetState()))
	line("since", "%s", age(n.GetUptime()))
	line("reason", "%s", n.GetReason())
	line("received/limit", "%s", receivedByFamily(n))
	line("advertised", "%d", n.GetAdvertised())
	line("end of rib", "%s", yes(n.GetEndOfRib()))
	line("graceful restart", "%s", yes(n.GetGracefulRestart()))
	line("sessions lost", "%d", n.GetLosses())
	line("the last for", "%s", n.GetLastLoss())
	lineBFD(line, n.GetBfd())
	line("faults", "%s", strings.Join(counts, ", "))
	if len(n.GetFaults()) == 0 {
		return t
	}
	t.notes = append(t.notes, "")
	t.columns = []string{"time", "reason", "what", "done", "first bytes"}
	for _, f := range n.GetFaults() {
		t.addCells(f.GetTime().AsTime().Format(time.RFC3339Nano), f.GetReason(), f.GetWhat(), f.GetAction(), f.GetBytes())
	}
	return t
}

// bfdState is the state in a word, "-" where BFD is off.
func bfdState(b *p4evpnv1.BfdSession) string {
	switch {
	case b == nil:
		return "-"
	case b.GetState() == p4evpnv1.BfdState_BFD_STATE_UNSPECIFIED:
		return "unknown"
	}
	return client.Word(b.GetState())
}

// lineBFD shows what is known of the path to a neighbour.
func lineBFD(line func(name, format string, args ...any), b *p4evpnv1.BfdSession) {
	if b.GetState() == p4evpnv1.BfdState_BFD_STATE_UNSPECIFIED {
		line("bfd", "%s", bfdState(b))
	} else {
		fate := "shares fate with its control plane"
		if b.GetRemoteIndependent() {
			fate = "independent of its control plane"
		}
		line("bfd", "%s for %s, lost %d times", bfdState(b), age(b.GetUptime()), b.GetFailures())
		line("bfd timers", "sent every %v, lost after %v", b.GetTransmission().AsDuration(), b.GetDetection().AsDuration())
		line("bfd of the peer", "%s, %s, diagnostic %s", client.Word(b.GetRemoteState()), fate,
			orDash(b.GetRemoteDiagnostic()))
		line("bfd last down", "%s", b.GetLastDown())
	}
	if b.GetTrouble() != "" {
		line("bfd trouble", "%s", b.GetTrouble())
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
