package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/internal/socket"
)

// plainConfig is a server without TLS.
func plainConfig() Config {
	return Config{Store: intent.NewMemory(), Status: fakeStatus{}}
}

// refused is how many requests or connections were refused for a reason.
func (g *gateway) refused(reason string) int {
	m := g.server.metrics
	return int(testutil.ToFloat64(m.requests.WithLabelValues(reason)) +
		testutil.ToFloat64(m.connections.WithLabelValues(reason)))
}

// answers checks that a client from another address is answered.
func (g *gateway) answers(t *testing.T) {
	t.Helper()
	if _, err := g.vrfs.ListVrfs(t.Context(), &pb.ListVrfsRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Errorf("a client that does no harm: %v", err)
	}
	if r := g.do(t, "GET", "/v1/vrfs", ""); r.code != 200 {
		t.Errorf("a client that does no harm: HTTP %d %s", r.code, r.body)
	}
}

// attack connects from an address of its own.
func (g *gateway) attack(t *testing.T) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 6, 6, 6)}, Timeout: 10 * time.Second}
	conn, err := d.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// until waits for something that is to be.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so: %s", what)
		}
	}
}

func TestWhoHasNoRoleIsRefusedBeforeAnyOfTheBodyIsRead(t *testing.T) {
	cfg, ca := secure(t)
	g := serveConfig(t, cfg, ca.sign(t, alice, nil).client(ca))
	g.answers(t)
	for name, subject := range map[string]string{"a viewer": "victor", "no role": "mallory"} {
		c := victor
		c.CommonName = subject
		for _, path := range []string{"/v1/logicalBridges", "/p4evpn/v1/duplicates:clear", "/nowhere"} {
			conn := tls.Client(g.attack(t), ca.sign(t, c, nil).client(ca))
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n{", path)
			if code, closes := status1(t, conn); code != http.StatusForbidden || !closes {
				t.Errorf("%s at %s, with a body that does not come: HTTP %d, closed %v", name, path, code, closes)
			}
		}
	}
	if n := g.refused(refusedRole); n != 6 {
		t.Errorf("%d refused for their role, want 6", n)
	}
	nobody := pkix.Name{CommonName: "mallory"}
	for _, method := range []string{
		"/" + bridgeServiceName + "/ListLogicalBridges", "/grpc.health.v1.Health/Watch", "/a/b",
	} {
		body, rest := io.Pipe()
		header, _ := g.callOverHTTP2(t, method, body, ca.sign(t, nobody, nil).client(ca))
		if header.Get("Grpc-Status") != "7" || !strings.Contains(header.Get("Grpc-Message"), "api.roles") {
			t.Errorf("%s with a message that does not come: %v", method, header)
		}
		_ = rest.Close()
	}
	g.answers(t)
}

// callOverHTTP2 makes a call over gRPC by hand, from an address of its own, and gives the
// header of the answer and how it ended.
func (g *gateway) callOverHTTP2(t *testing.T, method string, body io.Reader, client *tls.Config) (http.Header, error) {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(client == nil)
	transport := &http.Transport{TLSClientConfig: client, Protocols: protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return g.attack(t), nil }}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), "POST", g.url+method, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	answer, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.Header, err
}

// status1 gives the status of a request by HTTP/1.
func status1(t *testing.T, conn net.Conn) (code int, closes bool) {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	return r.StatusCode, r.Close
}

func TestStalledBodiesAreBoundedInMemoryAndTime(t *testing.T) {
	cfg := plainConfig()
	g := serveConfig(t, cfg, nil)
	for range 200 { // more than there may be of one client
		fmt.Fprintf(g.attack(t), "POST /v1/vrfs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65000\r\n\r\n%s",
			strings.Repeat(" ", 64000))
	}
	until(t, "64 connections of one client and no more", func() bool {
		return g.server.open() >= defaultConnectionsPerClient &&
			g.refused("connections_per_client") == 200-defaultConnectionsPerClient
	})
	until(t, "their bodies are counted", func() bool {
		return g.server.guard.flight.now().bytes == defaultConnectionsPerClient*64000
	})
	g.answers(t)
}

func TestALargeBodyIsRefusedByItsLength(t *testing.T) {
	g := serveConfig(t, plainConfig(), nil)
	for _, length := range []string{"Content-Length: 65537", "Transfer-Encoding: chunked"} {
		conn := g.attack(t)
		go func() {
			fmt.Fprintf(conn, "POST /v1/vrfs HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", length)
			for range 17 {
				fmt.Fprintf(conn, "1000\r\n%s\r\n", strings.Repeat(" ", 4096))
			}
		}()
		if code, _ := status1(t, conn); code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: HTTP %d", length, code)
		}
	}
	if n := g.refused(refusedBody); n != 2 {
		t.Errorf("%d refused for their bodies, want 2", n)
	}
	g.answers(t)
}

