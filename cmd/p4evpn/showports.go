package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

func (s *shower) ports() *cobra.Command {
	return &cobra.Command{Use: "ports", Short: "Ports of the target: carrier, since when, losses of it, errors",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return s.runConn(cmd, func(ctx context.Context, conn *grpc.ClientConn) (*table, error) {
				return showPorts(ctx, p4evpnv1.NewPortServiceClient(conn))
			})
		}}
}

func showPorts(ctx context.Context, c p4evpnv1.PortServiceClient) (*table, error) {
	t := &table{columns: []string{"port", "kind", "number", "netdev", "carrier", "since", "losses", "errors in",
		"errors out", "state", "macs", "reason"}}
	for request := (&p4evpnv1.ListPortsRequest{}); ; {
		page, err := c.ListPorts(ctx, request)
		if err != nil {
			return t, err
		}
		for _, p := range page.GetPorts() {
			carrier, losses := client.Word(p.GetLink()), fmt.Sprint(p.GetCarrierLosses())
			switch {
			case p.GetLink() == p4evpnv1.State_STATE_UNSPECIFIED:
				carrier, losses = "", ""
			case p.GetLinkAge() == nil:
				losses = ""
			}
			t.add(p, strings.TrimPrefix(p.GetName(), "ports/"), p.GetKind(), p.GetNumber(), p.GetNetdev(), carrier,
				age(p.GetLinkAge()), losses, p.GetCounters().GetErrorsIn(), p.GetCounters().GetErrorsOut(), p.GetState(),
				p.GetMacs(), p.GetReason())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return t, nil
		}
	}
}
