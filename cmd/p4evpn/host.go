package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/config"
)

// warnOfHost logs what the configuration names and this network namespace
// lacks. None of it is an error: each is taken when it appears.
func warnOfHost(f *config.File) {
	for _, lack := range lacking(f) {
		slog.Warn("configured and not there; it is taken when it appears", "key", lack.key, "missing", lack.what)
	}
}

type lack struct{ key, what string }

func lacking(f *config.File) []lack {
	var list []lack
	device := func(key, name string) {
		if name == "" {
			return
		}
		if _, err := net.InterfaceByName(name); err != nil {
			list = append(list, lack{key, "interface " + name})
		}
	}
	// What another target opens may be somewhere else.
	port := func(key, name string) {
		if f.Target.Embedded {
			device(key, name)
		}
	}
	for i, p := range f.Ports {
		port(fmt.Sprintf("ports[%d].interface", i), p.Interface)
	}
	for i, u := range f.Uplinks {
		at := fmt.Sprintf("uplinks[%d].", i)
		port(at+"interface", u.Interface)
		port(at+"host.interface", u.Host.Interface)
		device(at+"host.device", u.Host.Device)
	}
	own := addresses()
	for i, a := range f.VTEPs {
		if own != nil && !slices.Contains(own, a.Addr) {
			list = append(list, lack{fmt.Sprintf("vteps[%d]", i), "address " + a.String() + " on an interface, such as lo"})
		}
	}
	return list
}

// addresses are those of this network namespace; nil if they cannot be read.
func addresses() []netip.Addr {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	own := []netip.Addr{}
	for _, a := range found {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap())
		}
	}
	return own
}
