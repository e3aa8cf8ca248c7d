package api

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// host is the service name that some clients put before resource names.
const host = "//network.opiproject.org/"

// naming is how one kind of objects is named in the API.
type naming struct {
	collection string // in resource names: "logicalBridges"
	alias      string // the reference bridge's older form, if it differs: "bridges"
	field      string // in requests: "logical_bridge"
	typeName   string // google.api.resource type
	prefix     string // of generated ids
}

var (
	bridgeNaming = naming{"logicalBridges", "bridges", "logical_bridge", "opi_api.network.evpn_gw.v1alpha1/LogicalBridge",
		"bridge-"}
	portNaming = naming{"bridgePorts", "ports", "bridge_port", "opi_api.network.evpn_gw.v1alpha1/BridgePort", "port-"}
	vrfNaming  = naming{"vrfs", "vrfs", "vrf", "opi_api.network.evpn_gw.v1alpha1/Vrf", "vrf-"}
	sviNaming  = naming{"svis", "svis", "svi", "opi_api.network.evpn_gw.v1alpha1/Svi", "svi-"}

	instanceNaming   = naming{"instances", "instances", "instance", "p4evpn.v1/Instance", ""}
	staticMACNaming  = naming{"staticMacs", "staticMacs", "static_mac", "p4evpn.v1/StaticMac", "mac-"}
	speakerNaming    = naming{"speakers", "speakers", "speaker", "p4evpn.v1/Speaker", ""}
	neighborNaming   = naming{"neighbors", "neighbors", "neighbor", "p4evpn.v1/Neighbor", ""}
	targetPortNaming = naming{"ports", "ports", "port", "p4evpn.v1/Port", ""}

	namings = map[intent.Kind]naming{
		intent.KindLogicalBridge: bridgeNaming,
		intent.KindBridgePort:    portNaming,
		intent.KindVRF:           vrfNaming,
		intent.KindSVI:           sviNaming,
		intent.KindInstance:      instanceNaming,
		intent.KindStaticMAC:     staticMACNaming,
		intent.KindSpeaker:       speakerNaming,
		intent.KindNeighbor:      neighborNaming,
	}

	// Ids that are not the OPI API's, by collection.
	ownIDs = map[string]func(string) error{
		instanceNaming.collection: intent.CheckInstanceID,
		speakerNaming.collection: func(id string) error {
			if id != intent.TheSpeaker {
				return fmt.Errorf("%.80q: the only one is %q", id, intent.TheSpeaker)
			}
			return nil
		},
		neighborNaming.collection: func(id string) error {
			_, err := intent.NeighborAddress(id)
			return err
		},
		targetPortNaming.collection: func(id string) error {
			if id == "" || strings.Contains(id, "/") {
				return fmt.Errorf("%.80q: want the port's name in the configuration", id)
			}
			return nil
		},
	}
)

// checkID checks the id of such an object.
func (n naming) checkID(id string) error {
	if check, ok := ownIDs[n.collection]; ok {
		return check(id)
	}
	return intent.CheckID(id)
}

// name gives the proto's own form, the only one that works in a REST path.
func (n naming) name(id string) string { return n.collection + "/" + id }

// id reads a name in any form that clients send.
func (n naming) id(name string) (string, error) {
	collection, id, ok := strings.Cut(strings.TrimPrefix(name, host), "/")
	if name == "" {
		return "", fmt.Errorf("not set: want %s/{id}", n.collection)
	}
	if !ok || collection != n.collection && collection != n.alias {
		return "", fmt.Errorf("%.80q: want %s/{id}", name, n.collection)
	}
	return id, n.checkID(id)
}

// newID makes an id for an object that was given none.
func (n naming) newID() string { return n.prefix + strings.ToLower(rand.Text()) }

// pageToken hides the id of the last object of a page. It holds nothing that a
// restart or a change of other objects could make wrong.
func (n naming) pageToken(lastID string) string {
	return base64.RawURLEncoding.EncodeToString([]byte("1/" + n.name(lastID)))
}

// parsePageToken gives the id after which the page starts.
func (n naming) parsePageToken(token string) (string, error) {
	if token == "" {
		return "", nil
	}
	if b, err := base64.RawURLEncoding.Strict().DecodeString(token); err == nil {
		if id, ok := strings.CutPrefix(string(b), "1/"+n.collection+"/"); ok && n.checkID(id) == nil {
			return id, nil
		}
	}
	return "", fmt.Errorf("%.80q is not a token that a list of %s gave", token, n.collection)
}
