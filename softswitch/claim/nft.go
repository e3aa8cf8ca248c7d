package claim

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// nft claims by a table of family netdev for each device. It stays as long as
// the device, and with newer kernels longer: the device of that name has it
// again when it is made anew.
type nft struct{}

const (
	nftIn  = "in"
	nftOut = "out"
)

func nftTable(d Device) *nftables.Table {
	return &nftables.Table{Name: "p4evpn-" + d.Name, Family: nftables.TableFamilyNetdev}
}

// take is one transaction: it takes effect as a whole.
func (nft) take(d Device, dir Direction) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	// An old table may hang on another device that had the name.
	table := nftTable(d)
	c.AddTable(table)
	c.DelTable(table)
	c.AddTable(table)
	policy := nftables.ChainPolicyDrop
	chain := func(name string, hook *nftables.ChainHook) *nftables.Chain {
		return c.AddChain(&nftables.Chain{
			Name: name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook,
			Priority: nftables.ChainPriorityFirst, Policy: &policy, Device: d.Name,
		})
	}
	chain(nftIn, nftables.ChainHookIngress)
	if dir == Both {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain(nftOut, nftables.ChainHookEgress), Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(Mark)},
			&expr.Immediate{Register: 1, Data: binaryutil.NativeEndian.PutUint32(0)},
			&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
			&expr.Verdict{Kind: expr.VerdictAccept},
		}})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("add a table: %w", err)
	}
	return nil
}

func (nft) has(d Device) (in, out bool, err error) {
	c, err := nftables.New()
	if err != nil {
		return false, false, fmt.Errorf("open a netlink socket: %w", err)
	}
	table := nftTable(d)
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyNetdev)
	if errors.Is(err, unix.ENOENT) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("list the chains: %w", err)
	}
	for _, chain := range chains {
		if chain.Table.Name != table.Name || chain.Hooknum == nil || chain.Policy == nil ||
			*chain.Policy != nftables.ChainPolicyDrop {
			continue
		}
		rules, err := c.GetRules(table, chain)
		if err != nil {
			return false, false, fmt.Errorf("list the rules: %w", err)
		}
		switch {
		case chain.Name == nftIn:
			in = len(rules) == 0
		case chain.Name == nftOut:
			out = len(rules) == 1
		}
	}
	return in, out, nil
}

func (nft) release(d Device) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	c.DelTable(nftTable(d))
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete a table: %w", err)
	}
	return nil
}
