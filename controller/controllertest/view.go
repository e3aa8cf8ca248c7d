package controllertest

import (
	"context"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

// Rows are what a View holds.
type Rows struct {
	Bridges   []view.Bridge
	FDB       []view.FDBEntry
	MACs      []view.MAC
	VTEPs     []view.VTEP
	Routes    []view.Route
	Neighbors []view.Neighbor
	Ports     []view.Port
	Entries   []view.Entry
	VRFs      []view.VRF
	SVIs      []view.SVI
	Hosts     []view.Host
	Prefixes  []view.Prefix
	Lookup    view.Lookup // the answer for every VRF and address
	Drops     []view.Drop // the answer for every query
}

// View answers with its rows, those of one bridge, table or VRF if one is named,
// and with Err.
type View struct {
	Rows Rows
	Err  error
	// DropQuery is what Drops was asked last.
	DropQuery view.DropQuery
}

func (v *View) Bridges(context.Context) ([]view.Bridge, error) {
	return slices.Clone(v.Rows.Bridges), v.Err
}

func (v *View) FDB(_ context.Context, bridge string) ([]view.FDBEntry, error) {
	return of(v.Rows.FDB, bridge, func(e view.FDBEntry) string { return e.Bridge }), v.Err
}

func (v *View) MAC(_ context.Context, mac ether.MAC) ([]view.MAC, error) {
	return slices.DeleteFunc(slices.Clone(v.Rows.MACs), func(m view.MAC) bool { return m.MAC != mac }), v.Err
}

func (v *View) VTEPs(context.Context) ([]view.VTEP, error) { return slices.Clone(v.Rows.VTEPs), v.Err }

func (v *View) Routes(context.Context) ([]view.Route, error) {
	return slices.Clone(v.Rows.Routes), v.Err
}

func (v *View) Neighbors(context.Context) ([]view.Neighbor, error) {
	return slices.Clone(v.Rows.Neighbors), v.Err
}

func (v *View) Ports(context.Context) ([]view.Port, error) { return slices.Clone(v.Rows.Ports), v.Err }

func (v *View) Entries(_ context.Context, table string) ([]view.Entry, error) {
	return of(v.Rows.Entries, table, func(e view.Entry) string { return e.Table }), v.Err
}

func (v *View) VRFs(context.Context) ([]view.VRF, error) { return slices.Clone(v.Rows.VRFs), v.Err }

func (v *View) SVIs(context.Context) ([]view.SVI, error) { return slices.Clone(v.Rows.SVIs), v.Err }

func (v *View) Hosts(_ context.Context, bridge string) ([]view.Host, error) {
	return of(v.Rows.Hosts, bridge, func(h view.Host) string { return h.Bridge }), v.Err
}

func (v *View) Address(_ context.Context, ip netip.Addr) ([]view.Host, error) {
	return slices.DeleteFunc(slices.Clone(v.Rows.Hosts), func(h view.Host) bool { return h.IP != ip }), v.Err
}

func (v *View) Prefixes(_ context.Context, vrf string) ([]view.Prefix, error) {
	return of(v.Rows.Prefixes, vrf, func(p view.Prefix) string { return p.VRF }), v.Err
}

func (v *View) Lookup(_ context.Context, vrf string, address netip.Addr) (view.Lookup, error) {
	l := v.Rows.Lookup
	l.VRF, l.Address = vrf, address
	return l, v.Err
}

func (v *View) Drops(_ context.Context, q view.DropQuery) ([]view.Drop, error) {
	v.DropQuery = q
	return slices.Clone(v.Rows.Drops), v.Err
}

// of gives the rows of one thing, of all if none is named.
func of[R any](rows []R, name string, thing func(R) string) []R {
	return slices.DeleteFunc(slices.Clone(rows), func(r R) bool { return name != "" && thing(r) != name })
}

// UnderlayRoutes are the routes of an underlay that BGP learned.
type UnderlayRoutes []view.UnderlayRoute

func (u UnderlayRoutes) UnderlayRoutes() []view.UnderlayRoute { return u }
