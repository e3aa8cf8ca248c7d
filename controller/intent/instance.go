package intent

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/p4evpn/p4evpn/bgp"
)

// Instance is what a bridge's or VRF's EVPN instance (EVI, RFC 7432 section 2)
// has in place of what follows from its VNI.
type Instance struct {
	// ID says what it is of: "bridge." or "vrf." and that one's id, such as
	// "bridge.blue". InstanceID makes it, Of reads it.
	ID string `json:"id"`
	// RD is the route distinguisher of our routes, which no other instance has;
	// the zero value is none: <router id>:<number>.
	RD bgp.RD `json:"rd,omitzero"`
	// Import and Export are route targets, at most maxRouteTargets each. None
	// means to import *:VNI and to export (AS mod 65536):VNI.
	Import []bgp.RouteTarget `json:"import,omitempty"`
	Export []bgp.RouteTarget `json:"export,omitempty"`
	// MACIPOnly, of a bridge's: type-2 routes are advertised for a MAC with an IPv4
	// address alone, to every neighbour.
	MACIPOnly bool `json:"mac_ip_only,omitempty"`
	// EthernetTag, of a bridge's, is the tag by which peers of a VLAN-aware bundle (RFC
	// 7432 section 6.3) name the bridge, beside its VNI; 0 = none.
	EthernetTag uint32 `json:"ethernet_tag,omitempty"`
	// TaggedMulticast, of a bridge's: the Ethernet tag of our type-3 route is the VNI, as
	// RYU's rest_vtep has it, not 0.
	TaggedMulticast bool `json:"tagged_multicast,omitempty"`
	// LogicalSwitch, of a bridge's, is the name of the OVN logical switch that the bridge
	// stretches, which no other bridge does; "" = none.
	LogicalSwitch string `json:"logical_switch,omitempty"`
	// DropUnknownUnicast, of a bridge's: frames to stations that are not known are dropped and
	// not flooded.
	DropUnknownUnicast bool `json:"drop_unknown_unicast,omitempty"`
	// MaxMACs, of a bridge's, is how many MACs may be learned in the bridge; 0 = as many as
	// the configuration says.
	MaxMACs uint32 `json:"max_macs,omitempty"`
	// MaxAddresses, of a bridge's, is how many addresses hosts on its ports may have; 0 = as
	// many as the configuration says.
	MaxAddresses uint32 `json:"max_addresses,omitempty"`
	// MaxRoutes, of a VRF's, is how many routes of each family the VRF may have, those to its
	// hosts included; 0 = as many as the configuration says.
	MaxRoutes uint32 `json:"max_routes,omitempty"`
	// Configured says that the configuration file gives it.
	Configured bool `json:"-"`
}

// The first halves of instances' ids.
const (
	bridgeInstance = "bridge."
	vrfInstance    = "vrf."
)

// InstanceID is the id of the instance of a logical bridge or VRF.
func InstanceID(of Ref) string {
	if of.Kind == KindVRF {
		return vrfInstance + of.ID
	}
	return bridgeInstance + of.ID
}

// CheckInstanceID checks an instance's id.
func CheckInstanceID(id string) error {
	_, err := instanceOf(id)
	return err
}

func instanceOf(id string) (Ref, error) {
	if of, ok := strings.CutPrefix(id, bridgeInstance); ok {
		return Ref{KindLogicalBridge, of}, CheckID(of)
	}
	if of, ok := strings.CutPrefix(id, vrfInstance); ok {
		return Ref{KindVRF, of}, CheckID(of)
	}
	return Ref{}, fmt.Errorf("%q: want %s or %s and the id of one, such as %sblue", clip(id), bridgeInstance, vrfInstance,
		bridgeInstance)
}

// Of is the logical bridge or VRF that the instance is of; it need not be there
// if the instance is configured.
func (i Instance) Of() Ref {
	of, _ := instanceOf(i.ID)
	return of
}

// Ref names the instance.
func (i Instance) Ref() Ref { return Ref{KindInstance, i.ID} }

// Equal reports whether two instances ask for the same; the order of route targets
// means nothing.
func (i Instance) Equal(o Instance) bool {
	return i.ID == o.ID && i.RD == o.RD && i.MACIPOnly == o.MACIPOnly && i.EthernetTag == o.EthernetTag &&
		i.TaggedMulticast == o.TaggedMulticast && i.LogicalSwitch == o.LogicalSwitch &&
		i.DropUnknownUnicast == o.DropUnknownUnicast && i.MaxMACs == o.MaxMACs && i.MaxAddresses == o.MaxAddresses &&
		i.MaxRoutes == o.MaxRoutes &&
		bgp.MakeRouteTargets(i.Import...) == bgp.MakeRouteTargets(o.Import...) &&
		bgp.MakeRouteTargets(i.Export...) == bgp.MakeRouteTargets(o.Export...)
}

