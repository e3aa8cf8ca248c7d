package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func request(t testing.TB, method, url, body string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// request is one of who has the token.
func (g *gateway) request(t testing.TB, method, path string) *http.Request {
	t.Helper()
	return request(t, method, "https://"+g.address+path, "", "Authorization", "Bearer "+g.token)
}

func TestNobodyIsLetInWithoutALogin(t *testing.T) {
	g := serve(t, sample(0))
	over := createToken(t, filepath.Join(filepath.Dir(g.unix), "api"), time.Second)
	foreign := createToken(t, filepath.Join(filepath.Dir(serve(t, sample(0)).unix), "api"), time.Hour)
	short := *g
	short.token = over
	s := short.stream(t, "/")
	if n, err := io.Copy(io.Discard, s.body); s.code != 200 || n == 0 || err != nil { // it ends with its token
		t.Errorf("a stream whose token expires: %d, %d bytes, %v", s.code, n, err)
	}
	for name, c := range map[string]struct {
		url, token string
		code       int
		says       string
	}{
		"over TLS":                    {"https://" + g.address + "/", "", 401, "client certificate with a role, or a token"},
		"over TLS, a page":            {"https://" + g.address + "/hosts", "", 401, "Log in"},
		"over TLS, a page not there":  {"https://" + g.address + "/nothing", "", 401, "Log in"},
		"over TLS, a stream":          {"https://" + g.address + "/live/", "", 401, "Log in"},
		"over TLS, with a token":      {"https://" + g.address + "/", g.token, 200, "Overview"},
		"on loopback":                 {"http://" + g.plain + "/", "", 401, "Log in"},
		"on loopback, with a token":   {"http://" + g.plain + "/", g.token, 200, "Overview"},
		"an expired token":            {"https://" + g.address + "/", over, 401, "has expired"},
		"a token of another gateway":  {"https://" + g.address + "/", foreign, 401, "of another gateway"},
		"a token cut short":           {"https://" + g.address + "/", g.token[:len(g.token)-2], 401, "cut short"},
		"no token at all":             {"https://" + g.address + "/", "x", 401, "no token of p4evpn"},
		"the stylesheet, for a login": {"https://" + g.address + "/style.css", "", 200, "color-scheme"},
	} {
		r := request(t, "GET", c.url, "")
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		code, header, body := g.send(t, r)
		if code != c.code || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d without %q, want %d\n%s", name, code, c.says, c.code, body)
		}
		if code == 401 && header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: 401 without WWW-Authenticate", name)
		}
		if policy := header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") ||
			strings.Contains(policy, "unsafe") || header.Get("X-Content-Type-Options") != "nosniff" ||
			header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", name, header)
		}
	}
}

func TestAUserOfTheSocketIsLetInByItself(t *testing.T) {
	g := serve(t, sample(0))
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", g.unix)
	}}}
	defer c.CloseIdleConnections()
	for host, want := range map[string]int{"localhost": 200, "localhost:8080": 200, "127.0.0.1:8080": 200,
		"evil.example": 403} {
		r := request(t, "GET", "http://localhost/", "")
		r.Host = host
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("as %s: %d, want %d", host, resp.StatusCode, want)
		}
	}
}

func TestALoginIsACookieThatScriptsAndOtherSitesDoNotHave(t *testing.T) {
	g := serve(t, sample(0))
	login := func(token string, headers ...string) (int, http.Header, string) {
		return g.send(t, request(t, "POST", "https://"+g.address+"/login", url.Values{"token": {token}}.Encode(),
			append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...))
	}
	code, header, _ := login(" " + g.token + "\n")
	cookie := header.Get("Set-Cookie")
	for _, want := range []string{"__Host-p4evpn=" + g.token, "Path=/", "HttpOnly", "Secure", "SameSite=Strict",
		"Max-Age="} {
		if code != http.StatusSeeOther || !strings.Contains(cookie, want) {
			t.Errorf("%d with cookie %q, want 303 and %s", code, cookie, want)
		}
	}
	value, _, _ := strings.Cut(cookie, ";")
	if code, _, body := g.send(t, request(t, "GET", "https://"+g.address+"/", "", "Cookie", value)); code != 200 ||
		!strings.Contains(body, "alice, viewer") {
		t.Errorf("%d\n%s", code, body)
	}
	if code, header, body := login("p4evpn_nonsense"); code != 401 || header.Get("Set-Cookie") != "" ||
		!strings.Contains(body, "not logged in") {
		t.Errorf("%d %v\n%s", code, header, body)
	}
	if code, _, _ := login(g.token, "Sec-Fetch-Site", "cross-site"); code != 403 {
		t.Errorf("a login by another site: %d", code)
	}
	if code, _, _ := login(strings.Repeat("x", 1<<20)); code != 401 {
		t.Errorf("a login of a megabyte: %d", code)
	}
	code, header, _ = g.send(t, request(t, "POST", "https://"+g.address+"/logout", "", "Cookie", value))
	if code != http.StatusSeeOther || !strings.Contains(header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("a logout: %d %v", code, header)
	}
}

