package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

func newAudit() *cobra.Command {
	var gateway remote
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Compare the target's entries with those that were written",
		Long: `Has the gateway read all entries of its P4 target and compare them with those that
the target acknowledged. What somebody else deleted, added or changed is printed,
and put right. BMv2 forwards nothing while it is read.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return gateway.call(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				t, err := audit(ctx, p4evpnv1.NewTargetClient(conn))
				if err != nil {
					return gateway.explain(err)
				}
				return t.write(cmd.OutOrStdout())
			})
		},
	}
	gateway.addFlags(cmd)
	return cmd
}

func audit(ctx context.Context, c p4evpnv1.TargetClient) (*table, error) {
	t := &table{columns: []string{"difference", "table", "was written", "is there"}}
	entries := uint32(0)
	stream, err := c.Audit(ctx, &p4evpnv1.AuditRequest{})
	err = collect(stream, err, func(r *p4evpnv1.AuditResponse) {
		entries = r.GetEntries()
		for _, d := range r.GetDifferences() {
			t.add(d, d.GetKind(), d.GetTable(), d.GetWas(), d.GetIs())
		}
	})
	if err != nil {
		return nil, err
	}
	t.notes = []string{fmt.Sprintf("%d entries read, %d differ", entries, len(t.rows))}
	if len(t.rows) == 0 {
		t.columns = nil
	} else {
		t.notes[0] += " and are put right"
	}
	return t, nil
}
