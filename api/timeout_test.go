package api

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// soon is what a client has in these tests; they wait for a minute.
const soon = time.Second

func hurried(s *Server) {
	s.http.ReadHeaderTimeout, s.http.IdleTimeout, s.guard.body = soon, soon, soon
}

func TestWhoTakesTooLongIsClosedAndOthersAreAnswered(t *testing.T) {
	g := serveTuned(t, plainConfig(), nil, hurried)
	secured, ca := secure(t)
	s := serveTuned(t, secured, ca.sign(t, alice, nil).client(ca), hurried)
	const ask = "GET /v1/vrfs HTTP/1.1\r\nHost: localhost\r\n"
	for name, c := range map[string]struct {
		gateway *gateway
		say     string
	}{
		"nothing is said":                  {g, ""},
		"half a header":                    {g, ask},
		"a request, and no other":          {g, ask + "\r\n"},
		"half of what HTTP/2 begins with":  {g, "PRI * HTTP/2.0\r\n"},
		"what HTTP/2 begins with, no more": {g, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"},
		"no handshake of TLS":              {s, ""},
		"half a handshake of TLS":          {s, "\x16\x03\x01\x02\x00\x01"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := c.gateway.attack(t)
			if _, err := io.WriteString(conn, c.say); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Error("it is never closed")
			}
			c.gateway.answers(t)
		})
	}
	if s.refused(refusedHandshake) != 2 {
		t.Errorf("%d handshakes are counted as failed, want 2", s.refused(refusedHandshake))
	}
}

func TestABodyThatDoesNotComeIsGivenUp(t *testing.T) {
	g := serveTuned(t, plainConfig(), nil, hurried)
	conn := g.attack(t)
	fmt.Fprint(conn, "POST /v1/vrfs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if r.StatusCode != http.StatusBadRequest || !strings.Contains(string(said), "did not come within") {
		t.Errorf("HTTP %d %s", r.StatusCode, said)
	}
	for _, method := range []string{"/" + vrfServiceName + "/ListVrfs", "/grpc.health.v1.Health/Watch"} {
		body, rest := io.Pipe()
		go func() { _, _ = rest.Write([]byte{0, 0, 0}) }() // of a message's prefix
		header, err := g.callOverHTTP2(t, method, body, nil)
		if err == nil && header.Get("Grpc-Status") == "0" {
			t.Errorf("%s with half a message: %v", method, header)
		}
		_ = rest.Close()
	}
	until(t, "nothing is under way", func() bool { return g.server.guard.flight.now() == load{} })
	g.answers(t)
}
