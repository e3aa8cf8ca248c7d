package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/p4evpn/p4evpn/softswitch"
)

// bmv2Flags are flags of simple_switch_grpc that need more than a variable.
type bmv2Flags struct {
	ssl                  bool
	maxPorts             int
	l1Entries, l2Entries int
}

// ignoredFlags are what simple_switch_grpc has and this switch has no use for;
// true for those without a value.
var ignoredFlags = map[string]bool{
	"thrift-port": false, "nanolog": false, "priority-queues": false,
	"log-console": true, "log-flush": true, "disable-swap": true,
}

func (b *bmv2Flags) define(f *pflag.FlagSet, cfg *softswitch.Config) {
	f.BoolVar(&b.ssl, "grpc-server-ssl", false, "serve P4Runtime by TLS")
	f.StringVar(&cfg.TLS.Certificate, "grpc-server-cert", "", "PEM file of the server's certificate")
	f.StringVar(&cfg.TLS.Key, "grpc-server-key", "", "PEM file of the server's key")
	f.StringVar(&cfg.TLS.ClientCA, "grpc-server-cacert", "", "PEM file of the authority of clients' certificates")
	f.BoolVar(&cfg.TLS.RequireClient, "grpc-server-with-client-auth", false, "refuse clients without a certificate")
	f.IntVar(&b.maxPorts, "max-port-count", 512, "how many interfaces there may be")
	f.IntVar(&cfg.Limits.Groups, "max-mc-groups", 0, "how many multicast groups there may be (default 65535)")
	f.IntVar(&b.l1Entries, "max-l1-entries", 0, "how many replicas there may be in all multicast groups (default 4194304)")
	f.IntVar(&b.l2Entries, "max-l2-entries", 0, "as --max-l1-entries; the lower one counts")
	for name, isBool := range ignoredFlags {
		usage := "simple_switch_grpc's; not used here"
		if isBool {
			f.Bool(name, false, usage)
		} else {
			f.String(name, "", usage)
		}
		_ = f.MarkHidden(name)
	}
}

// apply puts the flags into the configuration.
func (b *bmv2Flags) apply(cmd *cobra.Command, cfg *softswitch.Config) error {
	if !b.ssl && cfg.TLS != (softswitch.TLS{}) {
		return errors.New("--grpc-server-cert, -key, -cacert and -with-client-auth need --grpc-server-ssl")
	}
	if b.ssl && (cfg.TLS.Certificate == "" || cfg.TLS.Key == "") {
		return errors.New("--grpc-server-ssl needs --grpc-server-cert and --grpc-server-key")
	}
	if len(cfg.Ports) > b.maxPorts {
		return fmt.Errorf("%d interfaces, and --max-port-count allows %d", len(cfg.Ports), b.maxPorts)
	}
	if cfg.Limits.Groups < 0 || b.l1Entries < 0 || b.l2Entries < 0 {
		return errors.New("--max-mc-groups, --max-l1-entries and --max-l2-entries must not be negative")
	}
	cfg.Limits.Replicas = b.l1Entries
	if b.l2Entries > 0 && (b.l1Entries == 0 || b.l2Entries < b.l1Entries) {
		cfg.Limits.Replicas = b.l2Entries
	}
	for name := range ignoredFlags {
		if cmd.Flags().Changed(name) {
			slog.Warn("this flag of simple_switch_grpc does nothing here", "flag", "--"+name)
		}
	}
	return nil
}

// argsWithDash takes flags behind --, where simple_switch_grpc has those of its
// target, and returns the arguments that are left: at most the program.
func argsWithDash(cmd *cobra.Command, args []string) ([]string, error) {
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		flags := cmd.Flags()
		behind := args[dash:]
		args = args[:dash:dash]
		if err := flags.Parse(behind); err != nil {
			return nil, err
		}
		args = append(args, flags.Args()...)
	}
	if len(args) > 1 {
		return nil, fmt.Errorf("one program is loaded, not %d: %q", len(args), args)
	}
	return args, nil
}
