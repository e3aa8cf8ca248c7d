package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch/netport"
)

// forwardCommand as the first argument makes this program the forwarder.
const forwardCommand = "forward"

// forward carries what comes in at one interface to another until ctx is done:
// what the embedded switch would do without a pipeline.
func forward(ctx context.Context, interfaces []string) error {
	if len(interfaces) != 2 {
		return errors.New("forward: name the interface to read and the one to write")
	}
	in, err := netport.New(netport.Config{Interface: interfaces[0], RingBytes: 16 << 20,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := netport.New(netport.Config{Interface: interfaces[1], Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	go func() { _ = out.Run(ctx, func([][]byte) {}) }() // ends with ctx, as the process does
	sender := netport.NewSender()
	return in.Run(ctx, func(frames [][]byte) { sender.Send(out, frames) })
}

// forwarder measures the forwarder, which leaves frames as they are.
func (r *rig) forwarder(ctx context.Context, cells []cell) (measurements, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := startProcess("the forwarder", r.ns.Command(ctx, self, forwardCommand, switchEnd(r.c.from),
		switchEnd(r.c.to)), filepath.Join(r.bench.dir, "forwarder.log"))
	if err != nil {
		return nil, err
	}
	defer p.stop()
	c := *r.c
	c.grows, c.routed = 0, nil
	c.arrives = func(station int) ether.MAC { return ether.MAC(c.frame(packetSizes[0], 0, station)[:6]) }
	return r.measure(ctx, p.name, cells, &c, p, nothing)
}

// nothing is to be done for a cell.
func nothing(cell) (func() error, error) { return func() error { return nil }, nil }

// linux measures Linux's bridge and VXLAN device with the same forwarding
// entries; it does no more than the cases that are bridged.
func (r *rig) linux(ctx context.Context, cells []cell) (measurements, error) {
	if r.c.routed != nil || len(cells) == 0 {
		return nil, nil
	}
	defer func() {
		for _, dev := range []string{"vx0", "br0"} {
			_ = r.ns.Command(context.WithoutCancel(ctx), "ip", "link", "delete", dev).Run() // as the namespace will be
		}
	}()
	if err := r.batch(r.ns.Command(ctx, "ip", "-batch", "-"), linuxBridge()); err != nil {
		return nil, err
	}
	var fdb strings.Builder
	for n := range fewStations {
		if r.c.to == devUp {
			fmt.Fprintf(&fdb, "fdb add %s dev vx0 master static\nfdb add %s dev vx0 self static dst %s\n", stationOf(n),
				stationOf(n), remoteVTEP)
		} else {
			fmt.Fprintf(&fdb, "fdb add %s dev %s master static\n", stationOf(n), switchEnd(devB))
		}
	}
	if err := r.batch(r.ns.Command(ctx, "bridge", "-batch", "-"), fdb.String()); err != nil {
		return nil, err
	}
	return r.measure(ctx, "Linux", cells, r.c, nil, nothing)
}

// linuxBridge is the network of the cases, as ip -batch takes it.
func linuxBridge() string {
	up := switchEnd(devUp)
	return strings.Join([]string{
		"link add name br0 type bridge mcast_snooping 0", "link set br0 up",
		"link set " + switchEnd(devA) + " master br0", "link set " + switchEnd(devB) + " master br0",
		fmt.Sprintf("link set %s address %s", up, uplinkMAC),
		fmt.Sprintf("address add %s/32 dev %s", gatewayVTEP, up),
		fmt.Sprintf("route add %s/32 dev %s", remoteVTEP, up),
		fmt.Sprintf("neighbour replace %s lladdr %s nud permanent dev %s", remoteVTEP, nextHopMAC, up),
		fmt.Sprintf("link add name vx0 type vxlan id %d local %s dstport 4789 nolearning", packetVNI, gatewayVTEP),
		"link set vx0 master br0", "link set vx0 up",
	}, "\n") + "\n"
}

func (r *rig) batch(cmd *exec.Cmd, lines string) error {
	cmd.Stdin = strings.NewReader(lines)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make Linux's bridge: %w: %s", err, out)
	}
	return nil
}

// keepWriting writes entries to the table that all frames pass, at writeRate
// or as fast as the switch takes them, until what it returns is called: half of
// the writes add an entry, the others take it away.
func (t *programmed) keepWriting(ctx context.Context) (stop func() error) {
	const batch = writeRate / 100 // every 10 ms
	updates := map[bool][]p4rt.Update{}
	for n := range batch {
		e := p4.FDB{Bridge: packetBridge, MAC: stationMAC(uint32(n)), Kind: p4.ToPort, Port: portB}.Entry()
		updates[true] = append(updates[true], &p4v1.Update{Type: p4v1.Update_INSERT, Entity: e.Entity()})
		updates[false] = append(updates[false], &p4v1.Update{Type: p4v1.Update_DELETE, Entity: e.Entity()})
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		add := true
		var err error
		tick := time.NewTicker(time.Second / (writeRate / batch))
		defer tick.Stop()
		for ; err == nil && (ctx.Err() == nil || !add); add = !add {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
			err = t.write(context.WithoutCancel(ctx), updates[add])
		}
		done <- err
	}()
	return func() error {
		cancel()
		return <-done
	}
}
