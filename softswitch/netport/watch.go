package netport

import (
	"context"
	"log/slog"
	"time"

	"github.com/vishvananda/netlink"
)

// Watch tells ports of the changes of their interfaces until ctx is done, and
// then returns nil. Without it a port finds its interface too, only later.
func Watch(ctx context.Context, log *slog.Logger, ports []*Port) error {
	for ctx.Err() == nil {
		if err := watchOnce(ctx, ports); err != nil {
			log.Warn("following the links failed, trying again", "error", err)
		}
		// What happened meanwhile was not seen.
		for _, p := range ports {
			p.Recheck()
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
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
					p.Recheck()
				}
			}
		}
	}
}
