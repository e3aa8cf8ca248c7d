package config

import (
	"maps"
	"math"
	"slices"
)

// API is where and to whom the API is served: "host:port", or "unix:PATH".
type API struct {
	// Listen serves gRPC and REST. RESTListen is a further address for those who
	// want a port of REST's own.
	Listen     string `yaml:"listen"`
	RESTListen string `yaml:"rest_listen"`
	// VTEPListen serves the REST API of RYU's rest_vtep; left out it is not served.
	VTEPListen string `yaml:"vtep_listen"`
	// TLS is mutual TLS; without it whoever can connect may do everything.
	TLS TLS `yaml:"tls"`
	// Roles says what a client may do, by the subject of its certificate such as
	// "CN=alice,O=Example": viewer or operator.
	Roles  map[string]string `yaml:"roles"`
	Limits Limits            `yaml:"limits"`
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

// Limits bound what one client may ask; 0 is the default of the API.
type Limits struct {
	MessageBytes   int     `yaml:"message_bytes"`    // of a request; 0: 4194304
	CallsPerSecond float64 `yaml:"calls_per_second"` // of each client; 0: 1000
	Burst          int     `yaml:"burst"`            // calls at once; 0: 2000
}

func (c *checker) checkAPI() {
	a := c.file.API
	if a.Listen == "" {
		c.fail("api.listen", "missing: want host:port or unix:PATH")
	}
	if secure := a.TLS != (TLS{}); secure {
		for _, f := range []struct{ key, file string }{{"certificate", a.TLS.Certificate}, {"key", a.TLS.Key},
			{"client_ca", a.TLS.ClientCA}} {
			if f.file == "" {
				c.fail("api.tls."+f.key, "missing: TLS is mutual, and wants a certificate, its key and the authorities of clients")
			}
		}
		if len(a.Roles) == 0 {
			c.fail("api.roles", "missing: without a role nobody may do anything")
		}
	} else if len(a.Roles) > 0 {
		c.fail("api.roles", "a role is given to a certificate: set api.tls")
	}
	for _, subject := range slices.Sorted(maps.Keys(a.Roles)) {
		switch role := a.Roles[subject]; {
		case subject == "":
			c.fail("api.roles", "an empty subject would match certificates that have none: give it one")
		case role != roleViewer && role != roleOperator:
			c.fail("api.roles", "%q is %q: want %s or %s", subject, role, roleViewer, roleOperator)
		}
	}
	if l := a.Limits; l.MessageBytes < 0 || l.MessageBytes > math.MaxInt32 || !(l.CallsPerSecond >= 0) || l.Burst < 0 {
		c.fail("api.limits", "want positive numbers, or 0 for the default")
	}
}
