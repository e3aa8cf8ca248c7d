// Command gobgpleaf is an EVPN leaf of GoBGP and the kernel's VXLAN devices, as
// a process of its own that tests kill. It keeps EVPN routes over a graceful
// restart, its own and its peers', which FRR before 10.6 does not.
//
// The devices of each VNI are there before it, named brVNI and vxVNI. What it
// finds in them it takes over, and removes what no route says any more at the
// first End-of-RIB of all its peers, or after sweepAfter. It leaves all of it
// when it ends.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

// sweepAfter is how long a peer may take to say everything.
const sweepAfter = time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "gobgpleaf:", err)
		stop()
		os.Exit(1)
	}
}

func load() (testbed.GoBGPConfig, error) {
	var c testbed.GoBGPConfig
	if len(os.Args) != 2 {
		return c, errors.New("usage: gobgpleaf CONFIGURATION.json")
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("%s: %w", os.Args[1], err)
	}
	return c, nil
}

func run(ctx context.Context) error {
	c, err := load()
	if err != nil {
		return err
	}
	k, err := openKernel(c)
	if err != nil {
		return err
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	paths, ends := make(chan []*apiutil.Path, 1024), make(chan struct{}, len(c.Peers))
	s := newSpeaker(func(p []*apiutil.Path) { paths <- p }, func(f bgp.Family) {
		if f == bgp.RF_EVPN {
			select {
			case ends <- struct{}{}:
			default:
			}
		}
	})
	defer s.stop()
	if err := s.start(ctx, c, len(k.held) > 0); err != nil {
		return err
	}
	fmt.Print("\nready\n")
	sweep := time.NewTimer(sweepAfter)
	defer sweep.Stop()
	for missing := len(c.Peers); ; {
		select {
		case list := <-paths:
			for _, p := range list {
				k.learn(p)
			}
			k.write()
			continue
		case <-ends:
			if missing--; missing != 0 {
				continue
			}
		case <-sweep.C:
		case <-reload:
			c, err := load()
			if err != nil {
				return err
			}
			if err := s.advertise(c); err != nil {
				return err
			}
			continue
		case <-ctx.Done():
			return nil
		}
		for len(paths) > 0 { // what came before the End-of-RIB
			for _, p := range <-paths {
				k.learn(p)
			}
		}
		k.swept = true
		k.write()
		slog.Info("swept", "held", len(k.held))
	}
}
