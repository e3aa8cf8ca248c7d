package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch"
)

// selfSigned writes a certificate that is its own authority, and its key.
func selfSigned(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), name+".pem"), filepath.Join(t.TempDir(), name+".key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der},
		key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestATargetIsProgrammedByMutualTLS(t *testing.T) {
	serverCert, serverKey := selfSigned(t, "switch.example")
	ourCert, ourKey := selfSigned(t, "gateway.example")
	otherCert, otherKey := selfSigned(t, "other.example")
	sw, err := softswitch.New(softswitch.Config{GRPCAddress: "127.0.0.1:0", CPUPort: p4.CPUPort, DropPort: p4.DropPort,
		TLS: softswitch.TLS{Certificate: serverCert, Key: serverKey, ClientCA: ourCert, RequireClient: true}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = sw.Run(ctx) })
	good := config.TargetTLS{Certificate: ourCert, Key: ourKey, CA: serverCert, ServerName: "switch.example"}
	for name, c := range map[string]struct {
		change func(*config.TargetTLS)
		up     bool
	}{
		"as it should be":       {func(*config.TargetTLS) {}, true},
		"a certificate of none": {func(c *config.TargetTLS) { c.Certificate, c.Key = otherCert, otherKey }, false},
		"another target":        {func(c *config.TargetTLS) { c.CA = otherCert }, false},
		"another name":          {func(c *config.TargetTLS) { c.ServerName = "other.example" }, false},
		"no name":               {func(c *config.TargetTLS) { c.ServerName = "" }, false}, // it is for no address
		"in the clear":          {func(c *config.TargetTLS) { *c = config.TargetTLS{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := &config.File{Target: config.Target{Address: sw.Address().String(), DeviceID: 1, ElectionID: 1, TLS: good}}
			c.change(&f.Target.TLS)
			cfg, err := clientConfig(f)
			if err != nil {
				t.Fatal(err)
			}
			client, err := p4rt.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			running.Go(func() { _ = client.Run(ctx) })
			for e := range client.Events() {
				switch e.(type) {
				case p4rt.Up, p4rt.Down:
					if _, up := e.(p4rt.Up); up != c.up {
						t.Errorf("%+v", e)
					}
					cancel()
				}
			}
		})
	}
}

func TestFilesOfTheTargetsTLSThatCannotBeAreRefusedAtOnce(t *testing.T) {
	cert, key := selfSigned(t, "switch.example")
	for says, c := range map[string]config.TargetTLS{
		"/nowhere":       {Certificate: cert, Key: key, CA: "/nowhere"},
		"no certificate": {Certificate: cert, Key: key, CA: key},
		key:              {Certificate: key, Key: key, CA: cert},
	} {
		_, err := clientConfig(&config.File{Target: config.Target{TLS: c}})
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "target.tls") {
			t.Errorf("%+v: %v, want one that says %q", c, err, says)
		}
	}
}
