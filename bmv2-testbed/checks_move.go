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

// announcePauses are those between the five announcements that QEMU sends after
// a migration. The first may come while the entry still stands that knows the
// address at this port from before.
var announcePauses = []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 250 * time.Millisecond, 350 * time.Millisecond}

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
	again, reached := context.WithCancel(ctx)
	var announcing errgroup.Group
	announcing.Go(func() error { return d.announceAgain(again) })
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
	reached()
	err = errors.Join(err, announcing.Wait())
	var notes []string
	for i, h := range others {
		notes = append(notes, fmt.Sprintf("%s %d ms", h.Name, took[i].Milliseconds()))
	}
	if longest := slices.Max(took); err == nil && longest > reachableAgain {
		err = fmt.Errorf("not reachable within %v: %s", reachableAgain, strings.Join(notes, ", "))
	}
	return "reachable again after: " + strings.Join(notes, ", "), err
}

// announceAgain repeats h2's announcement until it is reached again.
func (d *demo) announceAgain(ctx context.Context) error {
	for _, pause := range announcePauses {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if err := d.h2.Announce(); err != nil {
			return err
		}
	}
	return nil
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
