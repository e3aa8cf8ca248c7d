package vtep

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// speaker and neighbor are as clients see them.
type speaker struct {
	AS        uint32              `json:"as_number"`
	DPID      *datapathID         `json:"dpid,omitempty"` // echoed
	Neighbors map[string]neighbor `json:"neighbors"`
	RouterID  string              `json:"router_id"`
}

type neighbor struct {
	EvpnNeighbor evpnNeighbor
}

type evpnNeighbor struct {
	Address  string `json:"address"`
	RemoteAS uint32 `json:"remote_as"`
	State    string `json:"state"` // "up" or "down"
}

func speakerBody(s intent.Speaker, dpid *datapathID, neighbors map[string]neighbor) map[string]any {
	id := s.RouterID.String()
	return map[string]any{id: map[string]any{"EvpnSpeaker": speaker{AS: s.AS, DPID: dpid, Neighbors: neighbors,
		RouterID: id}}}
}

func (h *Handler) addSpeaker(r *http.Request) (any, error) {
	var in struct {
		DPID     *datapathID `json:"dpid"`
		AS       *number     `json:"as_number"`
		RouterID *string     `json:"router_id"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if err := need(map[string]bool{"as_number": in.AS != nil, "router_id": in.RouterID != nil}); err != nil {
		return nil, err
	}
	id, err := netip.ParseAddr(*in.RouterID)
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "router_id: %.80q is no IPv4 address", *in.RouterID)
	}
	want := intent.Speaker{AS: uint32(*in.AS), RouterID: id}
	err = h.Store.UpdateFor(r.Context(), func(tx *intent.Tx) error {
		old, err := tx.Speakers().Get(intent.TheSpeaker)
		switch {
		case err != nil:
			_, err = tx.Speakers().Create(want)
			return err
		case !old.Equal(want):
			return problemf(http.StatusConflict,
				"there is a speaker, AS %d with router id %v: delete it first, or, if the configuration file gives it, change "+
					"it there", old.AS, old.RouterID)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	neighbors, err := h.neighbors(r.Context())
	return speakerBody(want, in.DPID, neighbors), err
}

// theSpeaker is an error if there is none.
func theSpeaker(tx *intent.Tx) (intent.Speaker, error) {
	s, err := tx.Speakers().Get(intent.TheSpeaker)
	if err != nil {
		return s, problemf(http.StatusNotFound, "BGPSpeaker could not be found")
	}
	return s, nil
}

func (h *Handler) getSpeaker(r *http.Request) (any, error) {
	var s intent.Speaker
	err := h.Store.View(func(tx *intent.Tx) (err error) {
		s, err = theSpeaker(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	neighbors, err := h.neighbors(r.Context())
	return speakerBody(s, nil, neighbors), err
}

// deleteSpeaker takes what was made here along, as the originals do: networks and
// neighbours, but for what the configuration file gives.
func (h *Handler) deleteSpeaker(r *http.Request) (any, error) {
	var s intent.Speaker
	err := h.Store.UpdateFor(r.Context(), func(tx *intent.Tx) (err error) {
		if s, err = theSpeaker(tx); err != nil {
			return err
		}
		for _, b := range tx.Bridges().List("", 0) {
			if b.ID == networkID(b.VNI) {
				err = cmp.Or(err, h.removeNetwork(tx, b))
			}
		}
		for _, n := range tx.Neighbors().List("", 0) {
			if !n.Configured {
				err = cmp.Or(err, tx.Neighbors().Delete(n.Ref().ID))
			}
		}
		return cmp.Or(err, tx.Speakers().Delete(intent.TheSpeaker))
	})
	return speakerBody(s, nil, map[string]neighbor{}), err
}

// neighbors are all neighbours with the state of their sessions.
func (h *Handler) neighbors(ctx context.Context) (map[string]neighbor, error) {
	sessions, err := h.View.Neighbors(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]neighbor{}
	err = h.Store.View(func(tx *intent.Tx) error {
		if _, err := theSpeaker(tx); err != nil {
			return err
		}
		for _, n := range tx.Neighbors().List("", 0) {
			out[n.Address.String()] = neighborBody(n, sessions)
		}
		return nil
	})
	return out, err
}

func neighborBody(n intent.Neighbor, sessions []view.Neighbor) neighbor {
	body := evpnNeighbor{n.Address.String(), n.AS, "down"}
	for _, s := range sessions {
		if s.Address == n.Address && s.State == "established" {
			body.State = "up"
		}
	}
	return neighbor{body}
}

func (h *Handler) addNeighbor(r *http.Request) (any, error) {
	var in struct {
		Address *string `json:"address"`
		AS      *number `json:"remote_as"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if err := need(map[string]bool{"address": in.Address != nil, "remote_as": in.AS != nil}); err != nil {
		return nil, err
	}
	n := intent.Neighbor{AS: uint32(*in.AS)}
	var err error
	if n.Address, err = netip.ParseAddr(*in.Address); err != nil {
		return nil, problemf(http.StatusBadRequest, "address: %.80q is no IP address", *in.Address)
	}
	err = h.Store.UpdateFor(r.Context(), func(tx *intent.Tx) error {
		if _, err := theSpeaker(tx); err != nil { // 400 here alone, as rest_vtep has it
			return problemf(http.StatusBadRequest, "%v", err)
		}
		_, err := tx.Neighbors().Create(n)
		return created(err, "neighbor %v", n.Address)
	})
	return map[string]neighbor{n.Address.String(): neighborBody(n, nil)}, err
}

func (h *Handler) getNeighbors(r *http.Request) (any, error) {
	return h.neighbors(r.Context())
}

func (h *Handler) getNeighbor(r *http.Request) (any, error) {
	address := r.PathValue("address")
	if a, err := netip.ParseAddr(address); err == nil {
		address = a.String()
	}
	all, err := h.neighbors(r.Context())
	if err != nil {
		return nil, err
	}
	n, ok := all[address]
	if !ok {
		return nil, problemf(http.StatusNotFound, "No such neighbor: %.80s", address)
	}
	return map[string]neighbor{address: n}, nil
}

func (h *Handler) deleteNeighbor(r *http.Request) (any, error) {
	body, err := h.getNeighbor(r)
	if err != nil {
		return nil, err
	}
	err = h.Store.UpdateFor(r.Context(), func(tx *intent.Tx) error {
		for address := range body.(map[string]neighbor) {
			return tx.Neighbors().Delete(address)
		}
		return nil
	})
	return body, err
}
