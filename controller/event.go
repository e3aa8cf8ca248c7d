package controller

import (
	"context"
	"log/slog"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/internal/events"
)

// macMovedBy counts a move of a MAC and says it to who watches: for the log moves are too
// many. Of from and to each is a port or a VTEP.
func (l *loop) macMovedBy(kind move, b *bridge, mac ether.MAC, from, to slog.Attr) {
	l.stats.moves[kind].Add(1)
	l.log.LogAttrs(context.Background(), events.Level, "a MAC moved", events.Move.Attr(), slog.String("bridge", b.ID),
		slog.String("mac", mac.String()), from, to)
}

// portAttr is a port of a bridge as an event names it.
func (l *loop) portAttr(key string, b *bridge, number uint16) slog.Attr {
	return slog.String(key, "port "+l.portName(b, number))
}

// vtepAttr is the VTEP that a candidate leads to as an event names it.
func vtepAttr(key string, c *candidate) slog.Attr {
	return slog.String(key, "VTEP "+c.route.vtep.String())
}
