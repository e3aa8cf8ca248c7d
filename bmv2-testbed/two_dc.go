package testbed

import (
	"bytes"
	"context"
	_ "embed" // the program of data centre A
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

/*
Two data centres, joined by REST calls: the example of RYU's rest_vtep.

	client11, client21 ─ bridge and VXLAN ─ 172.17.0.1 ═ 172.17.0.2 = P4 switch ─ client12, client22
	                     os-ken (two_dc.py)              p4evpn

Both serve the same REST API at localhost:8080 of their own network namespace.
*/

const (
	restAddress = "127.0.0.1:8080"
	twoDCVNI    = 10
)

//go:embed two_dc.py
var twoDCProgram []byte

// debianPython has Debian's modules; another Python may be first on PATH.
const debianPython = "/usr/bin/python3"

// twoDC is the network when it is up. Data centre B is the gateway's.
type twoDC struct {
	*peering
	a, b    site
	speaker *Process // data centre A
}

// site is a data centre as a user of the REST API sees it.
type site struct {
	name, address, other string // addresses: its own, the other site's
	ns                   *Namespace
	clients              []*Host
	options              DemoOptions
}

// RunTwoDC does what RunDemo does, with two data centres; the last line begins
// with "two-dc".
func RunTwoDC(ctx context.Context, o DemoOptions) error {
	o, err := o.prepare()
	if err != nil {
		return err
	}
	if err := errors.Join(needs(o.Target), needsPython(ctx, "os_ken")); err != nil {
		return err
	}
	return o.narrate(ctx, "two-dc", len(selected(twoDCChecks, o.Only)), func(s *score) error {
		return runChecks(ctx, o, s, "two data centres'", twoDCChecks, buildTwoDC)
	})
}

// needsPython says which of some modules Debian's Python cannot import.
func needsPython(ctx context.Context, modules ...string) error {
	out, err := exec.CommandContext(ctx, debianPython, "-c", "import "+strings.Join(modules, ", ")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s cannot import %v (bmv2-testbed/packages.sh installs them): %w: %s", debianPython, modules, err,
			out)
	}
	return nil
}

func buildTwoDC(ctx context.Context, l *Lab, o DemoOptions) (*twoDC, error) {
	o.say("Building data centre A (os-ken, kernel VXLAN) and data centre B (p4evpn, %s switch).", o.Target)
	p, err := buildPeering(ctx, l, o, []byte{0x12, 0x22}, gatewayFile{vtepAPI: restAddress})
	if err != nil {
		return nil, err
	}
	d := &twoDC{peering: p}
	a, b := foreignVTEP.String(), peeringVTEP.String()
	d.a = site{name: "A", address: a, other: b, ns: p.foreign, options: o}
	d.b = site{name: "B", address: b, other: a, ns: p.gateway.NS, clients: p.hosts, options: o}
	for i, number := range []byte{0x11, 0x21} {
		h, err := l.clientHost(number, End{NS: p.foreign, Dev: peeringPorts[i].Dev})
		if err != nil {
			return nil, err
		}
		d.a.clients = append(d.a.clients, h)
	}
	return d, d.startA(ctx)
}

// startA starts data centre A's speaker.
func (d *twoDC) startA(ctx context.Context) (err error) {
	d.speaker, err = d.lab.startRESTVTEP(ctx, d.a)
	return err
}

// startRESTVTEP starts the stand-in of rest_vtep at a site, which knows nothing yet.
func (l *Lab) startRESTVTEP(ctx context.Context, s site) (*Process, error) {
	program := filepath.Join(l.Dir, "two_dc.py")
	if err := os.WriteFile(program, twoDCProgram, 0o644); err != nil {
		return nil, fmt.Errorf("write the program of data centre %s: %w", s.name, err)
	}
	p, err := l.Start(s.ns, "two_dc.py", debianPython, "-B", program, restAddress)
	if err != nil {
		return nil, err
	}
	return p, Eventually(ctx, patience, "the REST API of data centre "+s.name+" answers", func(ctx context.Context) error {
		if err := p.Running(); err != nil {
			return err
		}
		_, err := s.ask(ctx, http.MethodGet, "/vtep/speakers", "")
		if answer := new(refusal); errors.As(err, &answer) { // there is no speaker yet
			return nil
		}
		return err
	})
}

