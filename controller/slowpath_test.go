package controller

import (
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/ether"
)

// fakeSlowPath holds what the controller asks of the kernel.
type fakeSlowPath struct {
	events    chan slowpath.Neighbor
	mu        sync.Mutex
	vrfs      []slowpath.VRF
	remote    map[neighborKey]ether.MAC
	delivered []slowpath.Frame
	askers    map[neighborKey]ether.MAC
	probed    map[neighborKey]bool
	forgotten map[neighborKey]bool
	status    slowpath.Status
	converged bool
}

func newFakeSlowPath() *fakeSlowPath {
	return &fakeSlowPath{events: make(chan slowpath.Neighbor), remote: map[neighborKey]ether.MAC{},
		askers: map[neighborKey]ether.MAC{},
		probed: map[neighborKey]bool{}, forgotten: map[neighborKey]bool{}}
}

func (s *fakeSlowPath) Events() <-chan slowpath.Neighbor { return s.events }

func (s *fakeSlowPath) Set(vrfs []slowpath.VRF) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vrfs = vrfs
}

func (s *fakeSlowPath) Deliver(f slowpath.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.Data = slices.Clone(f.Data)
	s.delivered = append(s.delivered, f)
}

func (s *fakeSlowPath) SetRemote(bridge uint16, ip netip.Addr, mac ether.MAC) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remote[neighborKey{bridge, ip}] = mac
}

func (s *fakeSlowPath) RemoveRemote(bridge uint16, ip netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.remote, neighborKey{bridge, ip})
}

func (s *fakeSlowPath) SetAsker(bridge uint16, a slowpath.Asker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.askers[neighborKey{bridge, a.IP}] = a.MAC
}

func (s *fakeSlowPath) RemoveAsker(bridge uint16, ip netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.askers, neighborKey{bridge, ip})
}

func (s *fakeSlowPath) Converged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.converged = true
}

func (s *fakeSlowPath) Probe(bridge uint16, ip netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probed[neighborKey{bridge, ip}] = true
}

func (s *fakeSlowPath) Forget(bridge uint16, ip netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgotten[neighborKey{bridge, ip}] = true
}

func (s *fakeSlowPath) Status() slowpath.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// told are the hosts behind VTEPs that get router advertisements.
func (s *fakeSlowPath) told() map[neighborKey]ether.MAC {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.askers)
}

// remotes are the hosts that the kernel was told of.
func (s *fakeSlowPath) remotes() map[neighborKey]ether.MAC {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.remote)
}
