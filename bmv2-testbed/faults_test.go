package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What can fail on the gateway's machine, one network for all.
func TestGatewayRecoversByItself(t *testing.T) {
	size := restartSize{macs: 10, objects: 20, tmpfs: true}
	eachRestartable(t, size, func(t *testing.T, n *restartNetwork) {
		for _, c := range []struct {
			claim string
			prove func(*restartNetwork, *testing.T)
		}{
			{"from a full disk", (*restartNetwork).diskFull},
			{"from a store that can only be read", (*restartNetwork).storeReadOnly},
			{"from a tap that was deleted by hand", (*restartNetwork).tapDeleted},
			{"from a port that goes down", (*restartNetwork).portDown},
			{"from an uplink that goes down", (*restartNetwork).uplinkDown},
		} {
			t.Run(c.claim, func(t *testing.T) { n.settle(t); c.prove(n, t) })
		}
	})
}

// smallDisk gives a folder that is a file system of 2 MB.
func (n *restartNetwork) smallDisk(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(n.lab.Dir, "disk")
	check(t, os.Mkdir(folder, 0o755))
	check(t, unix.Mount("tmpfs", folder, "tmpfs", 0, "size=2m"))
	n.lab.onClose(func() error { return unix.Unmount(folder, unix.MNT_DETACH) })
	return folder
}

func (n *restartNetwork) diskFull(t *testing.T) {
	ctx := t.Context()
	m := must(StartMeter(append(n.local(n.rate()), n.remote(100)...)...))(t)
	filler := filepath.Join(filepath.Dir(n.config.store), "filler")
	fill := must(os.Create(filler))(t)
	for {
		if _, err := fill.Write(make([]byte, 4096)); err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			break
		}
	}
	check(t, fill.Close())
	// bbolt has some free pages; then nothing more is taken, and nothing is shown.
	made, refused := 0, error(nil)
	for ; refused == nil && made < 1000; made++ {
		refused = n.gateway.CreateBridge(ctx, fmt.Sprintf("full-%04d", made), uint16(1000+made), uint32(30_000+made))
	}
	made--
	if got := status.Code(errors.Unwrap(refused)); got != codes.ResourceExhausted {
		t.Fatalf("with a full disk: %v (%v), want %v", refused, got, codes.ResourceExhausted)
	}
	if !strings.Contains(refused.Error(), "no space left") {
		t.Errorf("the answer does not say why: %v", refused)
	}
	list := must(opi.NewLogicalBridgeServiceClient(n.gateway.conn).ListLogicalBridges(ctx,
		&opi.ListLogicalBridgesRequest{PageSize: 250}))(t)
	if got, want := len(list.GetLogicalBridges()), n.size.objects-10+3+made; got != want {
		t.Errorf("%d bridges are shown, want the %d that were taken", got, want)
	}
	check(t, os.Remove(filler))
	check(t, n.gateway.CreateBridge(ctx, "after", 3000, 33_000))
	t.Logf("%d objects were taken on a full disk before one was refused: %v", made, refused)
	n.measured(t, m, "")
}

func (n *restartNetwork) storeReadOnly(t *testing.T) {
	ctx, folder := t.Context(), filepath.Dir(n.config.store)
	m := must(StartMeter(n.local(n.rate())...))(t)
	check(t, n.gateway.KillController())
	check(t, unix.Mount("", folder, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	err := n.gateway.StartController(ctx, n.config.String())
	if err == nil || !strings.Contains(err.Error(), "read-only") || !strings.Contains(err.Error(), n.config.store) {
		t.Errorf("with a store on a read-only file system: %v, want an end that names the file and says so", err)
	}
	check(t, unix.Mount("", folder, "", unix.MS_REMOUNT, ""))
	n.startController(ctx, t)
	check(t, n.gateway.CreateBridge(ctx, "writable", 3001, 33_001))
	n.measured(t, m, "")
}

func (n *restartNetwork) tapDeleted(t *testing.T) {
	ctx, r1 := t.Context(), n.hosts["r1"]
	must(r1.Reach(ctx, r1.Gateway, patience))(t) // Linux answers, by a tap
	m := must(StartMeter(n.local(n.rate())...))(t)
	vrf := n.gateway.vrfNamespaces() + "tenant"
	before := must(taps(ctx, n, vrf))(t)
	if len(before) != 3 { // two SVIs and the VRF
		t.Fatalf("the VRF has taps %v, want three", before)
	}
	start := time.Now()
	for name := range before {
		must(n.gateway.NS.Output(ctx, "ip", "-n", vrf, "link", "delete", "dev", name))(t)
	}
	check(t, Eventually(ctx, 2*patience, "other taps of the same names are there", func(ctx context.Context) error {
		after, err := taps(ctx, n, vrf)
		for name, index := range before {
			if now, there := after[name]; err == nil && (!there || now == index) {
				err = fmt.Errorf("there are %v, there were %v", after, before)
			}
		}
		return err
	}))
	must(r1.Reach(ctx, r1.Gateway, 2*patience))(t)
	t.Logf("%d taps are back, and the gateway answers, %.2f s after the first was deleted", len(before),
		time.Since(start).Seconds())
	check(t, n.gateway.AwaitRoutingUp(ctx))
	n.measured(t, m, "")
}

// taps gives the interface indexes of a VRF's taps by name.
func taps(ctx context.Context, n *restartNetwork, vrf string) (map[string]string, error) {
	out, err := n.gateway.NS.Output(ctx, "ip", "-n", vrf, "-o", "link", "show", "type", "tun")
	indexes := map[string]string{}
	for line := range strings.Lines(out) { // "7: svi1: <BROADCAST,...
		fields := strings.SplitN(line, ": ", 3)
		if len(fields) == 3 {
			indexes[fields[1]] = fields[0]
		}
	}
	return indexes, err
}

func (n *restartNetwork) portDown(t *testing.T) {
	n.linkDown(t, n.hosts["a"].NS, "eth0", n.flow("the port's", "b", "a", n.rate()),
		n.flow("another's", "r1", "r2", n.rate()))
}

func (n *restartNetwork) uplinkDown(t *testing.T) {
	n.linkDown(t, n.kernel.NS, "gw", n.flow("the uplink's L2", "a", "ka", 100), n.flow("another's", "r1", "r2", n.rate()))
}

// linkDown takes the far end of a cable down and up: what crosses it is back
// soon, what does not misses nothing.
func (n *restartNetwork) linkDown(t *testing.T, ns *Namespace, dev string, crossing, other Flow) {
	t.Helper()
	m := must(StartMeter(crossing, other))(t)
	check(t, ns.Down(dev))
	past := n.flow(pastTheGateway, "p1", "p2", 0)
	check(t, crossing.From.Misses(t.Context(), crossing.To.Address.Addr(), past.From, past.To.Address.Addr()))
	check(t, ns.Up(dev))
	if dev == "gw" { // its route went with the link
		_ = ns.AddRoute(netip.PrefixFrom(gatewayVTEP, 32), netip.MustParseAddr(restartUplinks[0].address))
	}
	start := time.Now()
	must(crossing.From.Reach(t.Context(), crossing.To.Address.Addr(), 2*patience))(t)
	t.Logf("reached again %.2f s after the link is up", time.Since(start).Seconds())
	n.measured(t, m, "another")
}
