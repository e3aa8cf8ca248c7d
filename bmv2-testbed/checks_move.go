package testbed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/p4evpn/p4evpn/ether"
)

// Where h2 can be: its devices are cabled to two ports of the gateway and to
// both leaves, and one of them is in use.
const (
	atPort2, atPort3, atLeaf1, atLeaf2 = "eth0", "eth1", "eth2", "eth3"
)

// reachableAgain is what a move may cost.
const reachableAgain = time.Second

// move takes h2's address and MAC to another of its devices and announces it
// there, as a hypervisor does after a live migration. No link goes down: the
// announcement is the only sign of the move.
func (d *demo) move(to string) error {
	h := d.h2
	if err := h.NS.DeleteAddress(h.Dev, h.Address); err != nil {
		return err
	}
	if err := h.NS.SetMAC(h.Dev, ether.MAC{2, 0, 0, 0, 0xdd, h.Dev[3]}); err != nil {
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
	for _, h := range others { // their ARP caches are warm, as before any move
		if _, err := h.Reach(ctx, d.h2.Address.Addr(), patience); err != nil {
			return "", fmt.Errorf("before the move: %w", err)
		}
	}
	start := time.Now()
	if err := d.move(to); err != nil {
		return "", err
	}
	took := make([]time.Duration, len(others))
	var group errgroup.Group
	for i, h := range others {
		group.Go(func() error {
			_, err := h.Reach(ctx, d.h2.Address.Addr(), patience)
			took[i] = time.Since(start)
			return err
		})
	}
	err := group.Wait()
	var notes []string
	for i, h := range others {
		notes = append(notes, fmt.Sprintf("%s %d ms", h.Name, took[i].Milliseconds()))
	}
	if longest := slices.Max(took); err == nil && longest > reachableAgain {
		err = fmt.Errorf("not reachable within %v: %s", reachableAgain, strings.Join(notes, ", "))
	}
	return "reachable again after: " + strings.Join(notes, ", "), err
}

func moveBetweenPorts(ctx context.Context, d *demo) (string, error) {
	there, err := d.moved(ctx, atPort3)
	if err != nil {
		return "", err
	}
	if err := d.known(ctx, d.h2.MAC, gatewayVTEP.String()); err != nil {
		return "", err
	}
	back, err := d.moved(ctx, atPort2)
	return there + "; and back: " + back, err
}

// movedAgain is how soon a station is back at the port that it left.
const movedAgain = 50 * time.Millisecond

// moveBackAtOnce has stations speak once at a port, once at another and once at
// the first again. One may be missed, for a machine that was busy elsewhere.
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
	var missed []error
	for n := range byte(stations) {
		mac := ether.MAC{2, 0, 0, 0, 0xed, n}
		frame := gratuitousARP(mac, d.h2.Address.Addr().Next())
		start := time.Now()
		if err := left.Send(frame); err != nil {
			return "", err
		}
		if err := d.learnedAt(ctx, mac, "port2", start); err != nil {
			return "", err
		}
		back := time.Now().Add(movedAgain)
		if err := right.Send(frame); err != nil {
			return "", err
		}
		time.Sleep(time.Until(back)) // the station's pause
		if err := left.Send(frame); err != nil {
			return "", err
		}
		if err := d.learnedAt(ctx, mac, "port2", back); err != nil {
			missed = append(missed, err)
		}
	}
	if len(missed) > 1 {
		return "", errors.Join(missed...)
	}
	return fmt.Sprintf("%d of %d stations, after %v", stations-len(missed), stations, movedAgain), nil
}

// learnedAt waits until the gateway has learned a MAC at a port, since some time.
func (d *demo) learnedAt(ctx context.Context, mac ether.MAC, port string, since time.Time) error {
	return Eventually(ctx, reachableAgain, fmt.Sprintf("%s is learned at %s", mac, port), func(ctx context.Context) error {
		fdb, err := d.gateway.FDB(ctx, blue)
		if err != nil {
			return err
		}
		e := fdb[mac.String()]
		if age := e.GetAge().AsDuration(); e.GetState() != "up" || e.GetPort() != port || age > time.Since(since) {
			return fmt.Errorf("the gateway has %v", e)
		}
		return nil
	})
}

func moveToLeaf(ctx context.Context, d *demo) (string, error) {
	return d.movedWithSequence(ctx, atLeaf1, d.leaf1.VTEP.String())
}

func moveBetweenLeaves(ctx context.Context, d *demo) (string, error) {
	return d.movedWithSequence(ctx, atLeaf2, d.leaf2.VTEP.String())
}

func moveBack(ctx context.Context, d *demo) (string, error) {
	return d.movedWithSequence(ctx, atPort2, gatewayVTEP.String())
}

// movedWithSequence moves h2 and checks that both leaves and the gateway know it
// behind its new VTEP, with a sequence number above the one before.
func (d *demo) movedWithSequence(ctx context.Context, to, vtep string) (string, error) {
	before, err := d.sequences(ctx)
	if err != nil {
		return "", err
	}
	notes, err := d.moved(ctx, to)
	if err != nil {
		return "", err
	}
	if err := d.known(ctx, d.h2.MAC, vtep); err != nil {
		return "", err
	}
	var after map[string]uint32
	err = Eventually(ctx, patience, "the sequence number rises everywhere", func(ctx context.Context) error {
		if after, err = d.sequences(ctx); err != nil {
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

// ageing lets a station behind the gateway and one behind a leaf speak once and
// then never again.
func ageing(ctx context.Context, d *demo) (string, error) {
	here, there := ether.MAC{2, 0, 0, 0, 0xee, 3}, ether.MAC{2, 0, 0, 0, 0xee, 4}
	if err := d.expectFrame(ctx, d.h1, here, ether.Broadcast, d.others(d.h1)); err != nil {
		return "", err
	}
	if err := d.expectFrame(ctx, d.l1a, there, ether.Broadcast, d.others(d.l1a)); err != nil {
		return "", err
	}
	spoken := time.Now()
	if err := d.known(ctx, here, gatewayVTEP.String()); err != nil {
		return "", err
	}
	if err := d.known(ctx, there, leaf1VTEP.String()); err != nil {
		return "", err
	}
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
	return fmt.Sprintf("forgotten everywhere after %.1f s of silence (gateway: %s, leaf: %s)", time.Since(spoken).Seconds(), demoAgeing, leafAgeing), err
}
