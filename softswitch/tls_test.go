package softswitch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"sync"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/p4evpn/p4evpn/internal/certtest"
)

// clientTLS trusts ca, and shows a certificate if there is one.
func clientTLS(t *testing.T, ca, cert, key string) credentials.TransportCredentials {
	t.Helper()
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	c.RootCAs.AppendCertsFromPEM(text)
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(c)
}

func TestP4RuntimeIsServedByTLS(t *testing.T) {
	needRoot(t)
	serverCert, serverKey := certtest.SelfSigned(t, "server", "localhost")
	clientCert, clientKey := certtest.SelfSigned(t, "client", "localhost")
	otherCert, otherKey := certtest.SelfSigned(t, "other", "localhost")
	plain, known := insecure.NewCredentials(), clientTLS(t, serverCert, clientCert, clientKey)
	anonymous, unknown := clientTLS(t, serverCert, "", ""), clientTLS(t, serverCert, otherCert, otherKey)
	oneWay := TLS{Certificate: serverCert, Key: serverKey}
	optional := TLS{Certificate: serverCert, Key: serverKey, ClientCA: clientCert}
	mutual := TLS{Certificate: serverCert, Key: serverKey, ClientCA: clientCert, RequireClient: true}
	for _, x := range []struct {
		name   string
		server TLS
		client credentials.TransportCredentials
		works  bool
	}{
		{"in the clear", TLS{}, plain, true}, {"clear client", oneWay, plain, false},
		{"one way", oneWay, anonymous, true}, {"a server nobody vouches for", oneWay, clientTLS(t, otherCert, "", ""), false},
		{"optional, without", optional, anonymous, true}, {"optional, known", optional, known, true},
		{"optional, unknown", optional, unknown, false},
		{"mutual, known", mutual, known, true}, {"mutual, without", mutual, anonymous, false}, {"mutual, unknown", mutual, unknown, false},
	} {
		if err := capabilities(t, x.server, x.client); (err == nil) != x.works {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

// capabilities asks a switch that is served so.
func capabilities(t *testing.T, server TLS, client credentials.TransportCredentials) error {
	t.Helper()
	sw, err := New(Config{GRPCAddress: "127.0.0.1:0", TLS: server, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = sw.Run(ctx) })
	defer running.Wait()
	defer cancel()
	conn, err := grpc.NewClient(sw.Address().String(), grpc.WithTransportCredentials(client))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = p4v1.NewP4RuntimeClient(conn).Capabilities(ctx, &p4v1.CapabilitiesRequest{})
	return err
}

func TestWrongTLSIsRefused(t *testing.T) {
	cert, key := certtest.SelfSigned(t, "server", "localhost")
	_, otherKey := certtest.SelfSigned(t, "other", "localhost")
	for _, x := range []struct {
		tls  TLS
		text string
	}{
		{TLS{Certificate: cert}, "key"},
		{TLS{ClientCA: cert}, "needs the files"},
		{TLS{Certificate: cert, Key: key, RequireClient: true}, "authority"},
		{TLS{Certificate: cert, Key: otherKey}, cert},
		{TLS{Certificate: key, Key: key}, key},
		{TLS{Certificate: cert, Key: key, ClientCA: key}, "holds no certificate"},
		{TLS{Certificate: cert, Key: key, ClientCA: "/nowhere"}, "/nowhere"},
	} {
		if _, err := New(Config{GRPCAddress: "127.0.0.1:0", TLS: x.tls, Logger: quiet()}); err == nil ||
			!strings.Contains(err.Error(), x.text) {
			t.Errorf("%+v: got %v, want an error that says %q", x.tls, err, x.text)
		}
	}
}
