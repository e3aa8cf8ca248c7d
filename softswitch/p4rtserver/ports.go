package p4rtserver

import "sync"

// portStates are the ports that groups look at, and whether each was up when
// it was last looked at. Ports are asked every tick, so that no one need tell.
type portStates struct {
	mu sync.Mutex
	up map[uint32]bool
}

// follow makes the pipeline look at a port from now on.
func (f *Forwarding) follow(number uint32) {
	f.ports.mu.Lock()
	defer f.ports.mu.Unlock()
	if _, known := f.ports.up[number]; known {
		return
	}
	_, up := f.server.port(number)
	f.ports.up[number] = up
	f.setPort(number, up)
}

// checkPorts acts on ports that went up or down.
func (f *Forwarding) checkPorts() {
	f.ports.mu.Lock()
	defer f.ports.mu.Unlock()
	for number, was := range f.ports.up {
		if _, up := f.server.port(number); up != was {
			f.ports.up[number] = up
			f.setPort(number, up)
		}
	}
}

func (f *Forwarding) setPort(number uint32, up bool) {
	for _, p := range f.profiles {
		p.cells.SetPortUp(number, up)
	}
}

// port says whether a port exists and is up.
func (s *Server) port(number uint32) (exists, up bool) {
	if s.cfg.Port == nil {
		return true, true
	}
	return s.cfg.Port(number)
}
