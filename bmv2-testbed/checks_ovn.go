package testbed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/ether"
)

var ovnChecks = []claim[*ovnNet]{
	{"stations of a logical switch and a host behind a leaf reach each other", ovnPings},
	{"a broadcast of each arrives at each other once", ovnBroadcasts},
	{"what is done to the gateway's row of OVN is put right", ovnDisturbed},
	{"a gateway that restarts takes its row over", ovnGatewayRestarts},
	{"nothing is lost while OVN's databases and daemons restart, one after the other", ovnRestarts},
	{"rows of others are as they were", ovnForeign},
	{"a station that never speaks is advertised from when OVN has it, on whatever chassis, until it has not", ovnSilent},
	{"a VM that moves to another chassis is reached there", ovnMovesToEdge},
	{"one that moves behind a leaf, and back, is reached where it is", ovnMovesToLeaf},
	{"OVN knows who is behind the leaf, where it is to", ovnKnowsAddresses},
	{"a logical switch that was deleted is stretched again when it comes back", ovnDeleted},
	{"a gateway that shares the logical switch takes it over when the one that has it is killed, and keeps it",
		ovnFailsOver},
	{"the calls of evpn-for-ovn's README do it all", ovnREADME},
}

// ovnPort is the gateway's port of the logical switch.
var ovnPort = fmt.Sprintf("evpn_%d", ovnVNI)

func ovnPings(ctx context.Context, o *ovnNet) (string, error) {
	if err := o.reach(ctx); err != nil {
		return "", err
	}
	var err error
	o.foreign, err = o.others(ctx)
	return fmt.Sprintf("%d stations behind OVN, one behind FRR", len(o.vms)), err
}

// reach checks that all VMs and the host behind the leaf reach each other.
func (o *ovnNet) reach(ctx context.Context) error {
	pairs := [][2]*Host{{o.vms[0], o.vms[1]}}
	for _, vm := range o.vms {
		pairs = append(pairs, [2]*Host{vm, o.host}, [2]*Host{o.host, vm})
	}
	for _, p := range pairs {
		if _, err := p[0].Reach(ctx, p[1].Address.Addr(), patience); err != nil {
			return err
		}
	}
	return nil
}

func ovnBroadcasts(ctx context.Context, o *ovnNet) (string, error) {
	all := append(slices.Clone(o.vms[:]), o.host)
	for _, from := range all {
		want := map[string]int{}
		for _, h := range all {
			if h != from {
				want[h.Name] = 1
			}
		}
		p, err := newProbe(all...)
		if err != nil {
			return "", err
		}
		if err = p.Send(from, from.MAC, ether.Broadcast); err == nil {
			err = p.Expect(ctx, want, o.reach) // ARP goes the same ways
		}
		if err := errors.Join(err, p.Close()); err != nil {
			return "", fmt.Errorf("broadcast of %s: %w", from.Name, err)
		}
	}
	return "", nil
}

// others is all of OVN's northbound database that is not ours: our port is left out where
// it is a row and where a switch lists it, and so is the row that says which northd is at
// work.
func (o *ovnNet) others(ctx context.Context) (string, error) {
	dump, err := o.central.Do(ctx, "ovsdb-client dump "+o.central.Northbound()+" -f csv")
	if err != nil {
		return "", err
	}
	ours, err := o.row(ctx, "_uuid")
	if err == nil && ours == "" {
		err = errors.New("the gateway's port is not there")
	}
	var rows []string
	for line := range strings.Lines(dump) {
		if !strings.Contains(line, "p4evpn-owner") && !strings.Contains(line, "northd_internal_version") {
			rows = append(rows, strings.NewReplacer(ours+", ", "", ", "+ours, "").Replace(line))
		}
	}
	return strings.Join(rows, ""), err
}

// row gives columns of the gateway's row.
func (o *ovnNet) row(ctx context.Context, columns string) (string, error) {
	return o.central.Do(ctx, "ovn-nbctl --bare --columns="+columns+" find Logical_Switch_Port name="+ovnPort)
}

func ovnForeign(ctx context.Context, o *ovnNet) (string, error) {
	now, err := o.others(ctx)
	if err == nil && now != o.foreign {
		err = fmt.Errorf("there were\n%s\nand are\n%s", o.foreign, now)
	}
	return "", err
}

