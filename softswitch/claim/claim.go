// Package claim keeps the host's own network stack off a device: what arrives
// goes to packet sockets alone, and nothing leaves but what carries [Mark].
// Otherwise the kernel would answer for any of its addresses, route what a
// stranger sends it, and handle each frame to the device's MAC a second time.
//
// A claim belongs to the device and not to the process: it stays when the
// process ends in whatever way, until [Release], or until the device goes. The
// package knows of devices and nothing of who uses them.
package claim

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Mark is the SO_MARK of the frames that may leave a claimed device. The claim
// takes it off them.
const Mark = 0x70347377

// Way is a mechanism of the kernel that a claim can be made of.
type Way string

// The ways, in the order in which they are tried: by how hard it is for others
// to get in front of them, or to remove them by mistake.
const (
	// TCX is a pair of BPF links that are pinned in the BPF file system: Linux
	// 6.6, CAP_BPF, and /sys/fs/bpf.
	TCX Way = "tcx"
	// Clsact is a pair of BPF filters of the device's clsact queueing
	// discipline: CAP_BPF.
	Clsact Way = "clsact"
	// NFT is a pair of nftables chains of family netdev: Linux 5.16.
	NFT Way = "nft"
)

// Ways are all ways, in the order in which they are tried.
func Ways() []Way { return []Way{TCX, Clsact, NFT} }

// ParseWays reads "auto", for all ways, or the name of one.
func ParseWays(s string) ([]Way, error) {
	switch {
	case s == "auto":
		return Ways(), nil
	case slices.Contains(Ways(), Way(s)):
		return []Way{Way(s)}, nil
	}
	return nil, fmt.Errorf("%q is no way to claim a device: want auto, tcx, clsact or nft", s)
}

// Device is a network device in the namespace of the calling thread.
type Device struct {
	Name  string
	Index int
}

// DeviceNamed finds a device.
func DeviceNamed(name string) (Device, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return Device{}, fmt.Errorf("device %s: %w", name, err)
	}
	return Device{Name: name, Index: l.Attrs().Index}, nil
}

// Direction is what a claim stops.
type Direction int

const (
	// Both stops the host's frames in and out.
	Both Direction = iota
	// In stops what arrives only: for a switch that does not mark what it sends.
	In
)

// mechanism makes claims in one way. None of its methods keeps anything: the
// state is the kernel's.
type mechanism interface {
	// take makes the claim, or puts it in place of one that is there, so that
	// at no moment there is none.
	take(d Device, dir Direction) error
	// has says what there is of a claim.
	has(d Device) (in, out bool, err error)
	// release removes what there is of a claim.
	release(d Device) error
}

var mechanisms = map[Way]mechanism{TCX: tcx{}, Clsact: clsact{}, NFT: nft{}}

// Take claims a device in the first of the ways that works, and takes away
// what other ways left there. It refuses a device on which the host has
// addresses: the host could not be reached by them any more.
func Take(d Device, ways []Way, dir Direction) (Way, error) {
	addresses, err := hostAddresses(d)
	if err != nil {
		return "", err
	}
	if len(addresses) > 0 {
		return "", fmt.Errorf("the host has the address %s on it: remove it (ip address del %[1]s dev %[2]s), or "+
			"choose another device", addresses[0], d.Name)
	}
	var failures []string
	for _, w := range ways {
		if err := mechanisms[w].take(d, dir); err != nil {
			failures = append(failures, fmt.Sprintf("%s: %v", w, err))
			continue
		}
		return w, releaseOthers(d, w)
	}
	return "", fmt.Errorf("it cannot be kept from the host's network stack%s: %s",
		missingCapabilities(), strings.Join(failures, "; "))
}

// releaseOthers removes claims in other ways than w.
func releaseOthers(d Device, w Way) error {
	for _, other := range Ways() {
		if other == w {
			continue
		}
		// A way that cannot be asked has nothing there that could disturb.
		if in, out, err := mechanisms[other].has(d); err == nil && (in || out) {
			if err := mechanisms[other].release(d); err != nil {
				return fmt.Errorf("release the claim by %s: %w", other, err)
			}
		}
	}
	return nil
}

// Check says what is missing of a device's claim in a way; nil for nothing.
func Check(d Device, w Way, dir Direction) error {
	in, out, err := mechanisms[w].has(d)
	switch {
	case err != nil:
		return fmt.Errorf("look at the claim by %s: %w", w, err)
	case !in:
		return fmt.Errorf("the claim by %s of what arrives is gone", w)
	case !out && dir == Both:
		return fmt.Errorf("the claim by %s of what leaves is gone", w)
	}
	return nil
}

// Of says in which ways a device is claimed.
func Of(d Device) []Way {
	var ways []Way
	for _, w := range Ways() {
		if in, _, err := mechanisms[w].has(d); err == nil && in {
			ways = append(ways, w)
		}
	}
	return ways
}

// Release gives a device back to the host: whatever claims it, and what
// [Quiet] did.
func Release(d Device) error {
	var errs []error
	for _, w := range Ways() {
		if in, out, err := mechanisms[w].has(d); err == nil && (in || out) {
			if err := mechanisms[w].release(d); err != nil {
				errs = append(errs, fmt.Errorf("release the claim by %s: %w", w, err))
			}
		}
	}
	return errors.Join(append(errs, unquiet(d))...)
}

// hostAddresses are those that somebody gave to the device: no link-local one,
// and none that a router of the network made, which go with IPv6.
func hostAddresses(d Device) ([]*net.IPNet, error) {
	list, err := netlink.AddrList(deviceLink(d), netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("read the addresses of %s: %w", d.Name, err)
	}
	var out []*net.IPNet
	for _, a := range list {
		is4 := a.IP.To4() != nil
		if a.LinkIndex == d.Index && (is4 || !a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_PERMANENT != 0) {
			out = append(out, a.IPNet)
		}
	}
	return out, nil
}
