package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

// showFDB shows a line for each MAC of a bridge, and of one that is named all, in every
// bridge.
func showFDB(ctx context.Context, c p4evpnv1.ViewClient, what string) (*table, error) {
	request := &p4evpnv1.ListFDBRequest{Bridge: what}
	if _, err := ether.ParseMAC(what); err == nil {
		request = &p4evpnv1.ListFDBRequest{MacAddress: what}
	}
	var entries []*p4evpnv1.FDBEntry
	stream, err := c.ListFDB(ctx, request)
	err = collect(stream, err, func(part *p4evpnv1.ListFDBResponse) { entries = append(entries, part.GetEntries()...) })
	switch {
	case err != nil:
		return nil, err
	case request.GetMacAddress() != "":
		return showMAC(entries), nil
	}
	t := &table{columns: []string{"bridge", "mac", "kind", "where", "seq", "sticky", "age", "state", "reason"}}
	for _, e := range entries {
		where := e.GetPort()
		if e.GetVtep() != "" {
			where = fmt.Sprintf("%s vni %d", e.GetVtep(), e.GetVni())
		}
		t.add(e, e.GetBridge(), e.GetMac(), e.GetKind(), where, e.GetSequence(), yes(e.GetSticky()),
			age(e.GetAge()), e.GetState(), e.GetReason())
	}
	return t, nil
}

// showMAC shows a line for each claim of one MAC: what is known of it in each bridge above
// them.
func showMAC(entries []*p4evpnv1.FDBEntry) *table {
	t := &table{columns: []string{"bridge", "where", "learned", "seq", "sticky", "age", "claim", "reason"}}
	for _, e := range entries {
		note := fmt.Sprintf("%s in bridge %s: %s, %s", e.GetMac(), e.GetBridge(), client.Word(e.GetKind()),
			client.Word(e.GetState()))
		if e.GetReason() != "" {
			note += ": " + e.GetReason()
		}
		t.notes = append(t.notes, note, "addresses: "+orDash(strings.Join(e.GetAddresses(), ", ")), "")
		t.rowsPB = append(t.rowsPB, e)
		for _, c := range e.GetClaims() {
			t.addCells(e.GetBridge(), c.GetPort()+c.GetVtep(), learned(c), c.GetSequence(), yes(c.GetSticky()), age(c.GetAge()),
				c.GetState(), c.GetReason())
		}
	}
	return t
}

// showHosts shows a line for each claim of the addresses of a bridge, or of one address in
// every bridge.
func showHosts(ctx context.Context, c p4evpnv1.ViewClient, what string) (*table, error) {
	request := &p4evpnv1.ListHostsRequest{Bridge: what}
	if _, err := netip.ParseAddr(what); err == nil {
		request = &p4evpnv1.ListHostsRequest{Address: what}
	}
	t := &table{columns: []string{"bridge", "address", "mac", "kind", "where", "state", "claim", "learned", "seq", "age",
		"flags", "reason"}}
	stream, err := c.ListHosts(ctx, request)
	err = collect(stream, err, func(part *p4evpnv1.ListHostsResponse) {
		for _, h := range part.GetHosts() {
			t.rowsPB = append(t.rowsPB, h)
			if len(h.GetClaims()) == 0 {
				t.addCells(h.GetBridge(), h.GetIp(), h.GetMac(), h.GetKind(), h.GetPort()+h.GetVtep(), h.GetState(), "", "", "", "",
					"", h.GetReason())
			}
			for i, c := range h.GetClaims() {
				t.addClaim(h, c, i == 0)
			}
		}
	})
	return t, err
}

// addClaim adds the line of one claim of an address; the first is that of who has it, if
// anybody does.
func (t *table) addClaim(h *p4evpnv1.Host, c *p4evpnv1.Claim, first bool) {
	kind, state, reason := "", "", c.GetReason()
	if first && c.GetMac() == h.GetMac() {
		kind, state = client.Word(h.GetKind()), client.Word(h.GetState())
	}
	if first && h.GetReason() != "" {
		reason += "; " + h.GetReason()
	}
	t.addCells(h.GetBridge(), h.GetIp(), c.GetMac(), kind, c.GetPort()+c.GetVtep(), state, c.GetState(), learned(c),
		c.GetSequence(), age(c.GetAge()), flags(h, c), reason)
}

// learned says how a claim is known.
func learned(c *p4evpnv1.Claim) string {
	var words []string
	for _, s := range c.GetSources() {
		words = append(words, client.Word(s))
	}
	return strings.Join(words, ",")
}

// flags says what is known of an address: nothing, of IPv4.
func flags(h *p4evpnv1.Host, c *p4evpnv1.Claim) string {
	var words []string
	switch {
	case c.GetRouter():
		words = append(words, "router")
	case c.GetFlagsKnown():
		words = append(words, "host")
	case strings.Contains(h.GetIp(), ":"):
		words = append(words, "unknown")
	}
	if c.GetFlagsKnown() && !c.GetOverride() {
		words = append(words, "no-override")
	}
	if c.GetImmutable() {
		words = append(words, "immutable")
	}
	return strings.Join(slices.Compact(words), ",")
}