func ovnDisturbed(ctx context.Context, o *ovnNet) (string, error) {
	commands := []string{"lsp-del " + ovnPort, "lsp-set-type " + ovnPort + " localnet",
		"set Logical_Switch_Port " + ovnPort + " options:l2gateway-chassis=hv1"}
	for _, command := range commands {
		if _, err := o.central.Do(ctx, "ovn-nbctl "+command); err != nil {
			return "", err
		}
		err := Eventually(ctx, patience, "the row is as it was", func(ctx context.Context) error {
			got, err := o.row(ctx, "type,options")
			if want := "l2gateway\nl2gateway-chassis=edge network_name=evpn"; err == nil && got != want {
				return fmt.Errorf("got %q, want %q", got, want)
			}
			return err
		})
		if err = errors.Join(err, o.reach(ctx)); err != nil {
			return "", fmt.Errorf("after %s: %w", command, err)
		}
	}
	return strings.Join(commands, "; "), nil
}

// FRR 8.4 forgets EVPN routes with the session, and sends nothing until they are back.
func ovnGatewayRestarts(ctx context.Context, o *ovnNet) (string, error) {
	before, err := o.row(ctx, "_uuid")
	if err != nil {
		return "", err
	}
	if err := o.restartGateway(ctx); err != nil {
		return "", err
	}
	if err := errors.Join(o.attached(ctx), o.reach(ctx)); err != nil {
		return "", err
	}
	after, err := o.row(ctx, "_uuid")
	if err == nil && after != before {
		err = fmt.Errorf("it is row %s, and was %s", after, before)
	}
	return "", err
}

// restartGateway kills the controller and starts it with the configuration of now.
func (o *ovnNet) restartGateway(ctx context.Context) error {
	if err := o.gateway.KillController(); err != nil {
		return err
	}
	return o.gateway.StartController(ctx, o.config.String())
}

// attached waits until the gateway says that its logical switch is attached, and each node
// has what the northbound database says.
func (o *ovnNet) attached(ctx context.Context) error {
	err := Eventually(ctx, patience, "the logical switch is attached", func(ctx context.Context) error {
		metrics, err := o.gateway.Metrics(ctx)
		if err != nil {
			return err
		}
		n, wrong := metrics["p4evpn_ovn_logical_switches"], metrics["p4evpn_ovn_problems"]
		if n != 1 || wrong != 0 {
			return fmt.Errorf("%v logical switches and %v problems, want 1 and none", n, wrong)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return Eventually(ctx, patience, "OVN's nodes are up to date", func(ctx context.Context) error {
		_, err := o.central.Do(ctx, "ovn-nbctl --timeout=10 --wait=hv sync")
		return err
	})
}

func ovnRestarts(ctx context.Context, o *ovnNet) (string, error) {
	sent := 0
	for _, r := range []struct {
		at   *Chassis
		what string
	}{{o.central, "northd"}, {o.central, "nb"}, {o.central, "sb"}, {o.edge, "controller"}, {o.central, "controller"},
		{o.edge, "db"}} {
		if err := errors.Join(o.attached(ctx), o.reach(ctx)); err != nil {
			return "", err
		}
		m, err := StartMeter(Flow{Name: "to the leaf", From: o.vms[0], To: o.host, Rate: 100},
			Flow{Name: "from the leaf", From: o.host, To: o.vms[1], Rate: 100})
		if err != nil {
			return "", err
		}
		err = errors.Join(r.at.Restart(r.what), o.attached(ctx))
		for _, reading := range m.Stop() {
			sent += reading.Sent
			if reading.Lost+reading.Duplicated > 0 || reading.Sent == 0 {
				err = errors.Join(err, errors.New(reading.String()))
			}
		}
		if err != nil {
			return "", fmt.Errorf("%s of %s: %w", r.what, r.at.Name, err)
		}
	}
	return fmt.Sprintf("%d packets", sent), nil
}

func ovnKnowsAddresses(ctx context.Context, o *ovnNet) (string, error) {
	o.config.more = strings.Replace(o.config.more, "ovn: {", "ovn: {remote: addresses, ", 1)
	if err := o.restartGateway(ctx); err != nil {
		return "", err
	}
	want := o.host.MAC.String() // a leaf that only bridges does not say its addresses
	err := Eventually(ctx, patience, "OVN knows the host", func(ctx context.Context) error {
		if err := o.host.Announce(); err != nil {
			return err
		}
		got, err := o.row(ctx, "addresses")
		if err == nil && got != want {
			err = fmt.Errorf("got %q, want %q", got, want)
		}
		return err
	})
	return want, errors.Join(err, o.reach(ctx))
}

func ovnDeleted(ctx context.Context, o *ovnNet) (string, error) {
	commands := []string{"ls-del " + logicalSwitch, "ls-add " + logicalSwitch}
	for _, vm := range o.vms {
		commands = append(commands, fmt.Sprintf("lsp-add %s %s -- lsp-set-addresses %[2]s unknown", logicalSwitch, vm.Name))
	}
	for _, command := range commands {
		if _, err := o.central.Do(ctx, "ovn-nbctl --timeout=60 "+command); err != nil {
			return "", err
		}
	}
	return "", o.reach(ctx)
}