func (i Instance) Check() error {
	var v violations
	v.check("id", CheckInstanceID(i.ID))
	v.targets("import_route_targets", i.Import)
	v.targets("export_route_targets", i.Export)
	if i.MACIPOnly && i.Of().Kind != KindLogicalBridge {
		v.add("mac_ip_only", "a VRF has no type-2 routes: want it of the bridges")
	}
	if i.EthernetTag != 0 && i.Of().Kind != KindLogicalBridge {
		v.add("ethernet_tag", "a VRF's routes are not judged by it: want it of the bridges")
	}
	if i.TaggedMulticast && i.Of().Kind != KindLogicalBridge {
		v.add("tagged_multicast", "a VRF has no type-3 route: want it of the bridges")
	}
	if i.LogicalSwitch != "" && i.Of().Kind != KindLogicalBridge {
		v.add("logical_switch", "a logical switch is a bridge's: want it of the bridges")
	}
	v.check("logical_switch", CheckLogicalSwitch(i.LogicalSwitch))
	if i.DropUnknownUnicast && i.Of().Kind != KindLogicalBridge {
		v.add("drop_unknown_unicast", "a VRF floods nothing: want it of the bridges")
	}
	if i.MaxMACs != 0 && i.Of().Kind != KindLogicalBridge {
		v.add("max_macs", "MACs are learned in bridges: want it of the bridges")
	}
	if i.MaxAddresses != 0 && i.Of().Kind != KindLogicalBridge {
		v.add("max_addresses", "addresses are known in bridges: want it of the bridges")
	}
	if i.MaxRoutes != 0 && i.Of().Kind != KindVRF {
		v.add("max_routes", "routes are a VRF's: want it of the VRFs")
	}
	return v.invalid(i.Ref())
}

// maxForeignName bounds a name that another system gives, in bytes.
const maxForeignName = 255

// CheckLogicalSwitch checks the name of an OVN logical switch; "" is none.
func CheckLogicalSwitch(name string) error { return checkForeignName(name) }

// CheckPortGiven checks what somebody called a port; "" is nothing.
func CheckPortGiven(name string) error { return checkForeignName(name) }

// checkForeignName checks a name that another system gives.
func checkForeignName(name string) error {
	if len(name) > maxForeignName {
		return fmt.Errorf("%d bytes given: want at most %d", len(name), maxForeignName)
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("%q: want text without control characters", clip(name))
	}
	return nil
}

func (v *violations) targets(field string, rts []bgp.RouteTarget) {
	if n := len(rts); n > maxRouteTargets {
		v.add(field, fmt.Sprintf("%d given: want at most %d", n, maxRouteTargets))
		return
	}
	for i, rt := range rts {
		if slices.Contains(rts[:i], rt) {
			v.add(fmt.Sprintf("%s[%d]", field, i), fmt.Sprintf("%v is there twice", rt))
		}
	}
}

// admit checks that the bridge or VRF is there and that the RD is its own.
func (i Instance) admit(tx *Tx, _ *Instance) (Instance, error) {
	var v violations
	of, found := i.Of(), false
	switch of.Kind {
	case KindLogicalBridge:
		_, found = tx.bridges.find(of.ID)
	case KindVRF:
		_, found = tx.vrfs.find(of.ID)
	}
	if !found {
		v.missing("id", of)
		return i, v.notFound(i.Ref())
	}
	for _, o := range tx.instances.rows {
		if i.RD != (bgp.RD{}) && o.RD == i.RD && o.ID != i.ID {
			v.taken("route_distinguisher", i.RD, o.Ref())
		}
		if i.LogicalSwitch != "" && o.LogicalSwitch == i.LogicalSwitch && o.ID != i.ID {
			v.taken("logical_switch", i.LogicalSwitch, o.Ref())
		}
	}
	return i, v.conflict(i.Ref())
}

// instance adds that a bridge or VRF has settings that must go first; those of
// the configuration file wait for the next one of that name.
func (v *violations) instance(tx *Tx, of Ref) {
	if i, ok := tx.instances.find(InstanceID(of)); ok && !tx.instances.rows[i].Configured {
		v.inUse(tx.instances.rows[i].Ref())
	}
}

// release: nothing refers to an instance.
func (i Instance) release(*Tx) error { return nil }

func (i Instance) clone() Instance {
	i.Import, i.Export = slices.Clone(i.Import), slices.Clone(i.Export)
	return i
}
