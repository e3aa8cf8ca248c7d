// Package inject carries what Linux sends for a VRF into the pipeline. It knows the
// frames of the slow path and the packet-outs of the P4 program, not who else uses
// either.
package inject

import (
	"context"
	"log/slog"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/p4"
)

// patience is how long a frame of the kernel waits for a target that is slow: the
// tap's queue fills behind it, as before a slow link.
const patience = 20 * time.Millisecond

// Target takes packets; *p4rt.Client is one.
type Target interface {
	PacketOut(context.Context, *p4v1.PacketOut) error
}

// Into makes a slowpath.Config.Inject that gives frames to a target. They are lost
// while it is away or slow, as on a link that is down; log tells of them.
func Into(target Target, log *slog.Logger) func(slowpath.Frame) {
	return func(f slowpath.Frame) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := target.PacketOut(ctx, packetOut(f).Message()); err != nil {
			log.Debug("a frame of the kernel is lost", "vrf", f.VRF, "bridge", f.Bridge, "err", err)
		}
	}
}

// packetOut puts a frame into its bridge, or one of the VRF's tap where it is
// routed in the VRF.
func packetOut(f slowpath.Frame) p4.PacketOut {
	out := p4.PacketOut{Bridge: f.Bridge, LocalOnly: f.LocalOnly, Frame: f.Data}
	if f.Bridge == 0 {
		out.VRF = f.VRF
	}
	return out
}
