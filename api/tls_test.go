package api

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) authority {
	t.Helper()
	return authority{}.sign(t, pkix.Name{CommonName: name}, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
	})
}

// sign makes a certificate with its key, self-signed if there is no authority.
func (a authority) sign(t testing.TB, name pkix.Name, change func(*x509.Certificate)) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: name, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(c)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// files writes certificate and key as PEM.
func (a authority) files(t testing.TB, dir, name string) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: a.cert.Raw},
		key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func (a authority) client(servers authority) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(servers.cert)
	c := &tls.Config{RootCAs: pool, ServerName: "localhost"}
	if a.cert != nil {
		pair := tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key}
		// As a client that sends it whatever authorities the server names.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return c
}

var (
	alice  = pkix.Name{CommonName: "alice", Organization: []string{"Example"}}
	victor = pkix.Name{CommonName: "victor", Organization: []string{"Example"}}
)

// secure gives the configuration of a server with TLS, where alice is an operator
// and victor a viewer, and the authority that signs for all.
func secure(t testing.TB) (Config, authority) {
	ca := newAuthority(t, "the authority")
	dir := t.TempDir()
	files := TLS{}
	files.Certificate, files.Key = ca.sign(t, pkix.Name{CommonName: "gateway"}, nil).files(t, dir, "server")
	files.ClientCA, _ = ca.files(t, dir, "ca")
	return Config{Store: intent.NewMemory(), Status: fakeStatus{}, View: &controllertest.View{}, TLS: &files,
		Roles: map[string]Role{"CN=alice,O=Example": RoleOperator, "CN=victor,O=Example": RoleViewer}}, ca
}

// attempt is one way to call a method.
type attempt struct {
	name string
	call func(*testing.T, *gateway) codes.Code
}

func overGRPC(err error) codes.Code { return status.Code(err) }

func overREST(method, path, body string) func(*testing.T, *gateway) codes.Code {
	return func(t *testing.T, g *gateway) codes.Code {
		r := g.do(t, method, path, body)
		if r.code == 200 {
			return codes.OK
		}
		code, _, _ := r.problem(t)
		return code
	}
}

