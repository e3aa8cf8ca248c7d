package inject

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/p4"
)

type outs []*p4v1.PacketOut

func (o *outs) PacketOut(_ context.Context, p *p4v1.PacketOut) error { *o = append(*o, p); return nil }

func TestFramesOfTheKernelAreInjected(t *testing.T) {
	var got outs
	inject := Into(&got, slog.New(slog.DiscardHandler))
	for _, f := range []slowpath.Frame{
		{VRF: 3, Bridge: 7, Data: []byte("a")},
		{VRF: 3, Bridge: 7, Data: []byte("b"), LocalOnly: true},
		{VRF: 3, Data: []byte("c")},
	} {
		inject(f)
	}
	want := []p4.PacketOut{
		{Bridge: 7, Frame: []byte("a")},
		{Bridge: 7, LocalOnly: true, Frame: []byte("b")},
		{VRF: 3, Frame: []byte("c")},
	}
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i, want := range want {
		if w := want.Message(); got[i].String() != w.String() {
			t.Errorf("%v, want %v", got[i], w)
		}
	}
}

// stuck is a target that takes nothing.
type stuck struct{}

func (stuck) PacketOut(ctx context.Context, _ *p4v1.PacketOut) error { <-ctx.Done(); return ctx.Err() }

func TestATargetThatTakesNothingHoldsTheKernelUpForMillisecondsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
		start := time.Now()
		Into(stuck{}, log)(slowpath.Frame{VRF: 3, Bridge: 7, Data: []byte("a")})
		if took := time.Since(start); took > 50*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if !strings.Contains(said.String(), "vrf=3 bridge=7") {
			t.Errorf("the log says %q", &said)
		}
	})
}
