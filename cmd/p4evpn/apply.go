package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/internal/file"
)

type applier struct {
	objects
	file          string
	dryRun, prune bool
}

func newApply() *cobra.Command {
	a := &applier{}
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make a gateway hold the objects of a file",
		Long: `Makes a gateway hold the objects of a YAML file: documents, or a list, of objects
with kind, id and spec, in any order. What is there already is left alone. The
whole file is tried on a model of the gateway first, so that a mistake in it
changes nothing.`,
		Example: "  p4evpn apply -f site.yaml --dry-run\n" +
			"  p4evpn list bridge -o yaml | p4evpn --api 10.0.0.2:50151 apply -f -",
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.run(cmd) },
	}
	a.gateway.addFlags(cmd)
	timeout := cmd.PersistentFlags().Lookup("timeout")
	timeout.DefValue = "5m0s" // a site may be large
	_ = timeout.Value.Set(timeout.DefValue)
	cmd.Flags().StringVarP(&a.file, "file", "f", "", "the file; - is standard input")
	cmd.Flags().BoolVar(&a.dryRun, "dry-run", false, "only show what would change")
	cmd.Flags().BoolVar(&a.prune, "prune", false, "delete the objects that are not in the file, of the kinds that are")
	_ = cmd.MarkFlagRequired("file")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
	return cmd
}

func (a *applier) run(cmd *cobra.Command) error {
	name, b, err := readInput(cmd.Context(), cmd.InOrStdin(), a.file)
	if err != nil {
		return err
	}
	wanted, err := client.Parse(name, b)
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	out := cmd.OutOrStdout()
	return a.call(cmd, func(ctx context.Context, c client.Client) error {
		plan, err := client.MakePlan(ctx, c, client.Client{Conn: api.NewModel()}, wanted, a.prune)
		if _, answered := status.FromError(err); err != nil && answered {
			return a.gateway.explain(err)
		}
		if err != nil {
			return fmt.Errorf("%s: nothing was changed: %w", name, err)
		}
		plan.Write(out)
		if a.dryRun {
			return count(out, plan, "nothing was changed (--dry-run): ", " to create", " to change", " to delete")
		}
		if err := plan.Apply(ctx, c, func(client.Step) {}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return count(out, plan, "", " created", " changed", " deleted")
	})
}

func count(out io.Writer, plan *client.Plan, before, created, changed, deleted string) error {
	c, u, d := plan.Counts()
	if c+u+d == 0 {
		_, err := fmt.Fprintln(out, "nothing to change")
		return err
	}
	_, err := fmt.Fprintf(out, "%s%d%s, %d%s, %d%s\n", before, c, created, u, changed, d, deleted)
	return err
}

// readInput reads a file, or standard input where it is "-", until ctx ends.
func readInput(ctx context.Context, in io.Reader, from string) (name string, b []byte, err error) {
	if from != "-" {
		b, err := file.Read(from, client.MaxFile)
		return from, b, err
	}
	type result struct {
		b   []byte
		err error
	}
	read := make(chan result, 1)
	// A terminal or pipe that says nothing is waited for until the process ends: the read
	// cannot be interrupted.
	go func() {
		b, err := io.ReadAll(io.LimitReader(in, client.MaxFile+1))
		read <- result{b, err}
	}()
	select {
	case r := <-read:
		return "standard input", r.b, r.err
	case <-ctx.Done():
		return "standard input", nil, ctx.Err()
	}
}
