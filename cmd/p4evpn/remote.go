package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/internal/file"
)

// remote is how a command reaches the API of a running gateway.
type remote struct {
	address         string
	ca, certificate string
	key             string
	timeout         time.Duration
}

// addFlags gives a command and those below it the flags.
func (r *remote) addFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&r.address, "api", config.DefaultAPI, "address of the gateway's API: unix:PATH or host:port")
	f.StringVar(&r.ca, "ca", "",
		"authority of the gateway's certificate, a PEM file; with --cert and --key for an API with TLS")
	f.StringVar(&r.certificate, "cert", "", "our certificate, a PEM file")
	f.StringVar(&r.key, "key", "", "the key of our certificate, a PEM file")
	f.DurationVar(&r.timeout, "timeout", 10*time.Second, "how long to wait for the answer")
	for _, name := range []string{"ca", "cert", "key"} {
		_ = cmd.MarkPersistentFlagFilename(name, "pem", "crt", "key")
	}
}

// redial has who goes on after a restart of the gateway hear from it soon.
var redial = grpc.ConnectParams{
	Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
	// As it is without a word of ours.
	MinConnectTimeout: 20 * time.Second,
}

// dial gives a connection, which is made when it is first used.
func (r *remote) dial() (*grpc.ClientConn, error) {
	creds, err := r.credentials()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(creds), grpc.WithConnectParams(redial))
	if err != nil {
		return nil, fmt.Errorf("API at %s: %w", r.address, err)
	}
	return conn, nil
}

// call runs do with a connection, and until the timeout.
func (r *remote) call(cmd *cobra.Command, do func(context.Context, *grpc.ClientConn) error) error {
	conn, err := r.dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(cmd.Context(), r.timeout)
	defer cancel()
	return do(ctx, conn)
}

func (r *remote) credentials() (credentials.TransportCredentials, error) {
	if r.ca == "" && r.certificate == "" && r.key == "" {
		return insecure.NewCredentials(), nil
	}
	if r.ca == "" || r.certificate == "" || r.key == "" {
		return nil, errors.New("TLS wants all of --ca, --cert and --key")
	}
	return mutualTLS(r.ca, r.certificate, r.key, "")
}

// mutualTLS shows a certificate, and wants one of the authorities for the server's name, or
// for the host of the address.
func mutualTLS(ca, certificate, key, name string) (credentials.TransportCredentials, error) {
	pair, err := file.KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("our certificate: %w", err)
	}
	pool, err := file.Authorities(ca)
	if err != nil {
		return nil, fmt.Errorf("the authorities: %w", err)
	}
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS12, ServerName: name,
	}), nil
}

// explain says what to do about an API that does not answer.
func (r *remote) explain(err error) error {
	st := status.Convert(err)
	if st.Code() == codes.Unavailable {
		return fmt.Errorf("no gateway answers at %s: is `p4evpn run` there, is --api its api.listen, "+
			"and do the certificates fit? (%s)", r.address, st.Message())
	}
	return errors.New(st.Message())
}
