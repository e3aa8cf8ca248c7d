package testbed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

func TestFullSizeFramesCross(t *testing.T) {
	eachTarget(t, func(t *testing.T, d *demo) {
		ctx := t.Context()
		d.whole(t)
		for _, way := range [][2]*Host{{d.h1, d.h2}, {d.h1, d.t10}, {d.h1, d.l1a}, {d.l2a, d.t10}, {d.l1b, d.t20}} {
			for _, size := range []string{"1", "1472"} { // 1472 + 28 = 1500
				_, err := way[0].NS.Output(ctx, "ping", "-n", "-q", "-M", "do", "-s", size, "-c", "3", "-i", "0.05", "-W", "20",
					way[1].Address.Addr().String())
				if err != nil {
					t.Errorf("%s to %s: %v", way[0].Name, way[1].Name, err)
				}
			}
		}
	})
}

func TestTCPCarriesAMegabyteEachWay(t *testing.T) {
	eachTarget(t, func(t *testing.T, d *demo) {
		d.whole(t)
		for _, way := range [][2]*Host{{d.h1, d.h2}, {d.h1, d.l1a}, {d.l2a, d.t10}} {
			start := time.Now()
			check(t, transfer(t.Context(), way[0], way[1], bytes.Repeat([]byte("p4evpn: one megabyte each way.\r\n"), 1<<15)))
			t.Logf("%s to %s and back in %v", way[0].Name, way[1].Name, time.Since(start))
		}
	})
}

// transfer sends data over TCP to a host that sends it back.
func transfer(ctx context.Context, from, to *Host, data []byte) error {
	var listener net.Listener
	err := to.NS.Do(func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(to.Address.Addr().String(), "7"))
		return err
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	deadline := time.Now().Add(3 * patience)
	group.Go(func() error {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(deadline)
		_, err = io.CopyN(conn, conn, int64(len(data)))
		return err
	})
	group.Go(func() error {
		var conn net.Conn
		err := from.NS.Do(func() (err error) {
			conn, err = net.DialTimeout("tcp", listener.Addr().String(), patience)
			return err
		})
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(deadline)
		go func() { _, _ = conn.Write(data) }() // what is lost, the hash finds
		hash := sha256.New()
		if _, err := io.CopyN(hash, conn, int64(len(data))); err != nil {
			return fmt.Errorf("%s to %s and back: %w", from.Name, to.Name, err)
		}
		if want := sha256.Sum256(data); !bytes.Equal(hash.Sum(nil), want[:]) {
			return fmt.Errorf("%s to %s and back: the data differs", from.Name, to.Name)
		}
		return nil
	})
	return group.Wait()
}

func TestFramesOverTheUnderlaysMTUDoNotHarmOthers(t *testing.T) {
	d := buildNetwork(t, DemoOptions{Target: Embedded})
	ctx := t.Context()
	d.whole(t)
	for _, end := range []End{{NS: d.h1.NS, Dev: "eth0"}, {NS: d.gateway.NS, Dev: "port1"}} {
		must(end.NS.Output(ctx, "ip", "link", "set", end.Dev, "mtu", "9000"))(t)
	}
	out, err := d.h1.NS.Output(ctx, "ping", "-n", "-q", "-M", "do", "-s", "4000", "-c", "3", "-i", "0.05", "-W", "1",
		d.l1a.Address.Addr().String())
	if err == nil {
		t.Errorf("4,000 bytes crossed an underlay of %d: %s", underlayMTU, out)
	}
	d.whole(t)
}
