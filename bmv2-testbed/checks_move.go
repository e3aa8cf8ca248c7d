package testbed

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// Where h2 can be: its devices are cabled to two ports of the gateway and to
// both leaves, and one of them is in use.
const (
	atPort2, atPort3, atLeaf1, atLeaf2 = "eth0", "eth1", "eth2", "eth3"
)

// places say what is at the other end of each.
var places = map[string]string{atPort2: "port2", atPort3: "port3", atLeaf1: "leaf1", atLeaf2: "leaf2"}

// spareMAC is the MAC address of a device of a host that is not in use.
func spareMAC(dev string) ether.MAC { return ether.MAC{2, 0, 0, 0, 0xdd, dev[3]} }

// reachableAgain is what a move may cost, and busyMachine how many times longer
// than an echo took before it, on a machine that has much else to do.
const (
	reachableAgain = time.Second
	busyMachine    = 4
)

// move takes a host's address and MAC to another of its devices and announces it
// there, as a hypervisor does after a live migration. No link goes down: the
// announcement is the only sign of the move.
func (h *Host) move(to string) error {
	if err := h.NS.DeleteAddress(h.Dev, h.Address); err != nil {
		return err
	}
	if err := h.NS.SetMAC(h.Dev, spareMAC(h.Dev)); err != nil {
		return err
	}
	h.Dev = to
	if err := h.Configure(); err != nil {
		return err
	}
	return h.Announce()
}

// moved moves h2 and measures how long each other host of its bridge needs to
// reach it again.
func (d *demo) moved(ctx context.Context, to string) (string, error) {
	others := []*Host{d.h1, d.t10, d.l1a, d.l2a}
	if _, err := d.h2Reached(ctx, others); err != nil { // their ARP caches are warm, as before any move
		return "", fmt.Errorf("before the move: %w", err)
	}
	usual, err := d.h2Reached(ctx, others)
	if err != nil {
		return "", fmt.Errorf("before the move: %w", err)
	}
	start := time.Now()
	if err := d.h2.move(to); err != nil {
		return "", err
	}
	moving := time.Since(start)
	took, err := d.h2Reached(ctx, others)
	if err != nil {
		return "", fmt.Errorf("after the move to %s: %w; %s", places[to], err, d.whoKnows(ctx, d.h2.MAC))
	}
	var notes []string
	for i, h := range others {
		took[i] += moving
		notes = append(notes, fmt.Sprintf("%s %d ms", h.Name, took[i].Milliseconds()))
	}
	limit := reachableAgain + busyMachine*slices.Max(usual)
	if longest := slices.Max(took); longest > limit {
		err = fmt.Errorf("not reachable within %v (a ping before the move took up to %v): %s",
			limit, slices.Max(usual), strings.Join(notes, ", "))
	}
	return "reachable again after: " + strings.Join(notes, ", "), err
}

// whoKnows says where a MAC address of the blue bridge is by the gateway and by the
// leaves, FRR and kernel.
func (d *demo) whoKnows(ctx context.Context, mac ether.MAC) string {
	fdb, err := d.gateway.FDB(ctx, blue)
	said := []string{fmt.Sprintf("the gateway has %v %v", fdb[mac.String()], err)}
	for _, leaf := range []*Leaf{d.leaf1, d.leaf2} {
		macs, err := leaf.MACs(ctx, blueVNI)
		kernel, _ := leaf.NS.Output(ctx, "sh", "-c", "bridge fdb show | grep -i "+mac.String())
		said = append(said, fmt.Sprintf("%s has %+v %v, its kernel %q", leaf.Name, macs[mac.String()], err, kernel))
	}
	return strings.Join(said, "; ")
}

// h2Reached has hosts ping h2 at the same time, and gives what each needed.
func (d *demo) h2Reached(ctx context.Context, hosts []*Host) ([]time.Duration, error) {
	took := make([]time.Duration, len(hosts))
	var group errgroup.Group
	for i, h := range hosts {
		group.Go(func() (err error) {
			took[i], err = h.Reach(ctx, d.h2.Address.Addr(), patience)
			return err
		})
	}
	return took, group.Wait()
}

func moveBetweenPorts(ctx context.Context, d *demo) (string, error) {
	there, err := d.moved(ctx, atPort3)
	if err != nil {
		return "", err
	}
	if err := d.known(ctx, d.h2); err != nil {
		return "", err
	}
	back, err := d.moved(ctx, atPort2)
	return there + "; and back: " + back, err
}

// movedAgain is how soon a station is back at the port that it left: at once, but
// for the time that the gateway needs to see that it had left.
const movedAgain = 50 * time.Millisecond

