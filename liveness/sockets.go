package liveness

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/p4evpn/p4evpn/bfd"
)

// reception is what a socket receives.
type reception struct {
	address  netip.Addr
	multihop bool
}

// port is the one that packets are sent to (RFC 5881 section 4, RFC 5883 section 5).
func (r reception) port() uint16 {
	if r.multihop {
		return 4784
	}
	return 3784
}

// receive opens the sockets that the sessions want, and closes the others; e.mu is held.
func (e *Endpoint) receive() {
	wanted := map[reception]bool{}
	for addr, s := range e.sessions {
		for _, at := range e.cfg.listen {
			if at.Is4() == addr.Is4() {
				wanted[reception{at, s.multihop()}] = true
			}
		}
	}
	for at, conn := range e.receivers {
		if !wanted[at] {
			delete(e.receivers, at)
			_ = conn.Close()
		}
	}
	e.trouble = nil
	for at := range wanted {
		if e.receivers[at] != nil {
			continue
		}
		conn, err := at.open()
		if err != nil {
			e.trouble = errors.Join(e.trouble, fmt.Errorf("receiving BFD packets: %w", err))
			continue
		}
		e.receivers[at] = conn
		e.owned.Go(func() { e.read(conn, at) })
	}
}

func (e *Endpoint) closeReceivers() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for at, conn := range e.receivers {
		delete(e.receivers, at)
		_ = conn.Close()
	}
}

// open makes a socket that says with which TTL a packet came.
func (r reception) open() (*net.UDPConn, error) {
	network := "udp6"
	if r.address.Is4() {
		network = "udp4"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.address, r.port())))
	if err != nil {
		return nil, err
	}
	if r.address.Is4() {
		err = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagTTL, true)
	} else {
		err = ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagHopLimit, true)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// read delivers what comes until the socket is closed.
func (e *Endpoint) read(conn *net.UDPConn, at reception) {
	// What is longer than any packet loses its end, which nobody reads.
	b, oob := make([]byte, 512), make([]byte, 128)
	for {
		n, noob, _, from, err := conn.ReadMsgUDPAddrPort(b, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // it may last
			continue
		}
		e.received.Add(1)
		why := e.deliver(b[:n], from.Addr().Unmap().WithZone(""), hops(oob[:noob], at), at)
		if why != bfd.Taken {
			e.discarded[why].Add(1)
		}
	}
}

// hops gives the TTL or hop limit that the kernel says with a packet, 0 if it does not.
func hops(oob []byte, at reception) int {
	if at.address.Is4() {
		var cm ipv4.ControlMessage
		if cm.Parse(oob) != nil {
			return 0
		}
		return cm.TTL
	}
	var cm ipv6.ControlMessage
	if cm.Parse(oob) != nil {
		return 0
	}
	return cm.HopLimit
}

// sender is the socket of a session (RFC 5881 section 4): a port of its own in the range
// that it names, a TTL of 255.
type sender struct {
	local   netip.Addr
	to      netip.AddrPort
	conn    *net.UDPConn
	trouble string // why the last packet could not be sent
}

const (
	firstPort = 49152
	lastPort  = 65535
)

// send sends a packet, and reports whether it could.
func (o *sender) send(b []byte) bool {
	err := o.open()
	if err == nil {
		_, err = o.conn.WriteToUDPAddrPort(b, o.to)
	}
	o.trouble = ""
	if err != nil {
		o.trouble = err.Error()
		o.close() // its local address may have gone
	}
	return err == nil
}

func (o *sender) open() (err error) {
	if o.conn != nil {
		return nil
	}
	network, local := "udp6", netip.IPv6Unspecified()
	if o.to.Addr().Is4() {
		network, local = "udp4", netip.IPv4Unspecified()
	}
	if o.local.IsValid() {
		local = o.local
	}
	for range 8 { // others have ports there too
		port := firstPort + rand.N[uint16](lastPort-firstPort+1)
		o.conn, err = net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, port)))
		if err == nil {
			return o.settle()
		}
	}
	return err
}

// classControl is the traffic class of network control (RFC 4594 section 3.1), CS6.
const classControl = 0xc0

func (o *sender) settle() error {
	_ = o.conn.SetReadBuffer(0) // nobody reads
	if o.to.Addr().Is4() {
		c := ipv4.NewConn(o.conn)
		return errors.Join(c.SetTTL(255), c.SetTOS(classControl))
	}
	c := ipv6.NewConn(o.conn)
	return errors.Join(c.SetHopLimit(255), c.SetTrafficClass(classControl))
}

func (o *sender) close() {
	if o.conn != nil {
		_ = o.conn.Close()
		o.conn = nil
	}
}
