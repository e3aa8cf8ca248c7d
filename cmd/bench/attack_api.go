package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	apiMemory = "attack_api_tls_memory_ratio"
	// apiAttackers is ten times as many connections as a client may have.
	apiAttackers = 640
	apiPause     = time.Second           // of an attacker whose connection was closed
	apiEvery     = 20 * time.Millisecond // the victim asks
	apiLimit     = 10 * time.Second      // after which a call is lost
	apiAttack    = 20 * time.Second
)

// strangerAddress is where those without a role come from, victimAddress where an operator.
const strangerAddress, victimAddress = "127.6.6.6", "127.0.0.1"

// certificates are those of the API over TCP: of the gateway, of an operator and of a client
// without a role.
type certificates struct {
	authority          *x509.CertPool
	operator, stranger tls.Certificate
	keys               string // of the configuration
}

// certify makes an authority and what it signs.
func (b *bench) certify() (c certificates, err error) {
	ca, caKey, err := sign("authority", nil, nil)
	if err != nil {
		return c, err
	}
	c.authority = x509.NewCertPool()
	c.authority.AddCert(ca)
	signed := map[string]tls.Certificate{}
	for _, name := range []string{"localhost", "operator", "stranger"} {
		cert, key, err := sign(name, ca, caKey)
		if err != nil {
			return c, err
		}
		signed[name] = tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
	}
	c.operator, c.stranger = signed["operator"], signed["stranger"]
	key, err := x509.MarshalPKCS8PrivateKey(signed["localhost"].PrivateKey)
	if err != nil {
		return c, fmt.Errorf("write a key: %w", err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.crt":     {Type: "CERTIFICATE", Bytes: ca.Raw},
		"server.crt": {Type: "CERTIFICATE", Bytes: signed["localhost"].Certificate[0]},
		"server.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(b.dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return c, err
		}
	}
	c.keys = fmt.Sprintf("tls: {certificate: %[1]s/server.crt, key: %[1]s/server.key, client_ca: %[1]s/ca.crt}, "+
		"roles: {\"CN=operator\": operator}", b.dir)
	return c, nil
}

// sign makes a certificate; an authority's if nobody signs it.
func sign(name string, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey,
	error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if parent == nil {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

// as is how a client with a certificate speaks TLS.
func (c certificates) as(pair tls.Certificate, protocol string) *tls.Config {
	return &tls.Config{RootCAs: c.authority, ServerName: "localhost", Certificates: []tls.Certificate{pair},
		NextProtos: []string{protocol}}
}

// measureStrangers has a client without a role take all connections that it gets, and ten
// times as many: some never shake hands, some send bodies that do not end, some reset
// what they ask. An operator asks at the same address meanwhile.
func measureStrangers(ctx context.Context, b *bench) ([]value, error) {
	c, err := b.certify()
	if err != nil {
		return nil, err
	}
	binary := func(ctx context.Context) (string, error) { return b.program(ctx, embedded) }
	return withLiveOf(ctx, liveOptions{binary: binary, api: c.keys}, func(g *liveGateway) ([]value, error) {
		victim := g.asking(ctx, c)
		quiet, err := g.see(victim, func() error { return sleep(ctx, quietFor) })
		if err != nil {
			return nil, err
		}
		var opened atomic.Int64
		under, err := g.see(victim, func() error {
			during, cancel := context.WithCancel(ctx)
			defer cancel()
			var owned sync.WaitGroup
			for i := range apiAttackers {
				owned.Go(func() { g.beStranger(during, c, strangers[i%len(strangers)], &opened) })
			}
			err := sleep(ctx, apiAttack)
			cancel()
			owned.Wait()
			return err
		})
		if err != nil {
			return nil, err
		}
		values := attackValues("api", quiet, under, fmt.Sprintf("a client without a role had %d connections at once, %d in "+
			"all, of which it may have 64: without a handshake, with bodies that do not end, with requests that it resets",
			apiAttackers, opened.Load()))
		values[2].name = apiMemory
		return values, nil
	})
}

// asking is a victim that asks for the VRFs by a connection of its own each time.
func (g *liveGateway) asking(ctx context.Context, c certificates) victim {
	return func() (func() seen, error) {
		client := &http.Client{Timeout: apiLimit, Transport: &http.Transport{DisableKeepAlives: true,
			TLSClientConfig: c.as(c.operator, "http/1.1"),
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return g.dialFrom(ctx, victimAddress, liveAPI)
			}}}
		if err := listVRFs(ctx, client); err != nil {
			return nil, err
		}
		during, cancel := context.WithCancel(ctx)
		var owned sync.WaitGroup
		s, took := seen{}, []time.Duration(nil)
		owned.Go(func() {
			for sleep(during, apiEvery) == nil {
				start := time.Now()
				if err := listVRFs(ctx, client); err != nil {
					s.lost++
				}
				s.sent++
				took = append(took, time.Since(start))
			}
		})
		return func() seen {
			cancel()
			owned.Wait()
			s.p99 = percentile(took, 99)
			return s
		}, nil
	}
}

func listVRFs(ctx context.Context, client *http.Client) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://localhost/v1/vrfs", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("list VRFs: %s", answer.Status)
	}
	return nil
}

// stranger is what a client without a role does with a connection.
type stranger func(conn net.Conn, c certificates) error

var strangers = []stranger{stall, sendNoEnd, resetAll}

// beStranger does one thing again and again; that its connections end is what is wanted.
func (g *liveGateway) beStranger(ctx context.Context, c certificates, do stranger, opened *atomic.Int64) {
	for ctx.Err() == nil {
		if conn, err := g.dialFrom(ctx, strangerAddress, liveAPI); err == nil {
			opened.Add(1)
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			_ = do(conn, c)
			stop()
			_ = conn.Close()
		}
		_ = sleep(ctx, apiPause)
	}
}

// stall says nothing.
func stall(conn net.Conn, _ certificates) error {
	_, err := io.Copy(io.Discard, conn)
	return err
}

// sendNoEnd sends most of a body.
func sendNoEnd(conn net.Conn, c certificates) error {
	const body = 64_000
	t := tls.Client(conn, c.as(c.stranger, "http/1.1"))
	if _, err := fmt.Fprintf(t, "POST /v1/vrfs HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", body+1,
		strings.Repeat(" ", body)); err != nil {
		return err
	}
	return stall(t, c)
}

// resetAll makes calls over gRPC, and resets each at once.
func resetAll(conn net.Conn, c certificates) error {
	t := tls.Client(conn, c.as(c.stranger, "h2"))
	if _, err := io.WriteString(t, http2.ClientPreface); err != nil {
		return err
	}
	go func() { _, _ = io.Copy(io.Discard, t) }() // ends with the connection, which the caller closes
	f := http2.NewFramer(t, nil)
	if err := f.WriteSettings(); err != nil {
		return err
	}
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	e.SetMaxDynamicTableSize(0) // each block stands alone
	for _, field := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "localhost"},
		{":path", "/grpc.health.v1.Health/Watch"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		if err := e.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			return err
		}
	}
	for id := uint32(1); ; id += 2 {
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(),
			EndHeaders: true}); err != nil {
			return err
		}
		if err := f.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
			return err
		}
	}
}