var readAttempts = []attempt{
	{"get", func(t *testing.T, g *gateway) codes.Code {
		_, err := g.bridges.GetLogicalBridge(t.Context(), &pb.GetLogicalBridgeRequest{Name: "logicalBridges/vlan10"})
		return overGRPC(err)
	}},
	{"list", func(t *testing.T, g *gateway) codes.Code {
		_, err := g.vrfs.ListVrfs(t.Context(), &pb.ListVrfsRequest{})
		return overGRPC(err)
	}},
	{"view", func(t *testing.T, g *gateway) codes.Code {
		s, err := g.view.ListBridges(t.Context(), &p4evpnv1.ListBridgesRequest{})
		for err == nil {
			_, err = s.Recv()
		}
		if err == io.EOF {
			err = nil
		}
		return overGRPC(err)
	}},
	{"health", func(t *testing.T, g *gateway) codes.Code {
		_, err := healthpb.NewHealthClient(g.conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
		return overGRPC(err)
	}},
	{"reflection", func(t *testing.T, g *gateway) codes.Code {
		s, err := reflectionpb.NewServerReflectionClient(g.conn).ServerReflectionInfo(t.Context())
		if err == nil {
			_ = s.Send(&reflectionpb.ServerReflectionRequest{
				MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
			_, err = s.Recv()
		}
		return overGRPC(err)
	}},
	{"REST get", overREST("GET", "/v1/logicalBridges/vlan10", "")},
	{"REST list", overREST("GET", "/v1/svis", "")},
	{"REST health", overREST("GET", "/healthz", "")},
}

var writeAttempts = []attempt{
	{"create", func(t *testing.T, g *gateway) codes.Code {
		_, err := g.bridges.CreateLogicalBridge(t.Context(),
			&pb.CreateLogicalBridgeRequest{LogicalBridgeId: "vlan20", LogicalBridge: bridgeMsg(20, 20)})
		return overGRPC(err)
	}},
	{"update", func(t *testing.T, g *gateway) codes.Code {
		m := bridgeMsg(21, 20)
		m.Name = "logicalBridges/vlan20"
		_, err := g.bridges.UpdateLogicalBridge(t.Context(), &pb.UpdateLogicalBridgeRequest{LogicalBridge: m})
		return overGRPC(err)
	}},
	{"delete", func(t *testing.T, g *gateway) codes.Code {
		_, err := g.bridges.DeleteLogicalBridge(t.Context(), &pb.DeleteLogicalBridgeRequest{Name: "logicalBridges/vlan20"})
		return overGRPC(err)
	}},
	{"REST create", overREST("POST", "/v1/logicalBridges?logical_bridge_id=vlan30", `{"spec":{"vlanId":30}}`)},
	{"REST update", overREST("PATCH", "/v1/logicalBridges/vlan30", `{"spec":{"vlanId":31}}`)},
	{"REST delete", overREST("DELETE", "/v1/logicalBridges/vlan30", "")},
}

func TestRolesHoldOverGRPCAndREST(t *testing.T) {
	cfg, ca := secure(t)
	err := cfg.Store.Update(func(tx *intent.Tx) error {
		_, err := tx.Bridges().Create(intent.LogicalBridge{ID: "vlan10", VLAN: 10})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	before := frozen(t, cfg.Store)
	for _, c := range []struct {
		name        string
		subject     pkix.Name
		read, write codes.Code
	}{
		{"viewer", victor, codes.OK, codes.PermissionDenied},
		{"no role", pkix.Name{CommonName: "mallory", Organization: []string{"Example"}}, codes.PermissionDenied, codes.PermissionDenied},
		{"a role's name in part", pkix.Name{CommonName: "alice"}, codes.PermissionDenied, codes.PermissionDenied},
		{"a role's name and more", pkix.Name{CommonName: "alice", Organization: []string{"Example", "Other"}}, codes.PermissionDenied, codes.PermissionDenied},
		{"a role's name in one value", pkix.Name{CommonName: "alice,O=Example"}, codes.PermissionDenied, codes.PermissionDenied},
		{"no subject", pkix.Name{}, codes.PermissionDenied, codes.PermissionDenied},
		{"operator", alice, codes.OK, codes.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := serveConfig(t, cfg, ca.sign(t, c.subject, nil).client(ca))
			for want, attempts := range map[codes.Code][]attempt{c.read: readAttempts, c.write: writeAttempts} {
				if c.read == c.write {
					attempts = append(readAttempts[:len(readAttempts):len(readAttempts)], writeAttempts...)
				}
				for _, a := range attempts {
					if got := a.call(t, g); got != want {
						t.Errorf("%s: %v, want %v", a.name, got, want)
					}
				}
			}
			if c.write != codes.OK && !reflect.DeepEqual(frozen(t, cfg.Store), before) {
				t.Error("something changed")
			}
		})
	}
}

func TestTheLogNamesTheSubjectAndARefusalWhatToDo(t *testing.T) {
	cfg, ca := secure(t)
	var log records
	cfg.Logger = log.logger()
	g := serveConfig(t, cfg, ca.sign(t, pkix.Name{CommonName: "mallory", Country: []string{"DE"}}, nil).client(ca))
	_, err := g.vrfs.ListVrfs(t.Context(), &pb.ListVrfsRequest{})
	wantCode(t, err, codes.PermissionDenied)
	if !strings.Contains(err.Error(), "CN=mallory,C=DE") || !strings.Contains(err.Error(), "api.roles") {
		t.Error(err)
	}
	if calls := log.calls(); len(calls) != 1 || calls[0]["subject"] != "CN=mallory,C=DE" ||
		calls[0]["code"] != "PermissionDenied" {
		t.Errorf("%v", calls)
	}
}

func TestACertificateThatIsNotGoodGetsNoConnection(t *testing.T) {
	cfg, ca := secure(t)
	other := newAuthority(t, "the authority") // of the same name
	sign := func(a authority, change func(*x509.Certificate)) *tls.Config {
		return a.sign(t, alice, change).client(ca)
	}
	for name, client := range map[string]*tls.Config{
		"expired": sign(ca, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}),
		"not valid yet":        sign(ca, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }),
		"of another authority": sign(other, nil),
		"self-signed":          sign(authority{}, nil),
		"for servers only":     sign(ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
		"none":                 authority{}.client(ca),
		"TLS 1.1": func() *tls.Config {
			c := sign(ca, nil)
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			return c
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			cfg := cfg
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			g := serveConfig(t, cfg, client)
			_, err := g.vrfs.ListVrfs(t.Context(), &pb.ListVrfsRequest{})
			wantCode(t, err, codes.Unavailable)
			if r, err := g.http.Get(g.url + "/v1/vrfs"); err == nil {
				_ = r.Body.Close()
				t.Errorf("REST: HTTP %d", r.StatusCode)
			}
		})
	}
	g := serveConfig(t, cfg, nil)
	_, err := g.vrfs.ListVrfs(t.Context(), &pb.ListVrfsRequest{})
	wantCode(t, err, codes.Unavailable) // without TLS
}

func TestRenewedCertificatesAreTakenUpAndBadOnesNot(t *testing.T) {
	cfg, ca := secure(t)
	g := serveConfig(t, cfg, ca.sign(t, alice, nil).client(ca))
	serial := func() string {
		t.Helper()
		g.http.CloseIdleConnections()
		r, err := g.http.Get(g.url + "/v1/vrfs")
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		return fmt.Sprint(r.TLS.PeerCertificates[0].SerialNumber)
	}
	first := serial()
	ca.sign(t, pkix.Name{CommonName: "gateway"}, nil).files(t, filepath.Dir(cfg.TLS.Certificate), "server")
	second := serial()
	if first == second {
		t.Error("the new certificate is not taken up")
	}
	if err := os.WriteFile(cfg.TLS.Key, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != second {
		t.Errorf("with a bad key it serves certificate %s, want the last good one, %s", got, second)
	}
}

func TestFilesOfTLSThatCannotBeAreRefusedAtOnce(t *testing.T) {
	cfg, _ := secure(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*TLS){
		func(f *TLS) { f.Certificate = "/does/not/exist" },
		func(f *TLS) { f.Key = empty },
		func(f *TLS) { f.ClientCA = "/does/not/exist" },
		func(f *TLS) { f.ClientCA = empty },
		func(f *TLS) { f.ClientCA = f.Key },
	} {
		files, c := *cfg.TLS, cfg
		change(&files)
		c.TLS, c.Listen = &files, []string{"127.0.0.1:0"}
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), "API") {
			t.Errorf("%+v: %v", files, err)
		}
	}
}
