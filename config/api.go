package config

import (
	"maps"
	"math"
	"net"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/p4evpn/p4evpn/internal/socket"
)

// API is where and to whom the API is served: "unix:PATH" or "host:port".
type API struct {
	// Listen is an address, or a list of them, for gRPC and REST. RESTListen is one more,
	// for those who want a port of REST's own. Addresses of TCP want tls, or insecure.
	Listen     Addresses `yaml:"listen"`
	RESTListen string    `yaml:"rest_listen"`
	// VTEPListen serves the REST API of RYU's rest_vtep; left out it is not served.
	VTEPListen string `yaml:"vtep_listen"`
	// TLS is mutual TLS, for all addresses of TCP.
	TLS TLS `yaml:"tls"`
	// Insecure serves loopback addresses without TLS: every user of this machine may then do
	// everything.
	Insecure bool `yaml:"insecure"`
	// Hosts are the names, besides localhost, by which it may be called where it is
	// insecure: a browser that was led here by another name is refused.
	Hosts []string `yaml:"hosts"`
	// Roles says what a client may do, viewer or operator: by the subject of its
	// certificate, such as "CN=alice,O=Example", and on a Unix socket by "user:NAME" and
	// "group:NAME" (or numbers). Root and the gateway's own user operate it; without a user
	// or group here, so does the group p4evpn.
	Roles  map[string]string `yaml:"roles"`
	Limits Limits            `yaml:"limits"`
	// AuditLog is the file that gets a line of JSON for each change; left out: audit.log
	// beside the store; none: no file.
	AuditLog string `yaml:"audit_log"`
}

// Addresses are one text, or a list.
type Addresses []string

// UnmarshalYAML reads either.
func (a *Addresses) UnmarshalYAML(n ast.Node) error {
	nodes := []ast.Node{n}
	if list, ok := n.(*ast.SequenceNode); ok {
		nodes = list.Values
	}
	*a = nil
	for _, n := range nodes {
		one, ok := n.(*ast.StringNode)
		if !ok {
			return &yaml.SyntaxError{Message: "want host:port or unix:PATH, or a list of them", Token: n.GetToken()}
		}
		*a = append(*a, one.Value)
	}
	return nil
}

// Values of API.Roles.
const (
	roleViewer   = "viewer"
	roleOperator = "operator"
)

// TLS names PEM files: all of them, or none.
type TLS struct {
	Certificate string `yaml:"certificate"` // PEM file
	Key         string `yaml:"key"`         // PEM file
	ClientCA    string `yaml:"client_ca"`   // PEM file of the authorities that clients are of
}

// Limits bound what clients may ask; 0 is the default of the API.
type Limits struct {
	MessageBytes         int     `yaml:"message_bytes"`          // of a message over gRPC; 0: 4194304
	BodyBytes            int     `yaml:"body_bytes"`             // of a request over REST; 0: 65536
	Connections          int     `yaml:"connections"`            // at one address; 0: 512
	ConnectionsPerClient int     `yaml:"connections_per_client"` // of a user, an IPv4 address or an IPv6 /64; 0: 64
	CallsPerSecond       float64 `yaml:"calls_per_second"`       // of each client; 0: 1000
	Burst                int     `yaml:"burst"`                  // calls at once; 0: 2000
}

// Web is where the page is, on which the gateway shows itself.
type Web struct {
	// Listen is an address, or a list of them: "unix:PATH" or "host:port". Over TCP it has the
	// certificate of api.tls, and is for clients with a certificate and a role, or with a token
	// (p4evpn token create); without api.tls it is for loopback addresses alone, with a token.
	// Left out: there is no page.
	Listen Addresses `yaml:"listen"`
}

func (c *checker) checkWeb() {
	for _, listen := range c.file.Web.Listen {
		a, err := socket.Parse(listen)
		switch {
		case err != nil:
			c.fail("web.listen", "%v", err)
		case !a.Unix() && !a.Loopback() && c.file.API.TLS == (TLS{}):
			c.fail("web.listen", "%q is no loopback address: others reach it, which wants api.tls", listen)
		}
	}
}

