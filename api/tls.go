package api

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"

	"github.com/p4evpn/p4evpn/internal/file"
)

// TLS names the files of mutual TLS, PEM each. They are read again for every new
// connection, so that a certificate is renewed by replacing its files.
type TLS struct {
	Certificate, Key string
	// ClientCA are the authorities that sign the certificates of clients.
	ClientCA string
}

// keyPair is the newest good state of the files.
type keyPair struct {
	files TLS
	log   *slog.Logger

	mu     sync.Mutex
	config *tls.Config
}

// serverTLS reads the files, which must be good at start.
func serverTLS(files TLS, log *slog.Logger) (*tls.Config, error) {
	k := &keyPair{files: files, log: log}
	var err error
	if k.config, err = files.load(); err != nil {
		return nil, err
	}
	c := k.config.Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.newest(), nil }
	return c, nil
}

// newest reads the files again; the last good ones serve while they are not.
func (k *keyPair) newest() *tls.Config {
	c, err := k.files.load()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.log.Warn("the API's certificates cannot be read, going on with the last good ones", "err", err)
		return k.config
	}
	k.config = c
	return c
}

func (f TLS) load() (*tls.Config, error) {
	pair, err := file.KeyPair(f.Certificate, f.Key)
	if err != nil {
		return nil, fmt.Errorf("API: %w", err)
	}
	pool, err := file.Authorities(f.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("API: authorities of clients: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}, nil
}
