package liveness

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/internal/socket"
)

// Both sides say lines of JSON. Keys that a side does not know it passes over: the two may
// be of different releases.

// request is what a client says: all sessions that it wants.
type request struct {
	Peers []Peer `json:"peers"`
}

// answer is what it is told: sessions that changed, after a request all of them; or why a
// request was refused, which changed nothing.
type answer struct {
	Sessions []bfd.Status `json:"sessions,omitempty"`
	Error    string       `json:"error,omitempty"`
}

const (
	// maxLine is more than MaxPeers need.
	maxLine = 1 << 20
	// maxClients wait to be told that there is another one.
	maxClients = 8
	patience   = 5 * time.Second // for the other side to read
	retryEvery = 10 * time.Second
)

// serve has one client after the other, until ctx ends. A second one is told that there is
// a first.
func (e *Endpoint) serve(ctx context.Context, lis net.Listener) error {
	lis = socket.Bound(lis, socket.Bounds{InAll: maxClients, ByClient: maxClients})
	var one sync.Mutex
	for {
		conn, err := lis.Accept()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("liveness: %w", err)
		}
		e.owned.Go(func() {
			defer func() { _ = conn.Close() }()
			if !one.TryLock() {
				_ = write(conn, answer{Error: "another client is connected"})
				return
			}
			defer one.Unlock()
			if err := e.converse(ctx, conn); err != nil && ctx.Err() == nil {
				e.log.Warn("the client of the BFD sessions is refused", "err", err)
			}
		})
	}
}

// converse is with a client until it goes or ctx ends. The sessions stay.
func (e *Endpoint) converse(ctx context.Context, conn net.Conn) error {
	talk, cancel := context.WithCancel(ctx)
	var writer sync.WaitGroup
	defer writer.Wait()
	defer cancel()
	defer context.AfterFunc(talk, func() { _ = conn.Close() })()
	reporting := false
	for lines := scan(conn); lines.Scan(); {
		var r request
		err := json.Unmarshal(lines.Bytes(), &r)
		if err == nil {
			err = checkPeers(r.Peers)
		}
		if err != nil {
			_ = write(conn, answer{Error: err.Error()})
			return err
		}
		e.want(ctx, r.Peers)
		if !reporting {
			reporting = true
			writer.Go(func() {
				defer cancel()
				e.report(talk, conn)
			})
		}
	}
	return nil
}

// report tells the client what changed, until ctx ends or it does not read.
func (e *Endpoint) report(ctx context.Context, conn net.Conn) {
	again := time.NewTicker(retryEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			e.retry()
		case <-e.news:
			if list := e.take(); len(list) > 0 && write(conn, answer{Sessions: list}) != nil {
				return
			}
		}
	}
}

// scan reads lines of a bounded length.
func scan(conn net.Conn) *bufio.Scanner {
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxLine)
	return lines
}

func write(conn net.Conn, a any) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(patience))
	_, err = conn.Write(append(b, '\n'))
	return err
}
