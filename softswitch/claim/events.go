package claim

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// nftGroup is NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h).
const nftGroup = 7

// Watch calls changed when somebody, also this process, changed what claims by
// [Clsact] and [NFT] are made of; [TCX] has no such event. It ends with ctx, and
// then returns nil.
func Watch(ctx context.Context, changed func()) error {
	tc, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_TC)
	if err != nil {
		return fmt.Errorf("subscribe to changes of traffic control: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return events(ctx, tc, changed) })
	// A kernel without nftables has nothing to watch.
	if tables, err := nl.Subscribe(unix.NETLINK_NETFILTER, nftGroup); err == nil {
		group.Go(func() error { return events(ctx, tables, changed) })
	}
	return group.Wait()
}

// events reads a socket, and closes it.
func events(ctx context.Context, s *nl.NetlinkSocket, changed func()) error {
	stop := context.AfterFunc(ctx, s.Close)
	defer func() {
		if stop() {
			s.Close()
		}
	}()
	for {
		_, _, err := s.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, unix.ENOBUFS): // that is: some were lost
			return fmt.Errorf("read the changes of claims: %w", err)
		}
		changed()
	}
}
