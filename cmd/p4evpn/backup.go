package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/internal/file"
)

func newBackup() *cobra.Command {
	var gateway remote
	var withoutSecrets bool
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Copy the store of a running gateway to a file",
		Long: `Copies all objects of a running gateway to a new file, as they are at this moment.
The file holds the passwords of BGP neighbours: keep it as you keep those. With
--without-secrets it has none, and neighbours with a password are to be given it
again after the file was restored.`,
		Example: "  p4evpn backup /var/backups/p4evpn-$(date +%F).db",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return gateway.call(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				n, err := backup(ctx, p4evpnv1.NewStoreServiceClient(conn), args[0], withoutSecrets)
				var file *fileError
				switch {
				case errors.As(err, &file):
					return fmt.Errorf("backup %s: %w", args[0], file.err)
				case err != nil:
					return gateway.explain(err)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s holds %d objects\n", args[0], n)
				return err
			})
		},
	}
	gateway.addFlags(cmd)
	cmd.Flags().BoolVar(&withoutSecrets, "without-secrets", false, "leave out the passwords of BGP neighbours")
	return cmd
}

// fileError is what went wrong on this side.
type fileError struct{ err error }

func (e *fileError) Error() string { return e.err.Error() }

// backup writes a new file, which has its name only when it is whole.
func backup(ctx context.Context, c p4evpnv1.StoreServiceClient, name string, withoutSecrets bool) (objects int,
	err error) {
	if _, err := os.Lstat(name); err == nil {
		return 0, &fileError{errors.New("there is a file of this name: give another one")}
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part-")
	if err != nil {
		return 0, &fileError{err}
	}
	defer func() { _ = os.Remove(f.Name()) }()
	err = receive(ctx, c, f, withoutSecrets)
	if closed := errors.Join(f.Sync(), f.Close()); err == nil && closed != nil {
		err = &fileError{closed}
	}
	if err != nil {
		return 0, err
	}
	objects, err = intent.Check(f.Name())
	if err == nil {
		err = os.Link(f.Name(), name)
	}
	if err != nil {
		return 0, &fileError{err}
	}
	return objects, nil
}

func receive(ctx context.Context, c p4evpnv1.StoreServiceClient, w io.Writer, withoutSecrets bool) error {
	stream, err := c.Backup(ctx, &p4evpnv1.BackupRequest{WithoutSecrets: withoutSecrets})
	for err == nil {
		var part *p4evpnv1.BackupResponse
		if part, err = stream.Recv(); err != nil {
			break
		}
		if _, err := w.Write(part.GetData()); err != nil {
			return &fileError{err}
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func newRestore() *cobra.Command {
	var configuration, store string
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Put a backup in the place of a gateway's store",
		Long: `Puts a backup in the place of the store of a gateway that does not run. The backup
is checked first, and the store that was there is kept beside it, whatever its
state. The gateway makes the target and BGP follow when it starts.`,
		Example: "  systemctl stop p4evpn\n" +
			"  p4evpn restore /var/backups/p4evpn-2026-01-31.db -c /etc/p4evpn.yaml\n" +
			"  systemctl start p4evpn",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if configuration != "" {
				f, err := config.Load(configuration)
				if err != nil {
					return err
				}
				store = f.Store
			}
			f, err := file.Open(args[0], intent.MaxFile)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			r, err := intent.Restore(cmd.Context(), store, f)
			if err != nil {
				return err
			}
			if r.Kept != "" {
				_, _ = fmt.Fprintf(cmd.OutOrStdout(), "what was there is %s now\n", r.Kept)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s holds %d objects\n", store, r.Objects)
			return err
		},
	}
	cmd.Flags().StringVarP(&configuration, "config", "c", "", "the gateway's configuration, which names the store")
	cmd.Flags().StringVar(&store, "store", config.DefaultStore, "the store's file")
	cmd.MarkFlagsMutuallyExclusive("config", "store")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	return cmd
}
