package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/ether"
)

// Leaves of one AS behind a spine of another: what comes of a leaf has our own AS in its
// path, and is taken as often as the neighbour's setting allows (RFC 4271 section 9.1.2).
func TestALeafOfOurOwnASIsTakenWhereTheNeighbourMayHaveItInThePath(t *testing.T) {
	t.Parallel()
	needDemo(t, Embedded)
	l, ctx := needLab(t), t.Context()
	t.Cleanup(func() { logsOf(t, l) })
	o := DemoOptions{Target: Embedded, Binary: must(builtBinary())(t), Out: testWriter{t}}
	p := must(buildPeering(ctx, l, o, nil, gatewayFile{}))(t)
	check(t, p.gateway.CreateBridge(ctx, blue, tagBlue, blueVNI))
	const spine, most = 65102, 3
	mac := func(times uint32) ether.MAC { return ether.MAC{2, 0xcc, 0, 0, 0, byte(times)} }
	for allowed := range uint32(most) {
		if allowed > 0 {
			must(p.gateway.command(ctx, "delete", "neighbor", foreignVTEP.String()))(t)
		}
		must(p.gateway.command(ctx, "create", "neighbor", foreignVTEP.String(), "--remote-as", fmt.Sprint(spine),
			"--passive", "--allow-own-as", fmt.Sprint(allowed)))(t)
		s := p.rawPeer(t, bgptest.Config{Local: foreignVTEP, AS: spine, HoldTime: 30 * time.Second})
		for times := range uint32(most + 1) {
			a := bgptest.Attributes{NextHop: foreignVTEP, ASPath: []uint32{spine},
				Communities: [][8]byte{bgptest.RouteTarget(spine, blueVNI), bgptest.VXLAN()}}
			for range times {
				a.ASPath = append(a.ASPath, gatewayAS)
			}
			check(t, s.Send(bgptest.Update(a, bgptest.MACRoute([8]byte{0, 1, 172, 17, 0, 1, 3, 242}, 0,
				mac(times), netip.Addr{}, blueVNI))))
		}
		check(t, s.Send(bgptest.Update(bgptest.Attributes{NextHop: foreignVTEP, ASPath: []uint32{spine},
			Communities: [][8]byte{bgptest.RouteTarget(spine, blueVNI), bgptest.VXLAN()}},
			bgptest.MACRoute([8]byte{0, 1, 172, 17, 0, 1, 3, 242}, 0, mac(99), netip.Addr{}, blueVNI))))
		check(t, Eventually(ctx, patience, fmt.Sprintf("paths with us up to %d times are taken", allowed),
			func(ctx context.Context) error {
				fdb, err := p.gateway.FDB(ctx, blue)
				if err != nil {
					return err
				}
				for times := range uint32(most + 1) {
					if _, there := fdb[mac(times).String()]; there != (times <= allowed) {
						return fmt.Errorf("%d times: %t", times, there)
					}
				}
				if _, there := fdb[mac(99).String()]; !there {
					return fmt.Errorf("the last route is not read yet")
				}
				return nil
			}))
		s.Close()
	}
}