func TestWhatIsInFlightIsBoundedInAllAndByClient(t *testing.T) {
	f := newFlight()
	var passages []*passage
	begin := func(client string) *passage {
		t.Helper()
		p, err := f.begin(client)
		if err != nil {
			t.Fatal(client, err)
		}
		passages = append(passages, p)
		return p
	}
	for i := range 4 {
		client := fmt.Sprint(i)
		if err := begin(client).take(maxBytesPerClient); err != nil {
			t.Error(err)
		}
		if err := begin(client).take(1); err == nil {
			t.Error("a client has more in flight than it may")
		}
	}
	if err := begin("one more").take(freeBytes); err != nil {
		t.Errorf("others leave a client nothing: %v", err)
	}
	if err := begin("one more").take(1); err == nil {
		t.Error("all have more in flight than they may")
	}
	for range maxCallsPerClient - 2 {
		begin("one more")
	}
	if _, err := f.begin("one more"); err == nil {
		t.Error("a client has more calls than it may")
	}
	for i := len(passages); i < maxCalls; i++ {
		begin(fmt.Sprint("client ", i))
	}
	begin("the last") // others leave it one
	if _, err := f.begin("the last"); err == nil {
		t.Error("all have more calls than they may")
	}
	for _, p := range passages {
		p.end()
	}
	if now := f.now(); now != (load{}) || len(f.clients) != 0 {
		t.Errorf("%+v of %d clients is left when all have ended", now, len(f.clients))
	}
}

// endless is a body that has no end.
type endless struct{ read atomic.Int64 }

func (e *endless) Read(b []byte) (int, error) {
	clear(b) // empty messages
	e.read.Add(int64(len(b)))
	return len(b), nil
}

func TestWhatOneCallSendsIsBounded(t *testing.T) {
	g := serveConfig(t, plainConfig(), nil)
	for _, method := range []string{"/grpc.health.v1.Health/Watch",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/" + vrfServiceName + "/ListVrfs"} {
		flood := &endless{}
		_, _ = g.callOverHTTP2(t, method, flood, nil) // it ends
		if now, most := flood.read.Load(), int64(defaultMessageBytes+connectionWindow+1<<20); now > most {
			t.Errorf("%s: %d bytes were taken, want %d at most", method, now, most)
		}
	}
	until(t, "all is forgotten with the calls", func() bool { return g.server.guard.flight.now() == load{} })
	g.answers(t)
}

func TestTooManyCallsAtOnceOfOneClientLeaveRoomForOthers(t *testing.T) {
	g := serveConfig(t, plainConfig(), nil)
	conn, err := grpc.NewClient("passthrough:///localhost", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return g.attack(t), nil }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for i := range maxCallsPerClient + 10 {
		watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
		if err == nil {
			_, err = watch.Recv()
		}
		if want := i < maxCallsPerClient; (err == nil) != want || !want && status.Code(err) != codes.ResourceExhausted {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if n := g.refused(refusedCalls); n != 10 {
		t.Errorf("%d calls are counted as refused, want 10", n)
	}
	g.answers(t)
}

// raw2 is an HTTP/2 connection of which each frame is made by hand.
type raw2 struct {
	*http2.Framer
	conn net.Conn
}

func (g *gateway) raw2(t *testing.T) *raw2 {
	t.Helper()
	conn := g.attack(t)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c := &raw2{http2.NewFramer(conn, nil), conn}
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// block is the header of a call over gRPC.
func (c *raw2) block(method string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "localhost"},
		{"content-type", "application/grpc"}, {"te", "trailers"}} {
		_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return b.Bytes()
}

func (c *raw2) headers(id uint32, method string, last bool) error {
	return c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block(method), EndHeaders: true,
		EndStream: last})
}