func TestThePageChangesNothing(t *testing.T) {
	g := serve(t, sample(0))
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"} {
		code, header, _ := g.send(t, g.request(t, method, "/bridges/blue"))
		if code != 405 || header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d %v", method, code, header)
		}
	}
	code, header, body := g.send(t, g.request(t, "HEAD", "/bridges"))
	if code != 200 || body != "" || header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d %v %q", code, header, body)
	}
}

func TestOddRequestsGetAPageThatSaysSo(t *testing.T) {
	g := serve(t, sample(250))
	for path, want := range map[string]int{
		"/hosts?page=0": 200, "/hosts?page=-1": 200, "/hosts?page=99999999999999999999": 200, "/hosts?page=x": 200,
		"/hosts?page=3": 200, "/hosts?q=" + strings.Repeat("a", 8000): 200, "/hosts?q=%00%ff": 200, "/hosts?q=%zz": 200,
		"/hosts?a=1&a=2;b&&=": 200, "/hosts?bridge=none": 404, "/hosts?bridge=%27": 400, "/hosts/not-an-address": 400,
		"/hosts/" + strings.Repeat("1", 5000): 400, "/macs/x": 400, "/macs/": 404, "/bridges/none": 404, "/vrfs/none": 404,
		"/neighbors/none": 400, "/neighbors/10.9.9.9": 404, "/vteps/none": 404, "/ports/none": 404, "/objects/none": 404, "/objects": 404,
		"/none": 404, "//": 404, "/../etc/passwd": 404, "/%2e%2e/%2fetc": 404, "/bridges/blue/deeper": 404,
		"/trace?vni=x&from=a": 200, "/trace?frame=zz": 200, "/trace?to=a": 200, "/vrfs/tenant?address=x": 200,
		"/events?kind=none": 200, "/routes?direction=odd&type=9": 200, "/entries?table=none": 200, "/style.css/": 404,
		"/live/none": 404, "/live": 404,
	} {
		r := &http.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: g.address, Opaque: "//" + g.address + path},
			Header: http.Header{"Authorization": {"Bearer " + g.token}}}
		r = r.WithContext(t.Context())
		code, _, body := g.send(t, r)
		if code != want || !strings.Contains(body, "</html>") && !strings.HasPrefix(path, "/live/") {
			t.Errorf("%.60s: %d, want %d\n%.2000s", path, code, want, body)
		}
	}
}

func TestNamesAreTextWhateverIsInThem(t *testing.T) {
	hostile := []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `javascript:alert(1)`, `{{.}}`,
		"a\x00b\u202ec", `' onmouseover='alert(1)`, "</title><b>", "&lt;b&gt;"}
	for _, name := range hostile {
		rs := sample(0)
		rs.Bridges[0].Reason, rs.Bridges[0].Ports = name, []string{name}
		rs.Ports[0].Name, rs.Ports[0].Reason, rs.Ports[2].Name = name, name, name
		rs.VTEPs[0].Paths[0].Uplink, rs.VTEPs[0].Bridges = name, []string{name}
		rs.Routes[0].Key, rs.Routes[0].Reason = name, name
		rs.Neighbors[0].Reason, rs.Neighbors[0].Faults[0].What = name, name
		rs.Entries[0].Text, rs.Entries[0].Table = name, name
		g := serve(t, rs)
		g.events.Warn(name, "event", "session", "neighbor", name, name, name)
		for _, path := range append(every, "/ports/"+url.PathEscape(name), "/hosts?q="+url.QueryEscape(name),
			"/trace?from="+url.QueryEscape(name), "/"+url.PathEscape(name)) {
			_, body := g.get(t, path)
			for _, bad := range []string{"<script>alert", "<img", "<b>", `href="javascript`, "onmouseover='"} {
				if strings.Contains(body, bad) {
					t.Errorf("%s of %q has %q", path, name, bad)
				}
			}
		}
	}
}

// stream is a stream of a page, of which nothing was read beyond its header.
type stream struct {
	code   int
	header http.Header
	body   io.Reader
	leave  context.CancelFunc
}

func (g *gateway) stream(t testing.TB, path string) stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	c := *g.http
	c.Timeout = 0
	resp, err := c.Do(g.request(t, "GET", "/live"+path).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return stream{resp.StatusCode, resp.Header, resp.Body, cancel}
}

func TestAStreamTellsWhatBecomesOfAPage(t *testing.T) {
	g := serve(t, sample(3))
	s := g.stream(t, "/bridges")
	if s.code != 200 || s.header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", s.code, s.header)
	}
	lines := bufio.NewScanner(s.body)
	read := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("it ended before %q: %v", want, lines.Err())
	}
	read("event: page")
	read("blue")
	g.change(func(r *rowsOf) { r.Bridges[0].Reason = "it is another one now" })
	read("it is another one now")
}

func TestAClientHasSoManyStreamsAndNoMore(t *testing.T) {
	g := serve(t, sample(0))
	var first context.CancelFunc
	for i := range 129 {
		s := g.stream(t, fmt.Sprintf("/hosts?q=%d", i))
		if want := map[bool]int{true: 200, false: 503}[i < 128]; s.code != want {
			t.Fatalf("stream %d: %d, want %d", i, s.code, want)
		}
		if i == 0 {
			first = s.leave
		}
	}
	first()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if g.stream(t, "/").code == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("one that went leaves no room")
		}
	}
}
