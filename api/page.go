package api

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/api/web"
	"github.com/p4evpn/p4evpn/internal/socket"
)

// tokenCookie holds the token of who logged in. The prefix has browsers take it from this
// host alone, and over TLS (draft-ietf-httpbis-rfc6265bis section 4.1.3).
const tokenCookie = "__Host-p4evpn"

// maxLogin bounds what is sent to log in, in bytes.
const maxLogin = 4096

// viaPage is how the access log calls what pages ask.
const viaPage = "page"

// pageGate stands before the pages: it says who asks, by the connection or else by a token,
// and lets nobody else in.
type pageGate struct {
	guard *guard
	key   *tokenKey
	pages *web.Pages
}

// newPages makes the pages of a server, which ask its services.
func (s *Server) newPages(cfg Config) (err error) {
	if len(cfg.WebListen) == 0 {
		return nil
	}
	if s.key, err = openTokenKey(cfg.TokenKey); err != nil {
		return fmt.Errorf("API: %w", err)
	}
	if s.tls != nil {
		s.webTLS = s.tls.Clone()
		strict := s.tls.GetConfigForClient
		s.webTLS.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := strict(h)
			if err == nil {
				c = c.Clone()
				c.ClientAuth = tls.VerifyClientCertIfGiven // others have a token, or get to know how
			}
			return c, err
		}
	}
	for _, listen := range cfg.WebListen {
		a, err := socket.Parse(listen)
		if err == nil && !a.Unix() && s.tls == nil && !a.Loopback() {
			err = fmt.Errorf("address %q: without TLS only a loopback address: set api.tls", listen)
		}
		if err != nil {
			return fmt.Errorf("page: %w", err)
		}
		s.web = append(s.web, a)
	}
	changed := cfg.Changed
	if changed == nil {
		changed = func() uint64 { return 0 }
	}
	s.pages = web.New(web.Config{API: s.services, Changed: changed, Logger: s.log,
		Viewer: func(ctx context.Context) context.Context {
			ctx = (&arrival{id: requestID(), via: viaPage}).context(ctx)
			return context.WithValue(ctx, partyKey{}, party{role: RoleViewer, address: "page", subject: "page"})
		}})
	s.webHTTP = newHTTP(&pageGate{s.guard, s.key, s.pages}, s.log)
	return nil
}

func (g *pageGate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	request := &arrival{id: requestID(r.Header.Values(requestIDHeader)...), via: viaPage}
	r = r.WithContext(request.context(r.Context()))
	w.Header().Set(requestIDHeader, request.id)
	web.Headers(w.Header())
	answer := &recorder{ResponseWriter: w, code: http.StatusOK}
	g.serve(answer, r)
	level := slog.LevelDebug
	if answer.code >= http.StatusBadRequest && answer.code != http.StatusTooManyRequests {
		level = slog.LevelInfo
	}
	g.guard.log.LogAttrs(r.Context(), level, "page", append(g.guard.identify(r.Context()).attrs(),
		slog.String("request", clip(r.Method+" "+r.URL.Path)), slog.Int("status", answer.code),
		slog.Duration("took", time.Since(start)))...)
}

func (g *pageGate) serve(w http.ResponseWriter, r *http.Request) {
	p, _ := partyOf(r.Context())
	if !g.guard.calledBy(r.Host) && (p.plain || p.peer.Local) {
		g.guard.metrics.request(refusedHost)
		g.pages.Refuse(w, r, http.StatusForbidden, fmt.Sprintf("%.80q is no name of this gateway: ask by its address or "+
			"as localhost, or name it in api.hosts of the configuration", r.Host))
		return
	}
	if g.guard.origin.Check(r) != nil {
		g.guard.metrics.request(refusedOrigin)
		g.pages.Refuse(w, r, http.StatusForbidden, "a page of another site asks: refused")
		return
	}
	if err := g.guard.limit.take(p.client()); err != nil {
		g.guard.metrics.request(refusedRate)
		w.Header().Set("Retry-After", "1")
		g.pages.Refuse(w, r, http.StatusTooManyRequests, status.Convert(err).Message())
		return
	}
	login := r.URL.Path == "/login" && r.Method == http.MethodPost
	if r.ContentLength != 0 && !login {
		turnAway(w) // nobody reads the body
	}
	switch {
	case web.Asset(w, r):
	case login:
		g.login(w, r)
	case r.URL.Path == "/logout" && r.Method == http.MethodPost:
		http.SetCookie(w, cookie("", -1))
		http.Redirect(w, r, "/", http.StatusSeeOther)
	default:
		g.show(w, r, p)
	}
}

