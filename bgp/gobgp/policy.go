package gobgp

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// notForAll is the community, 0:1, that marks routes of ours which neighbours with
// MACIPOnly are not told. It is of the reserved range (RFC 1997), and taken off
// before a route leaves.
const notForAll = 0<<16 | 1

// The names of GoBGP's sets: of neighbours with MACIPOnly, and of notForAll.
const (
	macIPOnlySet = "mac-ip-only"
	notForAllSet = "not for all"
)

// setInnerPolicies keeps what is not ours from being advertised on. Of peers GoBGP is
// told nothing but their route target memberships (RFC 4684), which decide what they are
// told; those never are preferred to ours.
func setInnerPolicies(ctx context.Context, gobgp *server.BgpServer) error {
	ours := func(name string) *api.Statement {
		return &api.Statement{
			Name:       name,
			Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL},
			Actions:    &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT},
		}
	}
	memberships := &api.Statement{
		Name:       "memberships",
		Conditions: &api.Conditions{AfiSafiIn: []*api.Family{rtcFamily}},
		Actions: &api.Actions{
			RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT, LocalPref: &api.LocalPrefAction{Value: 1},
		},
	}
	err := assign(ctx, gobgp, api.PolicyDirection_POLICY_DIRECTION_IMPORT, "in", ours("ours in"), memberships)
	if err != nil {
		return err
	}
	for _, set := range []*api.DefinedSet{
		// A set without members matches everybody: it begins with one whom nobody is.
		neighborSet(netip.IPv4Unspecified()),
		{DefinedType: api.DefinedType_DEFINED_TYPE_COMMUNITY, Name: notForAllSet, List: []string{"^0:1$"}},
	} {
		if err := gobgp.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: set}); err != nil {
			return fmt.Errorf("adding the set %q: %w", set.GetName(), err)
		}
	}
	some, hidden := ours("some"), ours("hidden")
	some.Conditions.CommunitySet = &api.MatchSet{Name: notForAllSet, Type: api.MatchSet_TYPE_ANY}
	some.Actions.Community = &api.CommunityAction{Type: api.CommunityAction_TYPE_REPLACE}
	hidden.Conditions.CommunitySet = some.Conditions.CommunitySet
	hidden.Conditions.NeighborSet = &api.MatchSet{Name: macIPOnlySet, Type: api.MatchSet_TYPE_ANY}
	hidden.Actions.RouteAction = api.RouteAction_ROUTE_ACTION_REJECT
	return assign(ctx, gobgp, api.PolicyDirection_POLICY_DIRECTION_EXPORT, "out", hidden, some, ours("ours out"))
}

// assign makes a policy of statements, and rejects what none of them accepts.
func assign(
	ctx context.Context, gobgp *server.BgpServer, direction api.PolicyDirection, name string, statements ...*api.Statement,
) error {
	add := &api.AddPolicyRequest{Policy: &api.Policy{Name: name, Statements: statements}}
	if err := gobgp.AddPolicy(ctx, add); err != nil {
		return fmt.Errorf("adding the policy %q: %w", name, err)
	}
	err := gobgp.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
		Name:          "global",
		Direction:     direction,
		Policies:      []*api.Policy{{Name: name}},
		DefaultAction: api.RouteAction_ROUTE_ACTION_REJECT,
	}})
	if err != nil {
		return fmt.Errorf("setting the policy %q: %w", name, err)
	}
	return nil
}

func neighborSet(a netip.Addr) *api.DefinedSet {
	only := netip.PrefixFrom(a, a.BitLen())
	return &api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_NEIGHBOR, Name: macIPOnlySet, List: []string{only.String()},
	}
}

// limitRoutes has the routes that a neighbour with an inner address is told be those that
// MACIPOnly lets through, or all of them, from now on.
func limitRoutes(ctx context.Context, gobgp *server.BgpServer, inner netip.Addr, only bool) error {
	set := neighborSet(inner)
	if err := gobgp.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: set}); err != nil {
		return fmt.Errorf("lifting the limit of its routes: %w", err)
	}
	if !only {
		return nil
	}
	if err := gobgp.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: set}); err != nil {
		return fmt.Errorf("limiting its routes: %w", err)
	}
	return nil
}
