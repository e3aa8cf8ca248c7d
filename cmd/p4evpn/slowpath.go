package main

import (
	"context"
	"log/slog"
)

// runSlowPath runs the slow path until ctx ends. Bridging and routing go on
// without it, and the status of VRFs and SVIs says that it is away.
func (g *gateway) runSlowPath(ctx context.Context) error {
	if err := g.slow.Run(ctx); err != nil && ctx.Err() == nil {
		slog.Error("Linux does nothing for the VRFs any more: their gateways answer no ping and find no silent hosts", "error", err)
	}
	<-ctx.Done()
	return ctx.Err()
}
