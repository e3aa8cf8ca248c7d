package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

// frrVTEPLoss is what FRR and the kernel take for the same: 10,000 prefixes that two VTEPs
// advertise, of which one has no route any more, from there to the kernel's last route that
// leads to it. The default VRF has the L3 VNI: this kernel may have no VRF device. It looks at
// all routes again and again, and gives how long one look takes too, within which the time is
// right.
func frrVTEPLoss(ctx context.Context) (took, look time.Duration, err error) {
	err = withFRR(ctx, func(f *frr) error {
		lost := vtep(0).String()
		if err := f.Configure(ctx, "zebra nexthop kernel enable"); err != nil {
			return err
		}
		_, err := f.ns.Output(ctx, "ip", "route", "add", vtep(1).String(), "via", leafAddress.Addr().String())
		if err != nil {
			return err
		}
		var wire bytes.Buffer
		for leaf := range 2 {
			for block := range encoded(vtepPrefixUpdates(vtep(leaf), equalPrefixes)) {
				wire.Write(block)
			}
		}
		if err := f.session.Send(wire.Bytes()); err != nil {
			return err
		}
		leadTo := func(to string) (n int, err error) {
			out, err := f.ns.Output(ctx, "ip", "-4", "route", "show", "proto", "bgp")
			if n = strings.Count(out, "via "+to+" "); n > 0 && !strings.Contains(out, " nhid ") {
				err = errors.Join(err, errors.New("zebra has no nexthop groups in the kernel"))
			}
			return n, err
		}
		end := time.Now().Add(time.Minute)
		for {
			first, err := leadTo(lost)
			second, err2 := leadTo(vtep(1).String())
			switch {
			case err != nil || err2 != nil:
				return errors.Join(err, err2)
			case first == equalPrefixes && second == equalPrefixes:
			case time.Now().After(end):
				return fmt.Errorf("the kernel has %d and %d routes to the two VTEPs, want %d each", first, second, equalPrefixes)
			default:
				continue
			}
			break
		}
		start := time.Now()
		if _, err := f.ns.Output(ctx, "ip", "route", "delete", lost); err != nil {
			return err
		}
		for {
			before := time.Now()
			left, err := leadTo(lost)
			took, look = time.Since(start), time.Since(before)
			if err != nil || left == 0 {
				return err
			}
			if took > time.Minute {
				return late{time.Minute, fmt.Sprintf("%d routes lead to the VTEP that is lost", left)}
			}
		}
	})
	return took, look, err
}

// vtepPrefixUpdates encodes n type-5 routes of the VRF from one leaf.
func vtepPrefixUpdates(from netip.Addr, n int) [][]byte {
	rd, next, mac := [8]byte{0, 1}, from.As4(), leafRouterMAC
	copy(rd[2:], next[:])
	binary.BigEndian.PutUint16(rd[6:], l3VNI)
	mac[4], mac[5] = next[2], next[3]
	attributes := bgptest.Attributes{
		NextHop: from, ASPath: []uint32{leafAS},
		Communities: [][8]byte{bgptest.VXLAN(), bgptest.RouterMAC(mac), bgptest.RouteTarget(leafAS, l3VNI)},
	}
	var updates [][]byte
	for i := 0; i < n; i += perUpdate {
		var routes [][]byte
		for j := i; j < min(i+perUpdate, n); j++ {
			p := netip.PrefixFrom(address(firstPrefix+uint32(j)<<8), 24)
			routes = append(routes, bgptest.PrefixRoute(rd, p, netip.Addr{}, l3VNI))
		}
		updates = append(updates, bgptest.Update(attributes, routes...))
	}
	return updates
}