func TestFloodsOfHTTP2AreEndedAndOthersAnswered(t *testing.T) {
	g := serveConfig(t, plainConfig(), nil)
	for name, flood := range map[string]func(*raw2, int) error{
		"pings":    func(c *raw2, _ int) error { return c.WritePing(false, [8]byte{}) },
		"settings": func(c *raw2, _ int) error { return c.WriteSettings() },
		"priority": func(c *raw2, i int) error {
			return c.WritePriority(uint32(2*i+1), http2.PriorityParam{StreamDep: 0, Weight: 1})
		},
		"rapid reset": func(c *raw2, i int) error {
			id := uint32(2*i + 1)
			return errors.Join(c.headers(id, "/"+vrfServiceName+"/ListVrfs", false), c.WriteRSTStream(id, http2.ErrCodeCancel))
		},
		"empty data": func(c *raw2, i int) error {
			if i == 0 {
				return c.headers(1, "/grpc.health.v1.Health/Watch", false)
			}
			return c.WriteData(1, false, nil)
		},
		"continuations": func(c *raw2, i int) error {
			if i == 0 {
				return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.block("/a/b")})
			}
			return c.WriteContinuation(1, false, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			defer wg.Wait()
			conn := g.raw2(t)
			wg.Go(func() { _, _ = io.Copy(io.Discard, conn.conn) })
			const most = 200000
			i := 0
			for ; i < most; i++ {
				if err := flood(conn, i); err != nil {
					if errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("after %d the gateway neither reads nor closes: %v", i, err)
					}
					break
				}
				if i%20000 == 0 {
					g.answers(t)
				}
			}
			if i == most {
				t.Errorf("%d frames were taken", i)
			}
			_ = conn.conn.Close()
			g.answers(t)
		})
	}
	if g.refused(refusedFrames) == 0 {
		t.Error("no flood is counted")
	}
}

func TestAClientWithoutARoleMayFloodLess(t *testing.T) {
	cfg, ca := secure(t)
	g := serveConfig(t, cfg, ca.sign(t, alice, nil).client(ca))
	for name, ended := range map[string]bool{"mallory": true, "victor": false} {
		who := victor
		who.CommonName = name
		client := ca.sign(t, who, nil).client(ca)
		client.NextProtos = []string{"h2"}
		conn := tls.Client(g.attack(t), client)
		if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
			t.Fatal(err)
		}
		c := &raw2{http2.NewFramer(conn, conn), conn}
		_ = c.WriteSettings()
		for range 2 * framesAtOnce / strangersShare {
			_ = c.WritePriority(1, http2.PriorityParam{})
		}
		_ = c.WritePing(false, [8]byte{})
		var err error
		for answered := false; err == nil && !answered; {
			var f http2.Frame
			f, err = c.ReadFrame()
			answered = err == nil && f.Header().Type == http2.FramePing
		}
		if (err != nil) != ended {
			t.Errorf("%s: %v, want an end %v", name, err, ended)
		}
	}
	if n := g.refused(refusedFrames); n != 1 {
		t.Errorf("%d floods were counted, want 1", n)
	}
	g.answers(t)
}

func TestAClientThatTakesNothingOfItsAnswersHoldsUpNobody(t *testing.T) {
	g := serveConfig(t, plainConfig(), nil)
	conn := g.raw2(t) // whoever reads nothing of it
	for i := range 200000 {
		if conn.WritePing(false, [8]byte{}) != nil {
			break
		}
		if i == 199999 {
			t.Error("200,000 pings are waiting for an answer")
		}
	}
	g.answers(t)
}

func TestOnlyNamesOfTheGatewayAreAnsweredInTheClear(t *testing.T) {
	cfg := plainConfig()
	cfg.Hosts = []string{"Gateway1.example"}
	g := serveConfig(t, cfg, nil)
	for host, want := range map[string]int{
		"localhost": 200, "localhost:50151": 200, "LOCALHOST.": 200, "127.0.0.1:1": 200, "[::1]:1": 200, "10.0.0.1": 200,
		"gateway1.example": 200, "gateway1.EXAMPLE:80": 200,
		"attacker.example": 403, "attacker.example:50151": 403, "localhost.attacker.example": 403, "gateway1": 403,
		"127.0.0.1.attacker.example": 403,
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", g.url+"/v1/vrfs", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		if got := g.send(t, r); got.code != want {
			t.Errorf("%q: HTTP %d %s", host, got.code, got.body)
		}
	}
	if g.refused(refusedHost) != 5 {
		t.Errorf("%d refused, want 5", g.refused(refusedHost))
	}
}

