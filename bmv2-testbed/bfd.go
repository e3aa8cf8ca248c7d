package testbed

import (
	"context"
	"fmt"
	"strings"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// Sessions reads the gateway's view of its BGP sessions, by the peer's address.
func (g *Gateway) Sessions(ctx context.Context) (map[string]*p4evpnv1.Session, error) {
	stream, err := g.view.ListSessions(ctx, &p4evpnv1.ListSessionsRequest{})
	found := map[string]*p4evpnv1.Session{}
	return found, collect("sessions", stream, err, func(part *p4evpnv1.ListSessionsResponse) {
		for _, s := range part.GetSessions() {
			found[s.GetAddress()] = s
		}
	})
}

// Session is what the gateway says of that with a peer.
func (g *Gateway) Session(ctx context.Context, peer string) (*p4evpnv1.Session, error) {
	all, err := g.Sessions(ctx)
	if err == nil && all[peer] == nil {
		err = fmt.Errorf("the gateway has no session with %s", peer)
	}
	return all[peer], err
}

// AwaitBFD waits until BFD to a peer is in a state.
func (g *Gateway) AwaitBFD(ctx context.Context, peer string, state p4evpnv1.BfdState) error {
	return Eventually(ctx, 2*patience, fmt.Sprintf("BFD to %s is %v", peer, state), func(ctx context.Context) error {
		s, err := g.Session(ctx, peer)
		if err == nil && s.GetBfd().GetState() != state {
			err = fmt.Errorf("it is %v", s.GetBfd())
		}
		return err
	})
}

// Silence has a device carry nothing more of IP, in silence: both ends keep their carrier.
// The device is the namespace's own end, of what its kernel sends and receives.
func (n *Namespace) Silence(ctx context.Context, dev string) error {
	return n.nft(ctx, fmt.Sprintf(`table inet silence {
	chain in { type filter hook input priority -300; iifname %q drop; }
	chain out { type filter hook output priority -300; oifname %[1]q drop; }
}
`, dev))
}

// Speak ends what Silence began.
func (n *Namespace) Speak(ctx context.Context) error {
	return n.nft(ctx, "delete table inet silence\n")
}

func (n *Namespace) nft(ctx context.Context, rules string) error {
	cmd := n.Command(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}
