package vtep

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// network is a network as clients see it.
type network struct {
	EvpnNetwork evpnNetwork
}

type evpnNetwork struct {
	Clients       map[string]client `json:"clients"`
	EthernetTagID uint32            `json:"ethernet_tag_id"`
	LogicalSwitch string            `json:"logical_switch,omitempty"`
	RD            string            `json:"route_dist"`
	VNI           uint32            `json:"vni"`
}

// bridgeOf is the bridge with a VNI.
func bridgeOf(tx *intent.Tx, vni uint32) (intent.LogicalBridge, error) {
	for _, b := range tx.Bridges().List("", 0) {
		if b.VNI == vni && vni != 0 {
			return b, nil
		}
	}
	return intent.LogicalBridge{}, problemf(http.StatusNotFound, "No such VNI: %d", vni)
}

// pathVNI reads the VNI of a request's path.
func pathVNI(r *http.Request) (uint32, error) {
	text := r.PathValue("vni")
	vni, err := strconv.ParseUint(text, 0, 32)
	if err != nil {
		return 0, problemf(http.StatusBadRequest, "vni: %.40q is no number", text)
	}
	return uint32(vni), nil
}

// networkID is the id of the bridge that a network is.
func networkID(vni uint32) string { return fmt.Sprintf("vni-%d", vni) }

