package testbed

import (
	"context"
	"errors"
	"fmt"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

// ovnSilent has a port of Open vSwitch alone be a station, which says nothing.
func ovnSilent(ctx context.Context, o *ovnNet) (string, error) {
	const name = "silent"
	mac := ether.MAC{2, 0, 0, 9, 0, 13}
	if err := o.central.AddPort(ctx, name, logicalSwitch, mac, numbered(13).Addr()); err != nil {
		return "", err
	}
	if err := o.central.Bind(ctx, name, "type=internal"); err != nil {
		return "", err
	}
	if err := o.leafHas(ctx, mac, true); err != nil {
		return "", err
	}
	if err := errors.Join(o.central.Release(ctx, name), o.edge.Bind(ctx, name, "type=internal")); err != nil {
		return "", err
	}
	err := Eventually(ctx, patience, "it is bound to the other chassis", func(ctx context.Context) error {
		macs, err := o.leaf.MACs(ctx, ovnVNI)
		if _, there := macs[mac.String()]; err == nil && !there {
			return fmt.Errorf("the leaf lost the MAC of a station that moves between chassis")
		}
		return errors.Join(err, o.edge.Bound(ctx, name))
	})
	if err != nil {
		return "", err
	}
	if _, err := o.central.Do(ctx, "ovn-nbctl --timeout=60 lsp-del "+name); err != nil {
		return "", err
	}
	return "", errors.Join(o.leafHas(ctx, mac, false), o.edge.Release(ctx, name))
}

// leafHas waits until the leaf knows a MAC to be behind the gateway, or nowhere.
func (o *ovnNet) leafHas(ctx context.Context, mac ether.MAC, want bool) error {
	what := fmt.Sprintf("that the leaf knows the MAC is %t", want)
	return Eventually(ctx, patience, what, func(ctx context.Context) error {
		macs, err := o.leaf.MACs(ctx, ovnVNI)
		m, there := macs[mac.String()]
		if err == nil && (there != want || there && m.VTEP != gatewayVTEP.String()) {
			err = fmt.Errorf("the leaf has %+v of it: %t", m, there)
		}
		return err
	})
}

func ovnMovesToEdge(ctx context.Context, o *ovnNet) (string, error) {
	vm := o.vms[1]
	err := errors.Join(o.central.Release(ctx, vm.Name), vm.move(vmAtEdge), o.edge.Bind(ctx, vm.Name))
	if err != nil {
		return "", err
	}
	return o.arrived(ctx, o.edge)
}

// arrived checks that vm2 is reached, and who else, behind a chassis.
func (o *ovnNet) arrived(ctx context.Context, at *Chassis) (string, error) {
	err := Eventually(ctx, patience, "the port is bound", func(ctx context.Context) error {
		return at.Bound(ctx, o.vms[1].Name)
	})
	if err := errors.Join(err, o.attached(ctx), o.reach(ctx)); err != nil {
		return "", err
	}
	return ovnBroadcasts(ctx, o)
}

// ovnMovesToLeaf leaves OVN's port where it is until the VM was heard elsewhere.
func ovnMovesToLeaf(ctx context.Context, o *ovnNet) (string, error) {
	vm := o.vms[1]
	if err := errors.Join(o.edge.Release(ctx, vm.Name), vm.move(vmAtLeaf)); err != nil {
		return "", err
	}
	if err := o.gatewayHas(ctx, vm, p4evpnv1.FDBKind_FDB_KIND_REMOTE); err != nil {
		return "", err
	}
	if _, err := o.central.Do(ctx, "ovn-nbctl --timeout=60 lsp-del "+vm.Name); err != nil {
		return "", err
	}
	if err := errors.Join(o.attached(ctx), o.reach(ctx)); err != nil {
		return "", fmt.Errorf("behind the leaf: %w", err)
	}
	if _, err := ovnBroadcasts(ctx, o); err != nil {
		return "", fmt.Errorf("behind the leaf: %w", err)
	}
	err := o.central.AddPort(ctx, vm.Name, logicalSwitch, vm.MAC, vm.Address.Addr())
	if err := errors.Join(err, vm.move(vmAtHV1), o.central.Bind(ctx, vm.Name)); err != nil {
		return "", err
	}
	if err := o.gatewayHas(ctx, vm, p4evpnv1.FDBKind_FDB_KIND_LOCAL); err != nil {
		return "", err
	}
	return o.arrived(ctx, o.central)
}

// gatewayHas has a station announce itself until the gateway knows where it is.
func (o *ovnNet) gatewayHas(ctx context.Context, h *Host, want p4evpnv1.FDBKind) error {
	what := fmt.Sprintf("the gateway has %s as %v", h.Name, want)
	return Eventually(ctx, patience, what, func(ctx context.Context) error {
		if err := h.Announce(); err != nil {
			return err
		}
		fdb, err := o.gateway.FDB(ctx, blue)
		if got := fdb[h.MAC.String()]; err == nil && got.GetKind() != want {
			err = fmt.Errorf("it has %v", got)
		}
		return err
	})
}
