package web

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

//go:embed assets
var assets embed.FS

var templates = template.Must(template.ParseFS(assets, "assets/*.html"))

// Config says whom the pages ask.
type Config struct {
	// API takes the calls, each by the role of its context.
	API grpc.ClientConnInterface
	// Viewer gives the context of calls whose answers are shown to all that look at a page.
	Viewer func(context.Context) context.Context
	// Changed gives another number after something changed that pages show.
	Changed func() uint64
	Logger  *slog.Logger // nil: slog.Default()
}

// User is who looks at a page.
type User struct {
	Name   string // for people; "" where there is none
	Role   string
	Client string // what limits count by
	// Token says that a token was shown, which the browser can forget.
	Token bool
}

type userKey struct{}

// WithUser gives a request's context the user that it was let in as.
func WithUser(ctx context.Context, u User) context.Context {
	return context.WithValue(ctx, userKey{}, u)
}

func userOf(ctx context.Context) User {
	u, _ := ctx.Value(userKey{}).(User)
	return u
}

// view is one kind of pages.
type view struct {
	name       string // in the navigation; "" for those that are not there
	parameters []string
	list       func(*query) (*page, error)
	one        func(*query) (*page, error) // nil: there is none
}

// Pages serves the pages.
type Pages struct {
	cfg      Config
	views    map[string]view // by the first part of the path
	live     *live
	passed   rates // ports
	dropped  rates // by reason
	view     p4evpnv1.ViewClient
	ports    p4evpnv1.PortServiceClient
	events   p4evpnv1.EventsClient
	tracing  p4evpnv1.TracingClient
	checking p4evpnv1.CheckingClient
	bridge   pb.LogicalBridgeServiceClient
	port     pb.BridgePortServiceClient
	vrf      pb.VrfServiceClient
	svi      pb.SviServiceClient
}

// New makes the pages; Run has them live.
func New(cfg Config) *Pages {
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	c := cfg.API
	p := &Pages{cfg: cfg, view: p4evpnv1.NewViewClient(c), ports: p4evpnv1.NewPortServiceClient(c),
		events: p4evpnv1.NewEventsClient(c), tracing: p4evpnv1.NewTracingClient(c), checking: p4evpnv1.NewCheckingClient(c),
		bridge: pb.NewLogicalBridgeServiceClient(c), port: pb.NewBridgePortServiceClient(c),
		vrf: pb.NewVrfServiceClient(c), svi: pb.NewSviServiceClient(c)}
	p.live = newLive(p)
	p.views = views
	return p
}

// views are the pages, by the first part of their path.
var views map[string]view

// order is that of the navigation.
var order = []string{"", "bridges", "macs", "hosts", "vrfs", "routes", "neighbors", "vteps", "ports", "drops",
	"entries", "events", "trace", "check"}

func init() { // for the pages' functions reach the views by way of the layout
	views = map[string]view{
		"":          {name: "Overview", list: overview},
		"bridges":   {name: "Bridges", parameters: []string{"q", "page"}, list: bridges, one: oneBridge},
		"macs":      {name: "MACs", parameters: []string{"q", "bridge", "page"}, list: macs, one: oneMAC},
		"hosts":     {name: "Hosts", parameters: []string{"q", "bridge", "page"}, list: hosts, one: oneHost},
		"vrfs":      {name: "VRFs", parameters: []string{"q", "address", "page"}, list: vrfs, one: oneVRF},
		"svis":      {list: svis, one: oneSVI},
		"routes":    {name: "Routes", parameters: []string{"q", "direction", "type", "page"}, list: routes},
		"neighbors": {name: "Neighbours", list: neighbors, one: oneNeighbor},
		"vteps":     {name: "VTEPs", list: vteps, one: oneVTEP},
		"ports":     {name: "Ports", list: ports, one: onePort},
		"drops":     {name: "Drops", parameters: []string{"port", "bridge"}, list: drops},
		"entries":   {name: "Entries", parameters: []string{"q", "table", "page"}, list: entries},
		"events":    {name: "Events", parameters: []string{"q", "kind", "page"}, list: events},
		"trace":     {name: "Trace", parameters: traceParameters, list: traceFrame},
		"check":     {name: "Check", parameters: []string{"bridge", "vrf", "show"}, list: checkTarget},
		"objects":   {list: nil, one: oneBridgePort},
	}
}

