package gobgp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"github.com/p4evpn/p4evpn/bgp"
)

// Originate advertises and withdraws routes of ours, declaratively by key: an
// equal route again sends nothing, a different one replaces it, withdrawing
// what is not advertised is no error. It may be called before Run: peers then
// get the routes before End-of-RIB. If any route is not valid nothing changes
// and the error names it. It is safe for concurrent use.
func (e *Engine) Originate(add []bgp.Route, withdraw []bgp.Key) error {
	for i := range add {
		if err := add[i].Check(); err != nil {
			return fmt.Errorf("advertising %v: %w", add[i].Key, err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.advertise(add, withdraw)
}

// advertiseBatch is how many routes GoBGP takes under one hold of its lock.
const advertiseBatch = 512

func (e *Engine) advertise(add []bgp.Route, withdraw []bgp.Key) error {
	if e.draining {
		return nil
	}
	if e.life == nil {
		for _, r := range add {
			e.local[r.Key] = r
		}
		for _, k := range withdraw {
			delete(e.local, k)
		}
		return nil
	}
	var paths []*apiutil.Path
	var keys []bgp.Key
	var errs []error
	flush := func() {
		if len(paths) == 0 {
			return
		}
		if _, err := e.life.gobgp.AddPath(apiutil.AddPathRequest{Paths: paths}); err != nil {
			errs = append(errs, err)
			// Not known to be advertised: asking again sends it again.
			for _, k := range keys {
				delete(e.local, k)
			}
		}
		paths, keys = nil, nil
	}
	for _, r := range add {
		if old, ok := e.local[r.Key]; ok && old == r {
			continue
		}
		p, err := encode(r)
		if err != nil {
			errs = append(errs, fmt.Errorf("advertising %v: %w", r.Key, err))
			continue
		}
		e.local[r.Key] = r
		paths, keys = append(paths, p), append(keys, r.Key)
		if len(paths) == advertiseBatch {
			flush()
		}
	}
	flush()
	errs = append(errs, e.withdraw(withdraw))
	return errors.Join(errs...)
}

func (e *Engine) withdraw(keys []bgp.Key) error {
	var paths []*apiutil.Path
	var errs []error
	flush := func() {
		if len(paths) > 0 {
			errs = append(errs, e.life.gobgp.DeletePath(apiutil.DeletePathRequest{Paths: paths}))
			paths = nil
		}
	}
	for _, k := range keys {
		if _, ok := e.local[k]; !ok {
			continue
		}
		p, err := encodeWithdrawal(k)
		if err != nil {
			errs = append(errs, fmt.Errorf("withdrawing %v: %w", k, err))
			continue
		}
		delete(e.local, k)
		if paths = append(paths, p); len(paths) == advertiseBatch {
			flush()
		}
	}
	flush()
	return errors.Join(errs...)
}

// wantAllRouteTargets tells the neighbours that do RT constraint (RFC 4684) that we take
// the routes of any route target: the default membership, of length 0 (section 4).
func wantAllRouteTargets(gobgp *server.BgpServer) error {
	nlri := packet.NewRouteTargetMembershipNLRI(0, nil)
	reached := []packet.PathNLRI{{NLRI: nlri}}
	hop, err := packet.NewPathAttributeMpReachNLRI(packet.RF_RTC_UC, reached, netip.IPv4Unspecified())
	if err != nil {
		return fmt.Errorf("asking for all route targets: %w", err)
	}
	path := &apiutil.Path{
		Family: packet.RF_RTC_UC, Nlri: nlri, Age: time.Now().Unix(),
		Attrs: []packet.PathAttributeInterface{packet.NewPathAttributeOrigin(packet.BGP_ORIGIN_ATTR_TYPE_IGP), hop},
	}
	if _, err := gobgp.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{path}}); err != nil {
		return fmt.Errorf("asking for all route targets: %w", err)
	}
	return nil
}
