package api

import (
	pb "github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/view"
)

// The enums of p4evpn.v1 by what they stand for here. What is in no map is
// unspecified.
var (
	states = map[view.State]pb.State{
		view.Up:      pb.State_STATE_UP,
		view.Down:    pb.State_STATE_DOWN,
		view.Pending: pb.State_STATE_PENDING,
	}
	sessionStates = map[string]pb.SessionState{ // by view.Neighbor's State
		"idle":        pb.SessionState_SESSION_STATE_IDLE,
		"connect":     pb.SessionState_SESSION_STATE_CONNECT,
		"active":      pb.SessionState_SESSION_STATE_ACTIVE,
		"opensent":    pb.SessionState_SESSION_STATE_OPENSENT,
		"openconfirm": pb.SessionState_SESSION_STATE_OPENCONFIRM,
		"established": pb.SessionState_SESSION_STATE_ESTABLISHED,
	}
	bfdStates = map[string]pb.BfdState{ // by view.BFD's State
		"admin_down": pb.BfdState_BFD_STATE_ADMIN_DOWN,
		"down":       pb.BfdState_BFD_STATE_DOWN,
		"init":       pb.BfdState_BFD_STATE_INIT,
		"up":         pb.BfdState_BFD_STATE_UP,
	}
	families = map[bgp.Family]pb.Family{
		bgp.EVPN:        pb.Family_FAMILY_EVPN,
		bgp.IPv4Unicast: pb.Family_FAMILY_IPV4,
		bgp.IPv6Unicast: pb.Family_FAMILY_IPV6,
	}
	familyWords = func() map[string]pb.Family { // by their names
		words := map[string]pb.Family{}
		for f, e := range families {
			words[f.String()] = e
		}
		return words
	}()
	faultActions = map[view.FaultAction]pb.FaultAction{
		view.Discarded:    pb.FaultAction_FAULT_ACTION_DISCARDED,
		view.Withdrawn:    pb.FaultAction_FAULT_ACTION_WITHDRAWN,
		view.SessionEnded: pb.FaultAction_FAULT_ACTION_SESSION_ENDED,
	}
	directions = map[view.Direction]pb.Direction{
		view.In:  pb.Direction_DIRECTION_IN,
		view.Out: pb.Direction_DIRECTION_OUT,
	}
	fdbKinds = map[view.FDBKind]pb.FDBKind{
		view.Local:  pb.FDBKind_FDB_KIND_LOCAL,
		view.Remote: pb.FDBKind_FDB_KIND_REMOTE,
		view.Static: pb.FDBKind_FDB_KIND_STATIC,
	}
	hostKinds = map[view.HostKind]pb.HostKind{
		view.HostLocal:   pb.HostKind_HOST_KIND_LOCAL,
		view.HostRemote:  pb.HostKind_HOST_KIND_REMOTE,
		view.HostGateway: pb.HostKind_HOST_KIND_GATEWAY,
	}
	claimSources = map[view.ClaimSource]pb.ClaimSource{
		view.SourceStatic:   pb.ClaimSource_CLAIM_SOURCE_STATIC,
		view.SourceHost:     pb.ClaimSource_CLAIM_SOURCE_HOST,
		view.SourceRestart:  pb.ClaimSource_CLAIM_SOURCE_RESTART,
		view.SourceMoved:    pb.ClaimSource_CLAIM_SOURCE_MOVED,
		view.SourceResolved: pb.ClaimSource_CLAIM_SOURCE_RESOLVED,
		view.SourceRoute:    pb.ClaimSource_CLAIM_SOURCE_ROUTE,
		view.SourceExpected: pb.ClaimSource_CLAIM_SOURCE_EXPECTED,
	}
	claimStates = map[view.ClaimState]pb.ClaimState{
		view.ClaimActive:    pb.ClaimState_CLAIM_STATE_ACTIVE,
		view.ClaimInactive:  pb.ClaimState_CLAIM_STATE_INACTIVE,
		view.ClaimProbed:    pb.ClaimState_CLAIM_STATE_PROBED,
		view.ClaimDuplicate: pb.ClaimState_CLAIM_STATE_DUPLICATE,
	}
	prefixKinds = map[view.PrefixKind]pb.PrefixKind{
		view.PrefixHost:      pb.PrefixKind_PREFIX_KIND_HOST,
		view.PrefixRemote:    pb.PrefixKind_PREFIX_KIND_REMOTE,
		view.PrefixConnected: pb.PrefixKind_PREFIX_KIND_CONNECTED,
		view.PrefixGateway:   pb.PrefixKind_PREFIX_KIND_GATEWAY,
		view.PrefixStatic:    pb.PrefixKind_PREFIX_KIND_STATIC,
	}
	portKinds = map[view.PortKind]pb.PortKind{
		view.BridgePort: pb.PortKind_PORT_KIND_BRIDGE,
		view.Uplink:     pb.PortKind_PORT_KIND_UPLINK,
		view.HostPort:   pb.PortKind_PORT_KIND_HOST,
	}
	differenceKinds = map[string]pb.DifferenceKind{ // by view.Difference's Kind
		"missing":    pb.DifferenceKind_DIFFERENCE_KIND_MISSING,
		"unexpected": pb.DifferenceKind_DIFFERENCE_KIND_UNEXPECTED,
		"changed":    pb.DifferenceKind_DIFFERENCE_KIND_CHANGED,
	}
)

// meaning gives what an enum's value stands for; false if it stands for nothing.
func meaning[Word, Enum comparable](words map[Word]Enum, value Enum) (Word, bool) {
	for w, e := range words {
		if e == value {
			return w, true
		}
	}
	var none Word
	return none, false
}