func TestPagesOfOtherSitesChangeNothing(t *testing.T) {
	g := serveConfig(t, plainConfig(), nil)
	for _, c := range []struct {
		header, value, method string
		want                  int
	}{
		{"Origin", "https://attacker.example", "POST", 403},
		{"Origin", "null", "DELETE", 403},
		{"Sec-Fetch-Site", "cross-site", "POST", 403},
		{"Sec-Fetch-Site", "same-site", "PATCH", 403},
		{"Sec-Fetch-Site", "cross-site", "GET", 200}, // whose answer the page cannot read
		{"Sec-Fetch-Site", "same-origin", "POST", 200},
		{"Origin", "http://localhost", "POST", 200},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, g.url+"/v1/logicalBridges", strings.NewReader(
			map[string]string{"POST": `{"spec":{"vlanId":10}}`}[c.method]))
		if err != nil {
			t.Fatal(err)
		}
		if c.want == 200 && c.method == "POST" {
			r.URL.RawQuery = "logical_bridge_id=vlan10" // of equal ones the second changes nothing
		}
		r.Header.Set("Content-Type", "text/plain")
		r.Header.Set(c.header, c.value)
		if got := g.send(t, r); got.code != c.want {
			t.Errorf("%+v: HTTP %d %s", c, got.code, got.body)
		}
	}
	if all, _ := intentBridges(g.store); len(all) != 1 {
		t.Errorf("%v", all)
	}
}

func TestALongHeaderIsRefused(t *testing.T) {
	g := serveConfig(t, plainConfig(), nil)
	r, err := http.NewRequestWithContext(t.Context(), "GET", g.url+"/v1/vrfs", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X", strings.Repeat("x", 2*maxHeader))
	if got := g.send(t, r); got.code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("HTTP %d", got.code)
	}
	g.answers(t)
}

func TestUsersOfAUnixSocketHaveTheRolesOfTheirGroups(t *testing.T) {
	certificates, local, err := newRoles(map[string]Role{"CN=alice": RoleOperator, "user:4001": RoleViewer,
		"group:5001": RoleOperator, "group:5002": RoleViewer})
	if err != nil {
		t.Fatal(err)
	}
	if len(certificates) != 1 || certificates["CN=alice"] != RoleOperator {
		t.Errorf("certificates: %v", certificates)
	}
	for _, c := range []struct {
		uid, gid uint32
		groups   []uint32
		want     Role
	}{
		{0, 0, nil, RoleOperator}, {uint32(os.Geteuid()), 1, nil, RoleOperator},
		{4001, 1, nil, RoleViewer}, {4001, 5001, nil, RoleViewer}, // its own counts first
		{4002, 5001, nil, RoleOperator}, {4002, 1, []uint32{7, 5002}, RoleViewer},
		{4002, 5002, []uint32{5001}, RoleOperator}, {4002, 5001, []uint32{5002}, RoleOperator},
		{4002, 1, []uint32{2, 3}, ""},
	} {
		if got := local.of(peerOf(c.uid, c.gid, c.groups...)); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	for _, given := range []map[string]Role{
		{"user:root": RoleViewer, "user:0": RoleOperator}, {"group:root": RoleViewer, "group:0": RoleViewer},
		{"user:no such user": RoleViewer}, {"group:": RoleViewer}, {"user:-1": RoleViewer}, {"user:4294967296": RoleViewer},
	} {
		if _, _, err := newRoles(given); err == nil {
			t.Errorf("%v is accepted", given)
		}
	}
}

func TestOverAUnixSocketTheKernelSaysWhoAsks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	var log records
	srv, err := New(Config{Listen: []string{"unix:" + path}, Store: intent.NewMemory(), Status: fakeStatus{},
		Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	stop := runServer(t, srv)
	if err := list(t, "unix:"+path); err != nil {
		t.Error(err)
	}
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode().Perm() != 0o660 {
		t.Errorf("%v %v, want mode 0660", fi, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if calls := log.calls(); len(calls) != 1 || !strings.HasPrefix(fmt.Sprint(calls[0]["peer"]),
		fmt.Sprintf("uid %d gid %d pid %d", os.Geteuid(), os.Getegid(), os.Getpid())) {
		t.Errorf("%v", calls)
	}
}

func TestAStrangerOnAUnixSocketIsClosedAtOnce(t *testing.T) {
	g := serveConfig(t, plainConfig(), nil)
	admit := g.server.bounds().Admit
	if admit(peerOf(4242, 4242)) || !admit(peerOf(0, 0)) {
		t.Error("strangers are let in, or root is not")
	}
}

// peerOf is a user with groups.
func peerOf(uid, gid uint32, groups ...uint32) socket.Peer {
	return socket.Peer{Local: true, UID: uid, GID: gid, Groups: groups}
}