// addNetwork makes a bridge. Its VLAN, of which the API says nothing, is the VNI
// where that is a free VLAN, else the highest free one.
func (h *Handler) addNetwork(r *http.Request) (any, error) {
	var in struct {
		VNI           *number `json:"vni"`
		LogicalSwitch string  `json:"logical_switch"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if err := need(map[string]bool{"vni": in.VNI != nil}); err != nil {
		return nil, err
	}
	vni := uint32(*in.VNI)
	if err := intent.CheckVNI(vni); err != nil {
		return nil, problemf(http.StatusBadRequest, "vni: %v", err)
	}
	if err := intent.CheckLogicalSwitch(in.LogicalSwitch); err != nil {
		return nil, problemf(http.StatusBadRequest, "logical_switch: %v", err)
	}
	var rd string
	err := h.Store.UpdateFor(r.Context(), func(tx *intent.Tx) error {
		s, err := theSpeaker(tx)
		if err != nil {
			return err
		}
		b := intent.LogicalBridge{ID: networkID(vni), VNI: vni}
		if b.VLAN, err = freeVLAN(tx, vni); err != nil {
			return err
		}
		if b, err = tx.Bridges().Create(b); err != nil {
			return created(err, "network %d", vni)
		}
		i := intent.Instance{ID: intent.InstanceID(b.Ref())}
		rd = fmt.Sprintf("%d:%d", s.AS, vni)
		rt, err := bgp.ParseRouteTarget(rd)
		if err != nil {
			return problemf(http.StatusBadRequest,
				"vni: AS %d and VNI %d make no route distinguisher and route target: make the bridge in the OPI API", s.AS, vni)
		}
		i.Import, i.Export = []bgp.RouteTarget{rt}, []bgp.RouteTarget{rt}
		if i.RD, err = bgp.ParseRD(rd); err != nil {
			return err
		}
		i.MACIPOnly, i.TaggedMulticast, i.LogicalSwitch = true, true, in.LogicalSwitch
		_, err = tx.Instances().Create(i)
		return created(err, "network %d", vni)
	})
	body := evpnNetwork{Clients: map[string]client{}, LogicalSwitch: in.LogicalSwitch, RD: rd, VNI: vni}
	return map[uint32]network{vni: {body}}, err
}

func freeVLAN(tx *intent.Tx, vni uint32) (uint16, error) {
	var taken [4095]bool
	for _, b := range tx.Bridges().List("", 0) {
		taken[b.VLAN] = true
	}
	if intent.CheckVLAN(vni) == nil && !taken[vni] {
		return uint16(vni), nil
	}
	for vlan := uint16(4094); vlan > 0; vlan-- {
		if !taken[vlan] {
			return vlan, nil
		}
	}
	return 0, problemf(http.StatusConflict, "there are %d bridges, and so no VLAN is free", len(taken)-1)
}

func (h *Handler) getNetworks(r *http.Request) (any, error) {
	var bridges []intent.LogicalBridge
	err := h.Store.View(func(tx *intent.Tx) error {
		if _, err := theSpeaker(tx); err != nil {
			return err
		}
		bridges = slices.DeleteFunc(tx.Bridges().List("", 0), func(b intent.LogicalBridge) bool { return b.VNI == 0 })
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h.networks(r.Context(), bridges)
}

func (h *Handler) getNetwork(r *http.Request) (any, error) {
	vni, err := pathVNI(r)
	if err != nil {
		return nil, err
	}
	var b intent.LogicalBridge
	err = h.Store.View(func(tx *intent.Tx) (err error) {
		if _, err = theSpeaker(tx); err == nil {
			b, err = bridgeOf(tx, vni)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return h.networks(r.Context(), []intent.LogicalBridge{b})
}

// networks describes bridges by their VNIs.
func (h *Handler) networks(ctx context.Context, bridges []intent.LogicalBridge) (map[uint32]network, error) {
	ports, err := h.View.Ports(ctx)
	if err != nil {
		return nil, err
	}
	out := map[uint32]network{}
	for _, b := range bridges {
		i, err := h.instance(b)
		if err != nil {
			return nil, err
		}
		body := evpnNetwork{VNI: b.VNI, LogicalSwitch: i.LogicalSwitch}
		if body.RD, err = h.routeDistinguisher(ctx, b, i); err != nil {
			return nil, err
		}
		if body.Clients, err = h.clients(ctx, b, i.LogicalSwitch, ports); err != nil {
			return nil, err
		}
		out[b.VNI] = network{body}
	}
	return out, nil
}

// instance is what a bridge's EVPN instance was given.
func (h *Handler) instance(b intent.LogicalBridge) (i intent.Instance, err error) {
	err = h.Store.View(func(tx *intent.Tx) error {
		i, _ = tx.Instances().Get(intent.InstanceID(b.Ref()))
		return nil
	})
	return i, err
}

// routeDistinguisher is that of our routes: the instance's, else the one that the
// controller chose.
func (h *Handler) routeDistinguisher(ctx context.Context, b intent.LogicalBridge, i intent.Instance) (string, error) {
	if i.RD != (bgp.RD{}) {
		return i.RD.String(), nil
	}
	routes, err := h.View.Routes(ctx)
	for _, r := range routes {
		if r.Direction == view.Out && r.Type == 3 && r.VNI == b.VNI {
			return r.RD, nil
		}
	}
	return "", err
}

// deleteNetwork removes a bridge with its clients, its own settings and the access
// ports that carry it; the trunk to OVN carries it no more. Another trunk, or an SVI, on
// it is somebody else's: 409. Like the
// originals it answers with the clients elsewhere, its own being gone.
func (h *Handler) deleteNetwork(r *http.Request) (any, error) {
	body, err := h.getNetwork(r)
	if err != nil {
		return nil, err
	}
	vni, err := pathVNI(r)
	if err != nil {
		return nil, err
	}
	err = h.Store.UpdateFor(r.Context(), func(tx *intent.Tx) error {
		b, err := bridgeOf(tx, vni)
		if err != nil {
			return err
		}
		maps.DeleteFunc(body.(map[uint32]network)[vni].EvpnNetwork.Clients, func(_ string, c client) bool {
			return c.EvpnClient.NextHop == h.nextHop(b).String()
		})
		return h.removeNetwork(tx, b)
	})
	return body, err
}

func (h *Handler) removeNetwork(tx *intent.Tx, b intent.LogicalBridge) (err error) {
	for _, s := range tx.StaticMACs().List("", 0) {
		if s.Bridge == b.ID {
			err = cmp.Or(err, tx.StaticMACs().Delete(s.ID))
		}
	}
	for _, p := range tx.Ports().List("", 0) {
		trunk := p.Type == intent.Trunk && p.ID == intent.BridgePortID(h.OVN)
		switch {
		case !slices.Contains(p.Bridges, b.ID) || p.Type != intent.Access && !trunk:
		case len(p.Bridges) == 1: // a trunk without bridges would carry all
			err = cmp.Or(err, tx.Ports().Delete(p.ID))
		default:
			p.Bridges = slices.DeleteFunc(slices.Clone(p.Bridges), func(id string) bool { return id == b.ID })
			_, failed := tx.Ports().Update(p)
			err = cmp.Or(err, failed)
		}
	}
	if i, missing := tx.Instances().Get(intent.InstanceID(b.Ref())); missing == nil && !i.Configured {
		err = cmp.Or(err, tx.Instances().Delete(i.ID))
	}
	return cmp.Or(err, tx.Bridges().Delete(b.ID))
}
