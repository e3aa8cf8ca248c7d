package gobgp

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

// collide plays a neighbour that dials while it is dialled, and keeps its own
// connection: GoBGP has heard the OPEN of the other one first, and kept that. It
// gives the connection on which the neighbour waits for a KEEPALIVE.
func collide(t *testing.T, l *lab) net.Conn {
	t.Helper()
	id := netip.MustParseAddr("192.0.2.1")
	open, err := packet.NewBGPOpenMessage(65002, 90, id, []packet.OptionParameterInterface{
		packet.NewOptionParameterCapability(
			[]packet.ParameterCapabilityInterface{packet.NewCapMultiProtocol(packet.RF_EVPN)}),
	})
	if err != nil {
		t.Fatal(err)
	}
	hello, err := open.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	keepalive := bgptest.Message(packet.BGP_MSG_KEEPALIVE, nil)
	write := func(c net.Conn, messages ...[]byte) {
		t.Helper()
		for _, m := range messages {
			if _, err := c.Write(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(c net.Conn, want byte) {
		t.Helper()
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		header := make([]byte, 19)
		if _, err := io.ReadFull(c, header); err != nil || header[18] != want {
			t.Fatalf("message type %d, want %d: %v", header[18], want, err)
		}
		if _, err := io.ReadFull(c, make([]byte, int(header[16])<<8+int(header[17])-19)); err != nil {
			t.Fatal(err)
		}
	}
	ln, err := net.Listen("tcp", netip.AddrPortFrom(l.addr(2), l.port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	theirs, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	read(theirs, packet.BGP_MSG_OPEN)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: l.addr(2).AsSlice()}}
	own, err := d.DialContext(t.Context(), "tcp", netip.AddrPortFrom(l.addr(1), l.port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Close() })
	read(own, packet.BGP_MSG_OPEN)
	write(theirs, hello)
	read(theirs, packet.BGP_MSG_KEEPALIVE) // it has chosen
	write(own, hello, keepalive)
	write(theirs, bgptest.Message(packet.BGP_MSG_NOTIFICATION, []byte{6, 7})) // RFC 4486: collision
	return own
}

func TestAConnectionThatGoBGPForgotIsEndedAndTheNextIsASession(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(bgp.Neighbor{
		Address: l.addr(2), AS: 65002, LocalAddress: l.addr(1), Port: l.port, ConnectRetry: time.Second,
	}))
	own := collide(t, l)
	forgotten := time.Now()
	if err := own.SetReadDeadline(forgotten.Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, own); err != nil {
		t.Fatalf("the neighbour waits on its connection, and nobody is there: %v", err)
	}
	if took := time.Since(forgotten); took > 2*handshakePatience {
		t.Errorf("it was ended after %v, want about %v", took, handshakePatience)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := bgptest.Dial(ctx, bgptest.Config{Local: l.addr(2), Remote: netip.AddrPortFrom(l.addr(1), l.port), AS: 65002})
	if err != nil {
		t.Fatal(fmt.Errorf("the next connection: %w", err))
	}
	t.Cleanup(s.Close)
	v.awaitLast(l.addr(2), "peer up")
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(1)))
	v.awaitRoutes(l.addr(2), leafRoute(1))
}

func TestASessionOutlivesTheSearchForForgottenConnections(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002), l.raw(3, 65003)))
	l.dial(2, 65002)
	v.awaitLast(l.addr(2), "peer up")
	since := map[connection]time.Time{}
	now := time.Now()
	for range 3 {
		if err := v.endForgotten(since, now); err != nil {
			t.Fatal(err)
		}
		now = now.Add(handshakePatience)
	}
	if len(since) > 0 {
		t.Errorf("watched %v", since)
	}
	v.await(l.addr(2), "up as before", func(_ map[bgp.Key]bgp.Route, h []string) bool { return len(h) == 1 })
}
