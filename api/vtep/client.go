package vtep

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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
	// Port is a number of the target's, as rest_vtep has it: of a station elsewhere the
	// uplink's, 0 while that is not known. In a network with a logical switch, which only
	// evpn-for-ovn's have, it is text as there: what was given, or vxlan_<VTEP>_<VNI>.
	Port any `json:"port"`
}

// nextHop is our VTEP of a bridge.
func (h *Handler) nextHop(b intent.LogicalBridge) netip.Addr {
	if b.VTEP.IsValid() {
		return b.VTEP.Addr()
	}
	return h.VTEP
}

// clients are the stations of a bridge: those that were registered, those that
// are learned, and those of other VTEPs; named is its logical switch.
func (h *Handler) clients(ctx context.Context, b intent.LogicalBridge, named string,
	ports []view.Port) (map[string]client, error) {
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
		at := portOf(ports, e.Port)
		c := evpnClient{IP: address[e.MAC], MAC: e.MAC.String(), NextHop: h.nextHop(b).String(), Port: at.Number}
		switch {
		case e.Kind == view.Remote && named != "":
			c.NextHop, c.Port = e.VTEP.String(), fmt.Sprintf("vxlan_%v_%d", e.VTEP, b.VNI)
		case e.Kind == view.Remote:
			c.NextHop, c.Port = e.VTEP.String(), uplinkOf(vteps, e.VTEP)
		case named != "":
			c.Port = at.Name
		}
		out[c.MAC] = client{c}
	}
	err = h.Store.View(func(tx *intent.Tx) error {
		for _, s := range tx.StaticMACs().List("", 0) {
			if s.Bridge == b.ID {
				out[s.MAC.String()] = client{h.registered(b, named, s, portOf(ports, s.Port))}
			}
		}
		return nil
	})
	return out, err
}

// madeHere begins the ids of static MACs that are made here.
const madeHere = "vtep-"

// registered is a static MAC as clients see it; named is the logical switch.
func (h *Handler) registered(b intent.LogicalBridge, named string, s intent.StaticMAC, at view.Port) evpnClient {
	c := evpnClient{MAC: s.MAC.String(), NextHop: h.nextHop(b).String(), Port: at.Number}
	if named != "" {
		c.Port = cmp.Or(s.PortGiven, at.Name)
	}
	if len(s.IPs) > 0 {
		c.IP = s.IPs[0].String()
	}
	return c
}

// portOf is the target's port that a bridge port is bound to, or will be.
func portOf(ports []view.Port, bridgePort string) view.Port {
	for _, p := range ports {
		if p.Kind == view.BridgePort &&
			(intent.BridgePortID(p.Name) == bridgePort || slices.Contains(p.BridgePorts, bridgePort)) {
			return p
		}
	}
	return view.Port{}
}

// uplinkOf is the target's port towards a VTEP, 0 if it is not known.
func uplinkOf(vteps []view.VTEP, address netip.Addr) uint16 {
	for _, v := range vteps {
		if v.Address == address && len(v.Paths) > 0 {
			return v.Paths[0].Port
		}
	}
	return 0
}

// findPort looks for a bridge port of the configuration by its name, its netdev
// or its number, as the originals do. What else a client is at on a logical switch is a
// port of OVN's, which need not be there yet: all of them are behind one of ours.
func (h *Handler) findPort(ports []view.Port, name, logicalSwitch string) (view.Port, error) {
	number, err := strconv.ParseUint(name, 0, 16)
	for _, is := range []func(view.Port) bool{
		func(p view.Port) bool { return p.Name == name },
		func(p view.Port) bool { return p.Netdev == name && name != "" },
		func(p view.Port) bool { return err == nil && uint64(p.Number) == number },
		func(p view.Port) bool { return p.Name == h.OVN && name != "" && logicalSwitch != "" },
	} {
		for _, p := range ports {
			if p.Kind == view.BridgePort && is(p) {
				return p, nil
			}
		}
	}
	if logicalSwitch != "" && h.OVN == "" {
		return view.Port{}, problemf(http.StatusNotFound, "No such OFPort: %.80s: it is none of ours, and the configuration "+
			"does not say behind which of ours OVN's are (ovn.port)", name)
	}
	return view.Port{}, problemf(http.StatusNotFound, "No such OFPort: %.80s", name)
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
	s := intent.StaticMAC{PortGiven: string(*in.Port)}
	if err := intent.CheckPortGiven(s.PortGiven); err != nil {
		return nil, problemf(http.StatusBadRequest, "port: %v", err)
	}
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
	var named string
	err = h.Store.UpdateFor(r.Context(), func(tx *intent.Tx) error {
		if _, err := theSpeaker(tx); err != nil {
			return err
		}
		if b, err = bridgeOf(tx, vni); err != nil {
			return err
		}
		i, _ := tx.Instances().Get(intent.InstanceID(b.Ref()))
		if named = i.LogicalSwitch; i.MACIPOnly && !ip.Is4() {
			return problemf(http.StatusBadRequest, "ip: %v is no IPv4 address, and network %d advertises no others", ip, vni)
		}
		if at, err = h.findPort(ports, s.PortGiven, named); err != nil {
			return err
		}
		s.ID = fmt.Sprintf(madeHere+"%d-%s", vni, strings.ReplaceAll(s.MAC.String(), ":", ""))
		s.Bridge = b.ID
		if s.Port, err = h.attach(tx, at, b, s.MAC); err != nil {
			return err
		}
		return replaceClient(tx, b, s)
	})
	return map[uint32]client{vni: {h.registered(b, named, s, at)}}, err
}

