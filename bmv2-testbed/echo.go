package testbed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"
)

// Echo pings an address from a host without a process for it: what that needs to start is
// no part of what is measured. It knows the answers to its own requests from all others.
type Echo struct {
	host *Host
	to   netip.Addr
	conn *net.IPConn
	id   uint16
}

// Echo prepares to ping an address.
func (h *Host) Echo(to netip.Addr) (*Echo, error) {
	e := &Echo{host: h, to: to, id: uint16(rand.Uint32())}
	network := "ip4:icmp"
	if to.Is6() {
		network = "ip6:ipv6-icmp"
	}
	err := h.NS.Do(func() (err error) {
		e.conn, err = net.ListenIP(network, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ping %s from %s: %w", to, h.Name, err)
	}
	return e, nil
}

// Close ends it.
func (e *Echo) Close() error { return e.conn.Close() }

// FirstAnswer sends an echo request every so often until one is answered, and gives the
// time of that.
func (e *Echo) FirstAnswer(ctx context.Context, every, within time.Duration) (time.Time, error) {
	buffer, to := make([]byte, maxFrame), &net.IPAddr{IP: e.to.AsSlice()}
	for n, end := uint16(0), time.Now().Add(within); time.Now().Before(end); n++ {
		if ctx.Err() != nil {
			return time.Time{}, context.Cause(ctx)
		}
		_, _ = e.conn.WriteToIP(e.request(n), to) // what cannot be sent is not answered
		at, err := e.await(buffer, time.Now().Add(every))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return at, err
		}
	}
	return time.Time{}, fmt.Errorf("%s does not reach %s within %v", e.host.Name, e.to, within)
}

// await waits for an answer.
func (e *Echo) await(buffer []byte, deadline time.Time) (time.Time, error) {
	if err := e.conn.SetReadDeadline(deadline); err != nil {
		return time.Time{}, err
	}
	for {
		n, from, err := e.conn.ReadFromIP(buffer)
		at := time.Now()
		if err != nil {
			return at, err
		}
		source, _ := netip.AddrFromSlice(from.IP)
		if source.Unmap() == e.to && n >= 8 && buffer[0] == e.replyType() && binary.BigEndian.Uint16(buffer[4:]) == e.id {
			return at, nil
		}
	}
}

// replyType is that of an answer, by RFC 792 and RFC 4443.
func (e *Echo) replyType() byte {
	if e.to.Is6() {
		return 129
	}
	return 0
}

// request is an echo request with a number. The kernel makes the checksum of ICMPv6.
func (e *Echo) request(n uint16) []byte {
	b := []byte{8, 0, 0, 0, byte(e.id >> 8), byte(e.id), byte(n >> 8), byte(n)}
	if e.to.Is6() {
		b[0] = 128
		return b
	}
	sum := uint32(8<<8) + uint32(e.id) + uint32(n)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
	return b
}
