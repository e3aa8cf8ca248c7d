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
	f.tellProfiles(number, up)
}

func (f *Forwarding) tellProfiles(number uint32, up bool) {
	for _, p := range f.profiles {
		p.cells.SetPortUp(number, up)
	}
}

// isUp reports whether a port that is followed was up when it was last looked at.
func (f *Forwarding) isUp(number uint32) bool {
	f.ports.mu.Lock()
	defer f.ports.mu.Unlock()
	return f.ports.up[number]
}

// changedPorts returns the ports that went up or down since it was called last,
// and remembers how they are.
func (f *Forwarding) changedPorts() []uint32 {
	f.ports.mu.Lock()
	defer f.ports.mu.Unlock()
	var changed []uint32
	for number, was := range f.ports.up {
		if _, up := f.server.port(number); up != was {
			f.ports.up[number] = up
			changed = append(changed, number)
		}
	}
	return changed
}

// checkPorts acts on ports that went up or down.
func (f *Forwarding) checkPorts() {
	changed := f.changedPorts()
	if len(changed) == 0 {
		return
	}
	f.server.state.Lock()
	defer f.server.state.Unlock()
	for _, number := range changed {
		f.tellProfiles(number, f.isUp(number))
	}
	for id, note := range f.groups {
		if note.withBackups == nil {
			continue
		}
		if err := f.Pipeline.SetGroup(id, f.usable(note.withBackups)); err != nil {
			f.server.log.Error("moving replicas to their backups failed", "group", id, "err", err)
		}
	}
}

// port reports whether a port exists and is up.
func (s *Server) port(number uint32) (exists, up bool) {
	if s.cfg.Port == nil {
		return true, true
	}
	return s.cfg.Port(number)
}
