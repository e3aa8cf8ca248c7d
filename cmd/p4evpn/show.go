package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// shower is what the show commands share.
type shower struct {
	gateway  remote
	format   string
	interval time.Duration // of --watch
}

func newShow() *cobra.Command {
	s := &shower{}
	cmd := &cobra.Command{
		Use: "show", Short: "Show the state of a running gateway", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	s.gateway.addFlags(cmd)
	cmd.PersistentFlags().StringVarP(&s.format, "output", "o", "table", "table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", choices("table", "json"))
	cmd.PersistentFlags().DurationVar(&s.interval, "watch", 0,
		"show it again and again until Ctrl-C, each `INTERVAL` (--watch=10s); with -o json a line whenever it changed")
	cmd.PersistentFlags().Lookup("watch").NoOptDefVal = watchInterval.String()
	routes := s.filtered("routes [in|out]", "EVPN routes, received and advertised", showRoutes)
	routes.ValidArgsFunction = choices("in", "out")
	cmd.AddCommand(
		s.command("bridges", "Logical bridges and their state", showBridges),
		s.filtered("fdb [BRIDGE|MAC]", "MAC addresses: where each is; who claims one, and why", showFDB),
		s.command("vteps", "Remote VTEPs and the underlay paths to them", showVTEPs),
		routes,
		s.filtered("neighbors [ADDRESS]", "BGP neighbours, or all that is known of one", showNeighbors),
		s.filtered("entries [TABLE]", "Entries of the P4 target", showEntries),
		s.command("vrfs", "VRFs and their state", showVRFs),
		s.command("svis", "SVIs: which bridge routes in which VRF", showSVIs),
		s.filtered("hosts [BRIDGE|ADDRESS]", "Addresses of bridges: who claims each, and who has it", showHosts),
		s.filtered("prefixes [VRF]", "Prefixes of VRFs: where each leads, and why", showPrefixes),
		s.ports(),
		s.command("drops", "Frames that the target dropped, by reason, port and bridge", showDrops),
		s.command("underlay", "Routes of the underlay that BGP learned", showUnderlay),
		s.route(),
	)
	return cmd
}

// table is rows of columns, and the same as messages for JSON.
type table struct {
	notes   []string // lines above the columns
	columns []string
	rows    [][]string
	rowsPB  []proto.Message
}

func (t *table) add(m proto.Message, cells ...any) {
	t.rowsPB = append(t.rowsPB, m)
	t.addCells(cells...)
}

// addCells adds a row that is part of a message, and none of its own.
func (t *table) addCells(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		if e, ok := c.(protoreflect.Enum); ok {
			c = client.Word(e)
		}
		if row[i] = fmt.Sprint(c); row[i] == "" {
			row[i] = "-"
		}
	}
	t.rows = append(t.rows, row)
}

type query func(ctx context.Context, c p4evpnv1.ViewClient, filter string) (*table, error)

func (s *shower) command(use, short string, q query) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return s.run(cmd, q, "")
	}}
}

func (s *shower) filtered(use, short string, q query) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.run(cmd, q, strings.Join(args, ""))
		}}
}

func (s *shower) route() *cobra.Command {
	return &cobra.Command{Use: "route VRF ADDRESS", Short: "Which entry a packet to an address would use, and why",
		Args: cobra.ExactArgs(2), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.run(cmd, func(ctx context.Context, c p4evpnv1.ViewClient, _ string) (*table, error) {
				return showRoute(ctx, c, args[0], args[1])
			}, "")
		}}
}

func (s *shower) run(cmd *cobra.Command, q query, filter string) error {
	return s.runConn(cmd, func(ctx context.Context, conn *grpc.ClientConn) (*table, error) {
		return q(ctx, p4evpnv1.NewViewClient(conn), filter)
	})
}

// runConn is run for what other services than View tell.
func (s *shower) runConn(cmd *cobra.Command, q tableQuery) error {
	if s.format != "table" && s.format != "json" {
		return fmt.Errorf("--output %q: want table or json", s.format)
	}
	if cmd.Flags().Changed("watch") {
		if s.interval < watchFastest {
			return fmt.Errorf("--watch=%v: want %v or more", s.interval, watchFastest)
		}
		return s.watch(cmd, q)
	}
	return s.gateway.call(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
		t, err := q(ctx, conn)
		if err != nil {
			return s.gateway.explain(err)
		}
		if s.format == "json" {
			return t.writeJSON(cmd.OutOrStdout(), "  ")
		}
		return t.write(cmd.OutOrStdout())
	})
}

func (t *table) write(w io.Writer) error {
	for _, n := range t.notes {
		_, _ = fmt.Fprintln(w, n)
	}
	if len(t.columns) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, strings.ToUpper(strings.Join(t.columns, "\t")))
	for _, r := range t.rows {
		_, _ = fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	return tw.Flush()
}

// writeJSON writes the messages as one array, on one line without an indent.
func (t *table) writeJSON(w io.Writer, indent string) error {
	rows := make([]json.RawMessage, 0, len(t.rowsPB))
	for _, m := range t.rowsPB {
		b, err := client.JSON(m)
		if err != nil {
			return err
		}
		rows = append(rows, b)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", indent)
	return enc.Encode(rows)
}

// collect reads a stream of parts to its end.
func collect[Part any](stream grpc.ServerStreamingClient[Part], err error, add func(*Part)) error {
	for err == nil {
		var part *Part
		if part, err = stream.Recv(); err == nil {
			add(part)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