// show serves a page to who may see it.
func (g *pageGate) show(w http.ResponseWriter, r *http.Request, p party) {
	u := web.User{Name: p.subject, Role: string(p.role), Client: p.client()}
	if p.peer.Local {
		u.Name = fmt.Sprintf("uid %d", p.peer.UID)
	}
	if p.plain || p.role == "" {
		holder, expires, err := g.holder(r)
		if err != nil {
			g.guard.metrics.request(refusedRole)
			g.pages.Login(w, r, whyLogin(p, err))
			return
		}
		ctx, cancel := context.WithDeadline(r.Context(), expires) // a stream ends with its token
		defer cancel()
		p.role, p.subject, p.plain = RoleViewer, "token:"+holder, false
		r = r.WithContext(context.WithValue(ctx, partyKey{}, p))
		u = web.User{Name: holder, Role: string(RoleViewer), Client: p.peer.Client(), Token: true}
	}
	if !strings.HasPrefix(r.URL.Path, web.LivePath) { // streams have bounds of their own
		passage, err := g.guard.flight.begin(u.Client)
		if err != nil {
			g.guard.metrics.request(refusedCalls)
			g.pages.Refuse(w, r, http.StatusTooManyRequests, status.Convert(err).Message())
			return
		}
		defer passage.end()
	}
	g.pages.ServeHTTP(w, r.WithContext(web.WithUser(r.Context(), u)))
}

// holder is who a request's token is of: of the header that programs set, or of the cookie.
func (g *pageGate) holder(r *http.Request) (string, time.Time, error) {
	token := ""
	if text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		token = strings.TrimSpace(text)
	} else if c, err := r.Cookie(tokenCookie); err == nil {
		token = c.Value
	}
	if token == "" {
		return "", time.Time{}, status.Error(codes.Unauthenticated, "")
	}
	return g.key.verify(token, time.Now())
}

// whyLogin says what a login is asked for.
func whyLogin(p party, err error) string {
	switch {
	case status.Code(err) != codes.Unauthenticated:
		return "You are not logged in: " + err.Error() + "."
	case p.subject != "":
		return fmt.Sprintf("The certificate's subject %q has no role: give it one in api.roles of the configuration, "+
			"or log in by a token.", p.subject)
	}
	return "This gateway shows itself to who has a client certificate with a role, or a token."
}

// login takes a token from the form, and has the browser keep it.
func (g *pageGate) login(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(g.guard.body))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	r.Body = http.MaxBytesReader(w, r.Body, maxLogin)
	if err := r.ParseForm(); err != nil {
		g.pages.Login(w, r, "What was sent is no login: "+clip(err.Error())+".")
		return
	}
	token := strings.TrimSpace(r.PostForm.Get("token"))
	_, expires, err := g.key.verify(token, time.Now())
	if err != nil {
		g.guard.metrics.request(refusedRole)
		g.pages.Login(w, r, "You are not logged in: "+err.Error()+".")
		return
	}
	http.SetCookie(w, cookie(token, int(time.Until(expires).Seconds())))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func cookie(token string, seconds int) *http.Cookie {
	return &http.Cookie{Name: tokenCookie, Value: token, Path: "/", MaxAge: seconds, Secure: true, HttpOnly: true,
		SameSite: http.SameSiteStrictMode}
}
