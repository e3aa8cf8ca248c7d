package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/vishvananda/netlink"

	"github.com/p4evpn/p4evpn/softswitch/claim"
)

func newClaim() *cobra.Command {
	var (
		by                string
		release, unmarked bool
	)
	cmd := &cobra.Command{
		Use:   "claim [INTERFACE...]",
		Short: "Keep interfaces from the host's network stack, or give them back",
		Long: `Keeps interfaces from the host's network stack, as p4evpn switch does with those
of its ports: before it starts, or for another switch. A claim outlives every
process. Without an INTERFACE it lists those that are claimed.`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			links, _ := netlink.LinkList()
			for _, l := range links {
				names = append(names, l.Attrs().Name)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) == 0 && release {
				return errors.New("--release: name the interfaces to give back")
			}
			if len(names) == 0 {
				return listClaims(cmd.OutOrStdout())
			}
			ways, err := claim.ParseWays(by)
			if err != nil {
				return fmt.Errorf("--by: %w", err)
			}
			var errs []error
			for _, name := range names {
				d, err := claim.DeviceNamed(name)
				switch {
				case err != nil:
				case release:
					err = claim.Release(d)
				default:
					err = claimDevice(cmd.OutOrStdout(), d, ways, unmarked)
				}
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", name, err))
				}
			}
			return errors.Join(errs...)
		},
	}
	f := cmd.Flags()
	f.StringVar(&by, "by", "auto", "how: tcx, clsact, nft, or auto for the first that works")
	f.BoolVar(&release, "release", false, "give the interfaces back to the host")
	f.BoolVar(&unmarked, "in", false, "keep off only what arrives: for a switch that does not mark what it sends, as BMv2")
	_ = cmd.RegisterFlagCompletionFunc("by", choices("auto", "tcx", "clsact", "nft"))
	return cmd
}

func claimDevice(w io.Writer, d claim.Device, ways []claim.Way, in bool) error {
	direction := claim.Both
	if in {
		direction = claim.In
	}
	way, err := claim.Take(d, ways, direction)
	if err != nil {
		return err
	}
	if err := claim.Quiet(d); err != nil {
		return fmt.Errorf("claimed by %s, but the kernel's ARP and IPv6 are still on: %w", way, err)
	}
	_, err = fmt.Fprintf(w, "%s is claimed by %s\n", d.Name, way)
	return err
}

func listClaims(w io.Writer) error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "INTERFACE\tCLAIMED BY\tKEPT OFF")
	for _, l := range links {
		d := claim.Device{Name: l.Attrs().Name, Index: l.Attrs().Index}
		var ways []string
		what := "what arrives"
		for _, way := range claim.Of(d) {
			ways = append(ways, string(way))
			if claim.Check(d, way, claim.Both) == nil {
				what = "what arrives and the host's own"
			}
		}
		if len(ways) > 0 {
			fmt.Fprintf(table, "%s\t%s\t%s\n", d.Name, strings.Join(ways, ", "), what)
		}
	}
	return table.Flush()
}
