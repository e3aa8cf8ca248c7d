package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/p4evpn/p4evpn/api/client"
)

// objects is what the commands about objects share.
type objects struct {
	gateway remote
	format  string
}

func newObjects() []*cobra.Command {
	return []*cobra.Command{newCreate(), newGet(), newList(), newUpdate(), newDelete(), newApply(), newBackup(),
		newRestore()}
}

// call runs do with a client of the gateway.
func (o *objects) call(cmd *cobra.Command, do func(context.Context, client.Client) error) error {
	return o.gateway.call(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
		return do(ctx, client.Client{Conn: conn})
	})
}

func (o *objects) addFormat(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&o.format, "output", "o", "table", "table, yaml or json")
	_ = cmd.RegisterFlagCompletionFunc("output", choices("table", "yaml", "json"))
}

func (o *objects) checkFormat() error {
	switch o.format {
	case "table", "yaml", "json":
		return nil
	}
	return fmt.Errorf("--output %q: want table, yaml or json", o.format)
}

// kindCommands gives a command below cmd for each kind that do can be done to.
func (o *objects) kindCommands(cmd *cobra.Command, readOnly bool,
	make func(*client.Kind) *cobra.Command) *cobra.Command {
	o.gateway.addFlags(cmd)
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return errors.New("want a kind: see --help")
		}
		_, err := client.ParseKind(args[0])
		return err
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { // of a kind that has no command
		return fmt.Errorf("%s: not for %s", cmd.Name(), args[0])
	}
	for _, k := range client.Kinds {
		if k.ReadOnly && !readOnly {
			continue
		}
		sub := make(k)
		sub.Aliases = append([]string{k.Name + "s"}, k.Aliases...)
		sub.Short = strings.ToUpper(k.Short[:1]) + k.Short[1:]
		cmd.AddCommand(sub)
	}
	return cmd
}

// ids completes the ids of a kind's objects from the gateway.
func (o *objects) ids(k *client.Kind) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) (out []string, _ cobra.ShellCompDirective) {
		_ = o.call(cmd, func(ctx context.Context, c client.Client) error {
			found, err := c.List(ctx, k)
			for _, f := range found {
				out = append(out, f.ID)
			}
			return err
		})
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

func newCreate() *cobra.Command {
	o := &objects{}
	return o.kindCommands(&cobra.Command{
		Use: "create KIND [ID]", Short: "Create an object of a running gateway",
		Long: "Creates an object. One that is there and equal is left as it is; one that differs is an error.",
	}, false, func(k *client.Kind) *cobra.Command {
		cmd := &cobra.Command{Use: k.Name + " [ID]", Args: cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
			Example: fmt.Sprintf("  p4evpn create %s ID %s", k.Name, k.Example)}
		fields := k.AddFlags(cmd.Flags())
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			wanted, _, err := fields.Object(strings.Join(args, ""))
			if err != nil {
				return err
			}
			return o.call(cmd, func(ctx context.Context, c client.Client) error {
				made, err := c.Create(ctx, wanted)
				if err != nil {
					return o.gateway.explain(err)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%v is there\n", made)
				return err
			})
		}
		return cmd
	})
}

func newUpdate() *cobra.Command {
	o := &objects{}
	return o.kindCommands(&cobra.Command{
		Use: "update KIND ID", Short: "Change fields of an object",
		Long: "Changes the fields that flags name and leaves the others; a field that is given nothing is unset.",
	}, false, func(k *client.Kind) *cobra.Command {
		cmd := &cobra.Command{Use: k.Name + " ID", Args: cobra.ExactArgs(1), ValidArgsFunction: o.ids(k),
			Example: fmt.Sprintf("  p4evpn update %s ID %s", k.Name, k.Example)}
		fields := k.AddFlags(cmd.Flags())
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			wanted, paths, err := fields.Object(args[0])
			if err != nil {
				return err
			}
			if len(paths) == 0 {
				return errors.New("nothing to change: give a flag for each field that is to change")
			}
			return o.call(cmd, func(ctx context.Context, c client.Client) error {
				changed, err := c.Update(ctx, wanted, paths...)
				if err != nil {
					return o.gateway.explain(err)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%v is changed\n", changed)
				return err
			})
		}
		return cmd
	})
}

func newGet() *cobra.Command {
	o := &objects{}
	cmd := o.kindCommands(&cobra.Command{Use: "get KIND ID", Short: "Show one object"}, true,
		func(k *client.Kind) *cobra.Command {
			return &cobra.Command{Use: k.Name + " ID", Args: cobra.ExactArgs(1), ValidArgsFunction: o.ids(k),
				RunE: func(cmd *cobra.Command, args []string) error {
					if err := o.checkFormat(); err != nil {
						return err
					}
					return o.call(cmd, func(ctx context.Context, c client.Client) error {
						found, err := c.Get(ctx, k, args[0])
						if err != nil {
							return o.gateway.explain(err)
						}
						return client.WriteOne(cmd.OutOrStdout(), o.format, found)
					})
				}}
		})
	o.addFormat(cmd)
	return cmd
}

func newList() *cobra.Command {
	o := &objects{}
	cmd := o.kindCommands(&cobra.Command{Use: "list KIND", Short: "List the objects of a kind"}, true,
		func(k *client.Kind) *cobra.Command {
			return &cobra.Command{Use: k.Name, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
				if err := o.checkFormat(); err != nil {
					return err
				}
				return o.call(cmd, func(ctx context.Context, c client.Client) error {
					found, err := c.List(ctx, k)
					if err != nil {
						return o.gateway.explain(err)
					}
					return client.Write(cmd.OutOrStdout(), o.format, k, found)
				})
			}}
		})
	o.addFormat(cmd)
	return cmd
}

func newDelete() *cobra.Command {
	o := &objects{}
	return o.kindCommands(&cobra.Command{Use: "delete KIND ID...", Short: "Delete objects"}, false,
		func(k *client.Kind) *cobra.Command {
			return &cobra.Command{Use: k.Name + " ID...", Args: cobra.MinimumNArgs(1), ValidArgsFunction: o.ids(k),
				RunE: func(cmd *cobra.Command, args []string) error {
					return o.call(cmd, func(ctx context.Context, c client.Client) error {
						for _, id := range args {
							if err := c.Delete(ctx, k, id); err != nil {
								return o.gateway.explain(err)
							}
							_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s %s is deleted\n", k.Name, id)
						}
						return nil
					})
				}}
		})
}
