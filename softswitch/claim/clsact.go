package claim

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// clsact claims by filters of the clsact queueing discipline, which stay as long
// as the device.
type clsact struct{}

// filterHandle tells our filters from those of others, with their names.
const filterHandle = 0x7034

var clsactSides = []struct {
	side   side
	parent uint32
}{{ingress, netlink.HANDLE_MIN_INGRESS}, {egress, netlink.HANDLE_MIN_EGRESS}}

func (c clsact) take(d Device, dir Direction) error {
	if err := ensureClsact(d); err != nil {
		return err
	}
	for _, s := range clsactSides {
		if dir == In && s.parent == netlink.HANDLE_MIN_EGRESS {
			return deleteFilter(d, s.side, s.parent)
		}
		if err := putFilter(d, s.side, s.parent); err != nil {
			return errors.Join(err, c.release(d))
		}
	}
	return nil
}

// ensureClsact adds the discipline. In its place may be the one named ingress,
// which takes filters for what leaves and uses them for what arrives.
func ensureClsact(d Device) error {
	list, err := netlink.QdiscList(deviceLink(d))
	if err != nil {
		return fmt.Errorf("list the queueing disciplines: %w", err)
	}
	for _, q := range list {
		switch {
		case q.Attrs().Parent != netlink.HANDLE_CLSACT:
		case q.Type() != "clsact":
			return fmt.Errorf("the queueing discipline %s is there", q.Type())
		default:
			return nil
		}
	}
	if err := netlink.QdiscAdd(clsactDiscipline(d)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add the clsact queueing discipline: %w", err)
	}
	return nil
}

func deviceLink(d Device) netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: d.Name, Index: d.Index}}
}

func clsactDiscipline(d Device) *netlink.GenericQdisc {
	return &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: d.Index, Handle: netlink.MakeHandle(0xffff, 0),
			Parent: netlink.HANDLE_CLSACT},
		QdiscType: "clsact",
	}
}

// putFilter adds our filter, the first of all, or replaces it in one step.
func putFilter(d Device, s side, parent uint32) error {
	program, err := s.load()
	if err != nil {
		return err
	}
	defer func() { _ = program.Close() }()
	err = netlink.FilterReplace(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: d.Index, Parent: parent, Handle: filterHandle, Protocol: unix.ETH_P_ALL,
			Priority: 1},
		Fd: program.FD(), Name: s.name, DirectAction: true,
	})
	if err != nil {
		return fmt.Errorf("add a filter: %w", err)
	}
	return nil
}

// ourFilter finds the filter of a side among those of the device; nil if there
// is none.
func ourFilter(d Device, s side, parent uint32) (ours netlink.Filter, others int, err error) {
	filters, err := netlink.FilterList(deviceLink(d), parent)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil, 0, nil // no such queueing discipline
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list the filters: %w", err)
	}
	for _, f := range filters {
		if b, ok := f.(*netlink.BpfFilter); ok && b.Handle == filterHandle && b.Name == s.name {
			ours = f
		} else {
			others++
		}
	}
	return ours, others, nil
}

func (clsact) has(d Device) (in, out bool, err error) {
	var has [2]bool
	for i, s := range clsactSides {
		f, _, err := ourFilter(d, s.side, s.parent)
		if err != nil {
			return false, false, err
		}
		has[i] = f != nil
	}
	return has[0], has[1], nil
}

func deleteFilter(d Device, s side, parent uint32) error {
	f, _, err := ourFilter(d, s, parent)
	if err != nil || f == nil {
		return err
	}
	if err := netlink.FilterDel(f); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete a filter: %w", err)
	}
	return nil
}

// release leaves the queueing discipline to others that have filters there.
func (clsact) release(d Device) error {
	left := 0
	for _, s := range clsactSides {
		if err := deleteFilter(d, s.side, s.parent); err != nil {
			return err
		}
		_, others, err := ourFilter(d, s.side, s.parent)
		if err != nil {
			return err
		}
		left += others
	}
	if left > 0 {
		return nil
	}
	err := netlink.QdiscDel(clsactDiscipline(d))
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("delete the clsact queueing discipline: %w", err)
	}
	return nil
}
