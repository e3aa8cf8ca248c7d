package softswitch

import (
	"crypto/tls"
	"errors"
	"fmt"

	"google.golang.org/grpc/credentials"

	"github.com/p4evpn/p4evpn/internal/file"
)

// TLS says how P4Runtime is served: in the clear if it is zero.
type TLS struct {
	Certificate, Key string // PEM files
	// ClientCA is a PEM file of the authorities that clients' certificates are
	// verified against.
	ClientCA string
	// RequireClient refuses clients without a certificate of ClientCA.
	RequireClient bool
}

// credentials reads the files; nil without TLS.
func (c TLS) credentials() (credentials.TransportCredentials, error) {
	switch {
	case c == TLS{}:
		return nil, nil
	case c.Certificate == "" || c.Key == "":
		return nil, errors.New("TLS needs the files of a certificate and of its key")
	case c.RequireClient && c.ClientCA == "":
		return nil, errors.New("TLS that requires clients' certificates needs the file of their authority")
	}
	pair, err := file.KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if c.ClientCA == "" {
		return credentials.NewTLS(config), nil
	}
	if config.ClientCAs, err = file.Authorities(c.ClientCA); err != nil {
		return nil, fmt.Errorf("TLS authority of clients: %w", err)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	if c.RequireClient {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return credentials.NewTLS(config), nil
}
