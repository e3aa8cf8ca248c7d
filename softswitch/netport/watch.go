package netport

import (
	"context"
	"log/slog"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"

	"github.com/p4evpn/p4evpn/softswitch/claim"
)

// checkInterval is how often claims are looked at of which no event tells.
const checkInterval = 2 * time.Second

// claimPause bounds how often claims are looked at by events.
const claimPause = 50 * time.Millisecond

// Watch tells ports of the changes of their interfaces, and of their claims,
// until ctx is done, and then returns nil. Without it a port finds its interface
// too, only later, and does not notice that its claim is gone.
func Watch(ctx context.Context, log *slog.Logger, ports []*Port) error {
	var watching errgroup.Group
	watching.Go(func() error {
		return repeat(ctx, log, "following the links", ports, func() error { return watchOnce(ctx, ports) })
	})
	watching.Go(func() error {
		return repeat(ctx, log, "following the claims", ports, func() error { return watchClaims(ctx, ports) })
	})
	return watching.Wait()
}

// repeat watches until ctx is done.
func repeat(ctx context.Context, log *slog.Logger, what string, ports []*Port, watch func() error) error {
	for ctx.Err() == nil {
		if err := watch(); err != nil {
			log.Warn(what+" failed, trying again", "err", err)
		}
		// What happened meanwhile was not seen.
		for _, p := range ports {
			p.recheck()
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// watchClaims has ports look at their claims, at each event and in intervals.
func watchClaims(ctx context.Context, ports []*Port) error {
	changed := make(chan struct{}, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return claim.Watch(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	})
	group.Go(func() error {
		interval := time.NewTicker(checkInterval)
		defer interval.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-interval.C:
			case <-changed:
			}
			for _, p := range ports {
				p.interrupt()
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(claimPause):
			}
		}
	})
	return group.Wait()
}

func watchOnce(ctx context.Context, ports []*Port) error {
	updates := make(chan netlink.LinkUpdate, 64)
	done := make(chan struct{})
	var failure error // set before updates is closed
	err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
		ErrorCallback: func(err error) { failure = err },
	})
	if err != nil {
		close(done)
		return err
	}
	defer func() {
		close(done)
		for range updates { // until the subscription has ended
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case u, ok := <-updates:
			if !ok {
				return failure
			}
			for _, p := range ports { // by index too: the interface may have been renamed
				if p.cfg.Interface == u.Attrs().Name || p.ifindex.Load() == u.Index {
					p.recheck()
				}
			}
		}
	}
}