// refusal is an answer of a REST API that is no 200.
type refusal struct {
	Status int    `json:"status"`
	Text   string `json:"error"`
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %s", r.Status, r.Text) }

// ask sends one request and gives the body of its answer.
func (s site) ask(ctx context.Context, method, path, body string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+restAddress+path, bytes.NewBufferString(body))
	if err != nil {
		return nil, err
	}
	answer, err := s.ns.http().RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("%s %s at %s: %w", method, path, s.name, err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s at %s: %w", method, path, s.name, err)
	}
	if answer.StatusCode == http.StatusOK {
		return text, nil
	}
	r := &refusal{Status: answer.StatusCode}
	if json.Unmarshal(text, r) != nil {
		r.Text = string(text)
	}
	return nil, fmt.Errorf("%s %s at %s: %w", method, path, s.name, r)
}

// curl sends a request and narrates it, as a user would type it.
func (s site) curl(ctx context.Context, method, path, body string) ([]byte, error) {
	data := ""
	if body != "" {
		data = " -d '" + body + "'"
	}
	s.options.say("(DC %s)$ curl -X %s%s http://localhost:8080%s", s.name, method, data, path)
	answer, err := s.ask(ctx, method, path, body)
	if err == nil {
		s.options.say("%s", bytes.TrimSpace(answer))
	}
	return answer, err
}

// need reads an answer's JSON into a value of the given form.
func need[T any](answer []byte, err error) (v T, _ error) {
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		return v, fmt.Errorf("%w in %.200q", err, answer)
	}
	return v, nil
}

// The forms of the answers.
type (
	restNeighbors map[string]struct {
		EvpnNeighbor struct {
			State string `json:"state"`
		}
	}
	restNetworks map[string]struct {
		EvpnNetwork struct {
			Clients map[string]struct {
				EvpnClient struct {
					IP      string `json:"ip"`
					NextHop string `json:"next_hop"`
					Port    any    `json:"port"`
				}
			} `json:"clients"`
			RD string `json:"route_dist"`
		}
	}
)

// awaitUp waits until a site's session is up.
func (s site) awaitUp(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	err := Eventually(ctx, 3*patience, "data centre "+s.name+"'s session is up", func(ctx context.Context) error {
		n, err := need[restNeighbors](s.ask(ctx, http.MethodGet, "/vtep/neighbors", ""))
		if err == nil && n[s.other].EvpnNeighbor.State != "up" {
			err = fmt.Errorf("its neighbors are %v", n)
		}
		return err
	})
	return time.Since(start), err
}

// awaitClients waits until a site's network lists a client with the next hop it
// has at the other site, or does not list it.
func (s site) awaitClient(ctx context.Context, h *Host, listed bool) error {
	what := fmt.Sprintf("data centre %s lists %s: %t", s.name, h.Name, listed)
	return Eventually(ctx, patience, what, func(ctx context.Context) error {
		n, err := need[restNetworks](s.ask(ctx, http.MethodGet, "/vtep/networks/10", ""))
		if err != nil {
			return err
		}
		c, there := n["10"].EvpnNetwork.Clients[h.MAC.String()]
		if there != listed {
			return fmt.Errorf("its networks are %v", n)
		}
		if there && (c.EvpnClient.NextHop != s.other || c.EvpnClient.IP != h.Address.Addr().String()) {
			return fmt.Errorf("it has %+v, want %s by %s", c, h.Address.Addr(), s.other)
		}
		return nil
	})
}
