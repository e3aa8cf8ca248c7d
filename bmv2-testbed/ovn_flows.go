package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/p4evpn/p4evpn/ether"
)

// BuildOVNTunnels starts two chassis of OVN and a gateway beside one of them, which has Open
// vSwitch be the VTEP and waits for peers of the caller's.
func (l *Lab) BuildOVNTunnels(ctx context.Context, binary string, peers ...Peer) (*OVNTunnels, error) {
	o := &OVNTunnels{lab: l, out: io.Discard, peers: peers}
	if err := o.startChassis(ctx); err != nil {
		return nil, err
	}
	return o, o.startGateway(ctx, Embedded, binary)
}

// Namespace is the gateway's, VNI that of the logical switch's bridge.
func (o *OVNTunnels) Namespace() *Namespace { return o.edge.NS }
func (o *OVNTunnels) VNI() uint32           { return ovnVNI }

// TunnelKey waits until OVN has a tunnel to a VTEP, and gives its key.
func (o *OVNTunnels) TunnelKey(ctx context.Context, vtep netip.Addr) (key int, err error) {
	port := fmt.Sprintf("vxlan_%v_%d", vtep, o.VNI())
	err = Eventually(ctx, patience, "OVN has "+port, func(ctx context.Context) error {
		out, err := o.central.Do(ctx, "ovn-sbctl --bare --columns=tunnel_key find Port_Binding logical_port="+port)
		if err == nil {
			_, err = fmt.Sscan(out, &key)
		}
		return err
	})
	return key, err
}

// AwaitFlows waits until the flows of both chassis send what is for a MAC to the tunnel with
// a key. It asks again and again, and so sees it a little late.
func (o *OVNTunnels) AwaitFlows(ctx context.Context, mac ether.MAC, key int, within time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not within %v", within))
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range []*Chassis{o.central, o.edge} {
		group.Go(func() error {
			for {
				flows, err := c.Do(ctx, "ovs-ofctl dump-flows br-int dl_dst="+mac.String())
				if err == nil && strings.Contains(flows, fmt.Sprintf("load:0x%x->NXM_NX_REG15[]", key)) {
					return nil
				}
				if ctx.Err() != nil {
					return errors.Join(fmt.Errorf("%s has no flow of %v to tunnel %d: %w", c.Name, mac, key,
						context.Cause(ctx)), errors.New(flows))
				}
			}
		})
	}
	return group.Wait()
}