// find says what a path asks for.
func (p *Pages) find(path string, values url.Values) (show func(*query) (*page, error), q *query, err error) {
	kind, id, deeper := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	v, ok := p.views[kind]
	show = v.list
	if deeper {
		show = v.one
	}
	if !ok || show == nil || deeper && id == "" {
		return nil, nil, status.Errorf(codes.NotFound, "there is no page %.80q", path)
	}
	at := "/" + kind
	if deeper {
		at = one(kind, id)
	}
	return show, &query{pages: p, path: at, id: id, values: known(values, v.parameters)}, nil
}

// screen is what the layout's template shows.
type screen struct {
	*page
	Nav  []span
	User User
	At   string // path and parameters
	Live bool
	Code int // of HTTP
}

// ServeHTTP serves a page, or a stream of what becomes of it, to who was let in.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		p.Refuse(w, r, http.StatusMethodNotAllowed, "the page is to be looked at: want GET or HEAD")
		return
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, LivePath); ok {
		p.live.serve(w, r, "/"+rest)
		return
	}
	show, q, err := p.find(r.URL.Path, r.URL.Query())
	var shown *page
	if err == nil {
		q.ctx = r.Context()
		shown, err = show(q)
	}
	if err != nil {
		st := status.Convert(err)
		p.Refuse(w, r, httpCode(st.Code()), st.Message())
		return
	}
	s := &screen{page: shown, Nav: p.nav(r.URL.Path), User: userOf(r.Context()), At: q.at(), Live: !shown.Still,
		Code: http.StatusOK}
	p.write(w, r, s, "page")
}

// at is a page's address, by which all that look at it are one.
func (q *query) at() string {
	if len(q.values) == 0 {
		return q.path
	}
	return q.path + "?" + q.values.Encode()
}

func (p *Pages) nav(path string) (nav []span) {
	kind, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	for _, name := range order {
		s := span{Text: p.views[name].name, Href: "/" + name}
		if name == kind {
			s.Class = "here"
		}
		nav = append(nav, s)
	}
	return nav
}

// Refuse says what is wrong, in the same layout.
func (p *Pages) Refuse(w http.ResponseWriter, r *http.Request, code int, message string) {
	s := &screen{page: &page{Title: http.StatusText(code), Still: true,
		Sections: []section{{Text: strings.ToUpper(message[:1]) + message[1:] + "."}}},
		User: userOf(r.Context()), Code: code}
	if s.User.Role != "" {
		s.Nav = p.nav("-")
	}
	p.write(w, r, s, "page")
}

// Login asks for a token, and says why.
func (p *Pages) Login(w http.ResponseWriter, r *http.Request, message string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="p4evpn"`)
	p.write(w, r, &screen{page: &page{Title: "Log in", Still: true, Sections: []section{{Text: message}}},
		Code: http.StatusUnauthorized}, "login")
}

func (p *Pages) write(w http.ResponseWriter, r *http.Request, s *screen, name string) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, s); err != nil {
		p.cfg.Logger.Error("a page cannot be written", "page", s.At, "err", err)
		http.Error(w, "the page cannot be written: the gateway's log says more", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", fmt.Sprint(b.Len()))
	w.WriteHeader(s.Code)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes()) // the client went
	}
}

// Asset serves the stylesheet or the script, and reports whether the path is theirs. Anybody
// may have them.
func Asset(w http.ResponseWriter, r *http.Request) bool {
	kind, ok := map[string]string{"/style.css": "text/css; charset=utf-8", "/live.js": "text/javascript; charset=utf-8",
		"/icon.svg": "image/svg+xml"}[r.URL.Path]
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	b, err := assets.ReadFile("assets" + r.URL.Path)
	if err != nil {
		return false
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	_, _ = w.Write(b) // the client went; net/http leaves the body of a HEAD out
	return true
}

// Headers sets what every answer says to browsers: to take nothing from elsewhere, to be in no
// frame, and to keep nothing.
func Headers(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "+
		"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// httpCode is that of a status.
func httpCode(c codes.Code) int {
	if code, ok := map[codes.Code]int{
		codes.InvalidArgument: http.StatusBadRequest, codes.NotFound: http.StatusNotFound,
		codes.FailedPrecondition: http.StatusBadRequest, codes.PermissionDenied: http.StatusForbidden,
		codes.ResourceExhausted: http.StatusTooManyRequests, codes.Unimplemented: http.StatusNotFound,
		codes.Unavailable: http.StatusServiceUnavailable, codes.Canceled: 499,
		codes.DeadlineExceeded: http.StatusGatewayTimeout,
	}[c]; ok {
		return code
	}
	return http.StatusInternalServerError
}