// moveBackAtOnce has stations speak once at a port, once at another and once at
// the first again.
func moveBackAtOnce(ctx context.Context, d *demo) (string, error) {
	left, err := d.h2.NS.OpenRaw(atPort2)
	if err != nil {
		return "", err
	}
	defer left.Close()
	right, err := d.h2.NS.OpenRaw(atPort3)
	if err != nil {
		return "", err
	}
	defer right.Close()
	const stations = 4
	var longest time.Duration
	for n := range byte(stations) {
		mac := ether.MAC{2, 0, 0, 0, 0xed, n}
		frame := packet.ARPRequest(mac, d.h2.Address.Addr().Next(), d.h2.Address.Addr().Next())
		if err := left.Send(frame); err != nil {
			return "", err
		}
		if err := d.learnedAt(ctx, mac, 2); err != nil {
			return "", err
		}
		gone := time.Now()
		if err := right.Send(frame); err != nil {
			return "", err
		}
		if err := d.learnedAt(ctx, mac, 3); err != nil {
			return "", err
		}
		time.Sleep(movedAgain - time.Since(gone)) // the station's pause, if the gateway was sooner
		longest = max(longest, time.Since(gone))
		if err := left.Send(frame); err != nil {
			return "", err
		}
		if err := d.learnedAt(ctx, mac, 2); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d stations, after at most %d ms", stations, longest.Milliseconds()), nil
}

// learnedAt waits until the gateway knows a MAC at a port, and its switch nowhere
// else: only then does the switch report a frame from elsewhere.
func (d *demo) learnedAt(ctx context.Context, mac ether.MAC, port int) error {
	return Eventually(ctx, patience, fmt.Sprintf("%s is learned at port%d", mac, port), func(ctx context.Context) error {
		held, err := d.gateway.Held(ctx, "bridge.source")
		if err != nil {
			return err
		}
		at := slices.DeleteFunc(held, func(text string) bool { return !strings.Contains(text, " mac="+mac.String()+" ") })
		if len(at) != 1 || !strings.Contains(at[0], fmt.Sprintf(" ingress_port=%d ", port)) {
			return fmt.Errorf("the switch has %q", at)
		}
		fdb, err := d.gateway.FDB(ctx, blue)
		if e := fdb[mac.String()]; err == nil &&
			(e.GetState() != p4evpnv1.State_STATE_UP || e.GetPort() != fmt.Sprintf("port%d", port)) {
			err = fmt.Errorf("the gateway has %v", e)
		}
		return err
	})
}

func moveToLeaf(ctx context.Context, d *demo) (string, error) {
	return d.movedWithSequence(ctx, atLeaf1)
}

func moveBetweenLeaves(ctx context.Context, d *demo) (string, error) {
	return d.movedWithSequence(ctx, atLeaf2)
}

func moveBack(ctx context.Context, d *demo) (string, error) {
	return d.movedWithSequence(ctx, atPort2)
}

// movedWithSequence moves h2 and checks that both leaves and the gateway know it
// behind its new VTEP, with a sequence number above the one before.
func (d *demo) movedWithSequence(ctx context.Context, to string) (string, error) {
	if err := d.known(ctx, d.h2); err != nil { // an address that ages out takes its number with it
		return "", err
	}
	before, err := d.sequences(ctx)
	if err != nil {
		return "", err
	}
	notes, err := d.moved(ctx, to)
	if err != nil {
		return "", err
	}
	if err := d.known(ctx, d.h2); err != nil {
		return "", err
	}
	var after map[string]uint32
	err = Eventually(ctx, patience, "the sequence number rises everywhere", func(ctx context.Context) error {
		if after, err = d.sequences(ctx); err != nil {
			return err
		}
		if err := d.h2.Announce(); err != nil {
			return err
		}
		for who, n := range after {
			if n != after["leaf1"] || n <= before[who] {
				return fmt.Errorf("sequence numbers were %v and are %v", before, after)
			}
		}
		return nil
	})
	return fmt.Sprintf("%s; sequence number %d, was %d", notes, after["leaf1"], before["leaf1"]), err
}

// sequences reads h2's mobility sequence number at every VTEP.
func (d *demo) sequences(ctx context.Context) (map[string]uint32, error) {
	mac := d.h2.MAC.String()
	found := map[string]uint32{}
	for _, leaf := range []*Leaf{d.leaf1, d.leaf2} {
		macs, err := leaf.MACs(ctx, blueVNI)
		if err != nil {
			return nil, err
		}
		found[leaf.Name] = max(macs[mac].LocalSeq, macs[mac].RemoteSeq)
	}
	fdb, err := d.gateway.FDB(ctx, blue)
	if err != nil {
		return nil, err
	}
	found["gateway"] = fdb[mac].GetSequence()
	return found, nil
}

// ageing lets a station behind the gateway and one behind a leaf speak until they
// are known, and then never again.
func ageing(ctx context.Context, d *demo) (string, error) {
	here, there := ether.MAC{2, 0, 0, 0, 0xee, 3}, ether.MAC{2, 0, 0, 0, 0xee, 4}
	for _, station := range []*Host{d.h1.at(here), d.l1a.at(there)} {
		if err := d.known(ctx, station); err != nil {
			return "", err
		}
	}
	spoken := time.Now()
	err := Eventually(ctx, 2*patience, "both are forgotten everywhere", func(ctx context.Context) error {
		fdb, err := d.gateway.FDB(ctx, blue)
		if err != nil {
			return err
		}
		var still []string
		for _, mac := range []ether.MAC{here, there} {
			if fdb[mac.String()] != nil {
				still = append(still, fmt.Sprintf("the gateway has %s", mac))
			}
			for _, leaf := range []*Leaf{d.leaf1, d.leaf2} {
				macs, err := leaf.MACs(ctx, blueVNI)
				if err != nil {
					return err
				}
				if _, has := macs[mac.String()]; has {
					still = append(still, fmt.Sprintf("%s has %s", leaf.Name, mac))
				}
			}
		}
		if len(still) > 0 {
			return fmt.Errorf("%s", strings.Join(still, ", "))
		}
		return nil
	})
	return fmt.Sprintf("forgotten everywhere after %.1f s of silence (gateway: %s, leaf: %s)",
		time.Since(spoken).Seconds(), demoAgeing, leafAgeing), err
}