// replaceClient makes a client. One with its MAC that was made here it takes the place of,
// as in the originals; what another API made is another's.
func replaceClient(tx *intent.Tx, b intent.LogicalBridge, s intent.StaticMAC) error {
	old, there := clientOf(tx, b, s.MAC)
	switch {
	case there && old.Equal(s):
		return nil
	case there && !strings.HasPrefix(old.ID, madeHere):
		return problemf(http.StatusConflict, "there is static MAC %q of %v already: delete it first", old.ID, s.MAC)
	case there:
		if err := tx.StaticMACs().Delete(old.ID); err != nil {
			return err
		}
	}
	_, err := tx.StaticMACs().Create(s)
	return err
}

// clientOf is the client of a bridge with a MAC, if it was registered.
func clientOf(tx *intent.Tx, b intent.LogicalBridge, mac ether.MAC) (intent.StaticMAC, bool) {
	for _, s := range tx.StaticMACs().List("", 0) {
		if s.Bridge == b.ID && s.MAC == mac {
			return s, true
		}
	}
	return intent.StaticMAC{}, false
}

// attach finds the bridge port that carries a bridge on a port of the target. A
// port to which nothing is attached becomes an access port; its MAC, which the API
// wants of it, is the client's. That of OVN is a trunk, which carries one more.
func (h *Handler) attach(tx *intent.Tx, at view.Port, b intent.LogicalBridge, mac ether.MAC) (string, error) {
	var other string
	id := intent.BridgePortID(at.Name)
	for _, p := range tx.Ports().List("", 0) {
		if p.ID != id && !slices.Contains(at.BridgePorts, p.ID) {
			continue
		}
		if p.Transparent() || slices.Contains(p.Bridges, b.ID) {
			return p.ID, nil
		}
		if p.Type == intent.Trunk && at.Name == h.OVN {
			p.Bridges = append(slices.Clone(p.Bridges), b.ID)
			p, err := tx.Ports().Update(p)
			return p.ID, err
		}
		other = cmp.Or(other, p.ID)
	}
	if other != "" {
		return "", problemf(http.StatusConflict,
			"port %s is bridge port %q, which does not carry VNI %d: delete that one, or have it carry %q too; networks on "+
				"one port are told apart by VLAN, not by source MAC", at.Name, other, b.VNI, b.ID)
	}
	p := intent.BridgePort{ID: id, MAC: mac, Type: intent.Access, Bridges: []string{b.ID}}
	if at.Name == h.OVN {
		p.Type = intent.Trunk
	}
	p, err := tx.Ports().Create(p)
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
	err = h.Store.UpdateFor(r.Context(), func(tx *intent.Tx) error {
		if _, err := theSpeaker(tx); err != nil {
			return err
		}
		if b, err = bridgeOf(tx, vni); err != nil {
			return err
		}
		var ok bool
		if gone, ok = clientOf(tx, b, mac); !ok {
			return errNoClient
		}
		return tx.StaticMACs().Delete(gone.ID)
	})
	if errors.Is(err, errNoClient) {
		return nil, h.whyNoClient(r.Context(), b, mac)
	}
	if err != nil {
		return nil, err
	}
	i, err := h.instance(b)
	return map[uint32]client{vni: {h.registered(b, i.LogicalSwitch, gone, portOf(ports, gone.Port))}}, err
}

var errNoClient = errors.New("no client")

// whyNoClient says of a MAC that was not registered here whether it is behind another VTEP.
func (h *Handler) whyNoClient(ctx context.Context, b intent.LogicalBridge, mac ether.MAC) error {
	fdb, err := h.View.FDB(ctx, b.ID)
	if err != nil {
		return err
	}
	for _, e := range fdb {
		if e.MAC == mac && e.Kind == view.Remote {
			return problemf(http.StatusNotFound, "Specified client is not local: %v", mac)
		}
	}
	return problemf(http.StatusNotFound, "No such client: %v", mac)
}
