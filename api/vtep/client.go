package vtep

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

// client is a station of a network as clients of the API see it.
type client struct {
	EvpnClient evpnClient
}

type evpnClient struct {
	IP      string `json:"ip"` // "" if only the MAC is known
	MAC     string `json:"mac"`
	NextHop string `json:"next_hop"` // the VTEP, ours or another
	Port    uint16 `json:"port"`     // of the target; of a station elsewhere the uplink, 0 while that is not known
}

// nextHop is our VTEP of a bridge.
func (h *Handler) nextHop(b intent.LogicalBridge) netip.Addr {
	if b.VTEP.IsValid() {
		return b.VTEP.Addr()
	}
	return h.VTEP
}

// clients are the stations of a bridge: those that were registered, those that
// are learned, and those of other VTEPs.
func (h *Handler) clients(ctx context.Context, b intent.LogicalBridge, ports []view.Port) (map[string]client, error) {
	fdb, err := h.View.FDB(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	hosts, err := h.View.Hosts(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	vteps, err := h.View.VTEPs(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(hosts, func(x, y view.Host) int { return x.IP.Compare(y.IP) })
	address := map[ether.MAC]string{}
	for _, host := range hosts {
		if address[host.MAC] == "" {
			address[host.MAC] = host.IP.String()
		}
	}
	out := map[string]client{}
	for _, e := range fdb {
		c := evpnClient{IP: address[e.MAC], MAC: e.MAC.String(), NextHop: h.nextHop(b).String(), Port: portOf(ports, e.Port)}
		if e.Kind == view.Remote {
			c.NextHop, c.Port = e.VTEP.String(), uplinkOf(ports, vteps, e.VTEP)
		}
		out[c.MAC] = client{c}
	}
	err = h.Store.View(func(tx *intent.Tx) error {
		for _, s := range tx.StaticMACs().List("", 0) {
			if s.Bridge == b.ID {
				out[s.MAC.String()] = client{h.registered(b, s, portOf(ports, s.Port))}
			}
		}
		return nil
	})
	return out, err
}

func (h *Handler) registered(b intent.LogicalBridge, s intent.StaticMAC, port uint16) evpnClient {
	c := evpnClient{MAC: s.MAC.String(), NextHop: h.nextHop(b).String(), Port: port}
	if len(s.IPs) > 0 {
		c.IP = s.IPs[0].String()
	}
	return c
}

// portOf is the target's port that a bridge port is bound to.
func portOf(ports []view.Port, bridgePort string) uint16 {
	for _, p := range ports {
		if p.Kind == view.BridgePort && (p.Name == bridgePort || slices.Contains(p.BridgePorts, bridgePort)) {
			return p.Number
		}
	}
	return 0
}

// uplinkOf is the port towards a VTEP.
func uplinkOf(ports []view.Port, vteps []view.VTEP, address netip.Addr) uint16 {
	for _, v := range vteps {
		if v.Address != address || len(v.Paths) == 0 {
			continue
		}
		for _, p := range ports {
			if p.Kind == view.Uplink && v.Paths[0].Uplink == p.Name {
				return p.Number
			}
		}
	}
	return 0
}

// findPort looks for a bridge port of the configuration by its name, its netdev
// or its number, as the originals do.
func findPort(ports []view.Port, name string) (view.Port, error) {
	number, err := strconv.ParseUint(name, 0, 16)
	for _, p := range ports {
		if p.Kind == view.BridgePort && (p.Name == name || p.Netdev == name || err == nil && uint64(p.Number) == number) {
			return p, nil
		}
	}
	return view.Port{}, problemf(http.StatusNotFound, "no such port: %.80q", name)
}

// text is a string, or a number that stands for one.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = text(s)
		return nil
	}
	if _, err := strconv.ParseUint(string(b), 10, 16); err != nil {
		return fmt.Errorf("%.40q: want a port's name or number", b)
	}
	*t = text(b)
	return nil
}

func (h *Handler) addClient(r *http.Request) (any, error) {
	vni, err := pathVNI(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Port *text   `json:"port"`
		MAC  *string `json:"mac"`
		IP   *string `json:"ip"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if err := need(map[string]bool{"port": in.Port != nil, "mac": in.MAC != nil, "ip": in.IP != nil}); err != nil {
		return nil, err
	}
	s := intent.StaticMAC{}
	if s.MAC, err = ether.ParseMAC(*in.MAC); err != nil {
		return nil, problemf(http.StatusBadRequest, "mac: %v", err)
	}
	ip, err := netip.ParseAddr(*in.IP)
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "ip: %.80q is no IP address", *in.IP)
	}
	s.IPs = []netip.Addr{ip}
	ports, err := h.View.Ports(r.Context())
	if err != nil {
		return nil, err
	}
	var b intent.LogicalBridge
	var at view.Port
	err = h.Store.Update(func(tx *intent.Tx) error {
		if b, err = bridgeOf(tx, vni); err != nil {
			return err
		}
		if i, _ := tx.Instances().Get(intent.InstanceID(b.Ref())); i.MACIPOnly && !ip.Is4() {
			return problemf(http.StatusBadRequest, "ip: %v is no IPv4 address, and network %d advertises no others", ip, vni)
		}
		if at, err = findPort(ports, string(*in.Port)); err != nil {
			return err
		}
		s.ID = fmt.Sprintf("vtep-%d-%s", vni, strings.ReplaceAll(s.MAC.String(), ":", ""))
		s.Bridge = b.ID
		if s.Port, err = attach(tx, at, b, s.MAC); err != nil {
			return err
		}
		_, err = tx.StaticMACs().Create(s)
		return created(err, "client %v", s.MAC)
	})
	return map[uint32]client{vni: {h.registered(b, s, at.Number)}}, err
}

// attach finds the bridge port that carries a bridge on a port of the target. A
// port to which nothing is attached becomes an access port; its MAC, which the API
// wants of it, is the client's.
func attach(tx *intent.Tx, at view.Port, b intent.LogicalBridge, mac ether.MAC) (string, error) {
	var other string
	for _, p := range tx.Ports().List("", 0) {
		if p.ID != at.Name && !slices.Contains(at.BridgePorts, p.ID) {
			continue
		}
		if p.Transparent() || slices.Contains(p.Bridges, b.ID) {
			return p.ID, nil
		}
		other = cmp.Or(other, p.ID)
	}
	if other != "" {
		return "", problemf(http.StatusConflict,
			"port %s is bridge port %q, which does not carry VNI %d: delete that one, or have it carry %q too", at.Name, other,
			b.VNI, b.ID)
	}
	p, err := tx.Ports().Create(intent.BridgePort{ID: at.Name, MAC: mac, Type: intent.Access, Bridges: []string{b.ID}})
	return p.ID, err
}

func (h *Handler) deleteClient(r *http.Request) (any, error) {
	vni, err := pathVNI(r)
	if err != nil {
		return nil, err
	}
	mac, err := ether.ParseMAC(r.PathValue("mac"))
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "mac: %v", err)
	}
	ports, err := h.View.Ports(r.Context())
	if err != nil {
		return nil, err
	}
	var b intent.LogicalBridge
	var gone intent.StaticMAC
	err = h.Store.Update(func(tx *intent.Tx) error {
		if b, err = bridgeOf(tx, vni); err != nil {
			return err
		}
		for _, s := range tx.StaticMACs().List("", 0) {
			if s.Bridge == b.ID && s.MAC == mac {
				gone = s
				return tx.StaticMACs().Delete(s.ID)
			}
		}
		return problemf(http.StatusNotFound, "no such client was registered here: %v", mac)
	})
	return map[uint32]client{vni: {h.registered(b, gone, portOf(ports, gone.Port))}}, err
}
