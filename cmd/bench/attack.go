package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// attackTime is how long the attack lasts.
	attackTime = 20 * time.Second
	// attackers are addresses, each of which has more connections than it may.
	attackers           = 12
	attackersConns      = 80
	attackersStreams    = 30
	attackersWriteBytes = 100 << 20
)

// measureAttack gives what the memory of the API, the speaker and the switch comes to while
// each is attacked by everybody who can connect: bodies that do not come, connections that
// say nothing, streams, and requests that are too large.
func measureAttack(ctx context.Context, b *bench) ([]value, error) {
	return b.withLive(ctx, func(g *liveGateway) ([]value, error) {
		all := func() (float64, error) {
			controller, _, err := resident(g.ControllerPID())
			if err != nil {
				return 0, err
			}
			sw, _, err := resident(g.SwitchPID())
			return controller + sw, err
		}
		if err := sleep(ctx, quietBefore); err != nil {
			return nil, err
		}
		quiet, err := all()
		if err != nil {
			return nil, err
		}
		attack, stop := context.WithTimeout(ctx, attackTime)
		defer stop()
		group := new(errgroup.Group)
		for i := range attackers {
			group.Go(func() error { return g.attack(attack, fmt.Sprintf("127.1.0.%d", i+1)) })
		}
		peak, asked := quiet, 0
		for attack.Err() == nil {
			now, err := all()
			if err != nil {
				return nil, err
			}
			peak = max(peak, now)
			if _, err := g.Show(ctx, "bridges"); err != nil {
				return nil, fmt.Errorf("during the attack: %w", err)
			}
			asked++
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		return []value{{name: "attack_api_memory_ratio", number: peak / quiet, goal: atMost(2),
			against: fmt.Sprintf("resident memory of p4evpn run and p4evpn switch at most, to %.0f MB before; %d connections "+
				"each to API, P4Runtime and BGP, bodies that stall, %d streams, Writes of %d MB; an operator was answered %d times",
				quiet/1e6, attackers*attackersConns, attackers*attackersStreams, attackersWriteBytes>>20, asked)}}, nil
	})
}

// attack attacks from one address until ctx ends; that it fails is what is wanted.
func (g *liveGateway) attack(ctx context.Context, from string) error {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for ctx.Err() == nil {
		for _, at := range []string{"127.0.0.1:50151", "127.0.0.1:9559", "127.0.0.1:179"} {
			conn, err := g.dialFrom(ctx, from, at)
			if err != nil {
				continue // it is full
			}
			open = append(open, conn)
			if strings.HasSuffix(at, ":50151") {
				_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
				_, _ = fmt.Fprintf(conn, "POST /v1/vrfs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65000\r\n\r\n%s",
					strings.Repeat(" ", 64000))
			}
		}
		if len(open) >= 3*attackersConns {
			break
		}
	}
	var streams []*grpc.ClientConn
	defer func() {
		for _, c := range streams {
			_ = c.Close()
		}
	}()
	request := &p4v1.WriteRequest{DeviceId: 1, Updates: []*p4v1.Update{{Entity: &p4v1.Entity{
		Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{Metadata: make([]byte, attackersWriteBytes)}}}}}}
	for ctx.Err() == nil {
		conn, err := grpc.NewClient("passthrough:///switch", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				return g.dialFrom(ctx, from, "127.0.0.1:9559")
			}), grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(1<<30)))
		if err != nil {
			return err
		}
		streams = append(streams, conn)
		rpc := p4v1.NewP4RuntimeClient(conn)
		_, _ = rpc.StreamChannel(ctx)
		if len(streams) < attackersStreams {
			continue
		}
		_, _ = rpc.Write(ctx, request)
		_ = sleep(ctx, 100*time.Millisecond)
		_ = conn.Close()
		streams = streams[:len(streams)-1]
	}
	return nil
}

// dialFrom connects in the gateway's namespace, from an address of loopback.
func (g *liveGateway) dialFrom(ctx context.Context, from, to string) (conn net.Conn, err error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Second}
	done := g.NS.Do(func() error {
		conn, err = d.DialContext(ctx, "tcp", to)
		return err
	})
	return conn, errors.Join(done)
}