func (c *checker) checkAPI() {
	a := c.file.API
	if len(a.Listen) == 0 {
		c.fail("api.listen", "missing: want unix:PATH or host:port")
	}
	for _, listen := range a.Listen {
		c.checkListen("api.listen", listen)
	}
	c.checkListen("api.rest_listen", a.RESTListen)
	c.checkListen("api.vtep_listen", a.VTEPListen)
	if a.TLS != (TLS{}) {
		for _, f := range []struct{ key, file string }{{"certificate", a.TLS.Certificate}, {"key", a.TLS.Key},
			{"client_ca", a.TLS.ClientCA}} {
			if f.file == "" {
				c.fail("api.tls."+f.key, "missing: TLS is mutual, and wants a certificate, its key and the authorities of clients")
			}
		}
	}
	for _, host := range a.Hosts {
		if _, _, err := net.SplitHostPort(host); err == nil || host == "" {
			c.fail("api.hosts", "%q: want a name, without a port", host)
		}
	}
	c.checkRoles()
	if l := a.Limits; l.MessageBytes < 0 || l.MessageBytes > math.MaxInt32 || l.BodyBytes < 0 ||
		l.BodyBytes > math.MaxInt32 || l.Connections < 0 || l.ConnectionsPerClient < 0 || !(l.CallsPerSecond >= 0) ||
		l.Burst < 0 {
		c.fail("api.limits", "want positive numbers, or 0 for the default")
	}
}

// checkListen checks an address at which the API is to be served, or none.
func (c *checker) checkListen(key, text string) {
	if text == "" && key != "api.listen" {
		return
	}
	a, err := socket.Parse(text)
	switch api := c.file.API; {
	case err != nil:
		c.fail(key, "%v", err)
	case a.Unix() || api.TLS != (TLS{}) || api.Insecure && a.Loopback():
	case api.Insecure:
		c.fail(key, "%q is no loopback address: others reach it, which wants api.tls", text)
	default:
		c.fail(key, "%q: TCP wants api.tls; on a loopback address api.insecure: true lets every user of this machine "+
			"do everything without", text)
	}
}

// checkRoles: a name that no subject can have would be a role that nobody gets.
func (c *checker) checkRoles() {
	a, certificates := c.file.API, false
	for _, subject := range slices.Sorted(maps.Keys(a.Roles)) {
		kind, name, local := strings.Cut(subject, ":")
		local = local && (kind == "user" || kind == "group")
		certificates = certificates || !local
		switch role := a.Roles[subject]; {
		case subject == "":
			c.fail("api.roles", "an empty subject would match certificates that have none: give it one")
		case local && name == "":
			c.fail("api.roles", "%q: want %s: and a name or number", subject, kind)
		case role != roleViewer && role != roleOperator:
			c.fail("api.roles", "%q is %q: want %s or %s", subject, role, roleViewer, roleOperator)
		case !local && a.TLS == (TLS{}):
			c.fail("api.roles", "%q: this role is given to a certificate: set api.tls (or begin it with user: or group:)",
				subject)
		case !local && !isSubject(subject):
			c.fail("api.roles", "%q is no subject as `openssl x509 -noout -subject -nameopt RFC2253` writes it, "+
				"such as \"CN=alice,O=Example\"", subject)
		}
	}
	if a.TLS != (TLS{}) && !certificates {
		c.fail("api.roles", "missing: without a role of a certificate nobody may do anything by TLS")
	}
}

// isSubject reports whether a text can be a subject: types and values, with a comma and no
// blank between them (RFC 2253 section 2).
func isSubject(text string) bool {
	text = strings.NewReplacer(`\\`, "", `\,`, "", `\+`, "", `\=`, "").Replace(text)
	for _, part := range strings.FieldsFunc(text+",", func(r rune) bool { return r == ',' || r == '+' }) {
		kind, _, ok := strings.Cut(part, "=")
		if !ok || kind == "" || strings.ContainsAny(kind, " \t") {
			return false
		}
	}
	return true
}
