package slowpath

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// What Linux takes as a file name is for the prefix and the VRF's name.
const (
	maxName   = 200
	maxPrefix = 255 - maxName
)

// plan is a VRF as Set gave it, less what cannot be built.
type plan struct {
	VRF
	err     error            // the VRF itself cannot be built
	refused map[uint16]error // SVIs that cannot be built, by bridge
}

// plans checks what Set gave. One bad object does not stop another.
func plans(vrfs []VRF) map[string]plan {
	ids, bridges := map[uint16]string{}, map[uint16]string{}
	all := map[string]plan{}
	for _, v := range vrfs {
		p := plan{VRF: v, err: v.check(), refused: map[uint16]error{}}
		if _, taken := all[v.Name]; taken {
			continue // the first stands; two of one name share all they have
		}
		if other, taken := ids[v.ID]; taken && p.err == nil {
			p.err = fmt.Errorf("id %d is that of VRF %s too", v.ID, other)
		}
		p.SVIs = nil
		for _, s := range v.SVIs {
			err := s.check()
			if other, taken := bridges[s.Bridge]; taken && err == nil {
				err = fmt.Errorf("bridge %d has SVI %s already", s.Bridge, other)
			} else if !taken {
				bridges[s.Bridge] = s.Name
			}
			if err != nil {
				p.refused[s.Bridge] = err
				continue
			}
			s.Addresses = slices.Clone(s.Addresses)
			p.SVIs = append(p.SVIs, s)
		}
		ids[v.ID], all[v.Name] = v.Name, p
	}
	return all
}

var errPending = errors.New("not made yet")

// status is that of all objects of the plan: what speaks against them, or what
// state says of the VRF (0) or the SVI of a bridge. What is pending has none.
func (p plan) status(state func(bridge uint16) error) Status {
	s := Status{map[uint16]string{}, map[uint16]string{}}
	note := func(of map[uint16]string, id uint16, err error) {
		switch {
		case err == nil:
			of[id] = ""
		case !errors.Is(err, errPending):
			of[id] = err.Error()
		}
	}
	for bridge, err := range p.refused {
		note(s.SVIs, bridge, err)
	}
	for _, i := range p.SVIs {
		note(s.SVIs, i.Bridge, cmp.Or(p.err, state(i.Bridge)))
	}
	note(s.VRFs, p.ID, cmp.Or(p.err, state(0)))
	return s
}

func (v VRF) check() error {
	switch {
	case v.ID == 0:
		return fmt.Errorf("id 0 is none")
	case v.Name == "" || len(v.Name) > maxName || strings.ContainsAny(v.Name, "/\x00"):
		return fmt.Errorf("name %q cannot be that of a network namespace", v.Name)
	}
	if v.Loopback.IsValid() && !packet.IsHost(v.Loopback.Addr()) {
		return fmt.Errorf("loopback %s is not an address that a host can have", v.Loopback)
	}
	return checkMAC("router MAC", v.RouterMAC)
}

func (s SVI) check() error {
	if s.Bridge == 0 {
		return fmt.Errorf("bridge 0 is none")
	}
	for _, a := range s.Addresses {
		if !a.IsValid() || !packet.IsHost(a.Addr()) {
			return fmt.Errorf("gateway %s is not an address that a host can have", a)
		}
	}
	return checkMAC("MAC", s.MAC)
}

func checkMAC(what string, m ether.MAC) error {
	if m.IsZero() || m.IsMulticast() {
		return fmt.Errorf("%s %s is not that of a station", what, m)
	}
	return nil
}
