package shadow

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/softswitch/p4rtserver"
	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// Shadow is a switch without ports. It is safe for concurrent use.
type Shadow struct {
	server *p4rtserver.Server
	mu     sync.Mutex // one frame at a time
	worker *pipeline.Worker
	filled sync.Once
	digests
}

// digests counts those of a frame.
type digests int

// Digest is of pipeline.Sink.
func (d *digests) Digest(uint32, string, [][]byte) { *d++ }

// New makes a shadow of a target with this configuration, which has the entries
// that the program gives and no others. The configuration is checked as a
// P4Runtime server checks it.
func New(config *p4v1.ForwardingPipelineConfig) (*Shadow, error) {
	server, err := p4rtserver.New(p4rtserver.Config{DeviceID: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	if err := server.Configure(config); err != nil {
		return nil, fmt.Errorf("shadow: %w", err)
	}
	s := &Shadow{server: server}
	s.worker = s.pipeline().NewWorker(&s.digests)
	return s, nil
}

// Write applies updates in their order, each whether or not others fail, and
// returns the errors of those that did, joined; each names its update.
func (s *Shadow) Write(updates ...*p4v1.Update) error {
	var all []error
	for i, err := range s.server.Apply(updates) {
		if err != nil {
			all = append(all, fmt.Errorf("shadow: update %d of %d: %w", i+1, len(updates), err))
		}
	}
	return errors.Join(all...)
}

// Insert adds what was read from a target, as Write does; entries that the program
// gives and that may change are read too, so the first Insert takes the place of
// those. What a Read says
// beyond what can be written (counters' values stay) is left out; const entries
// and digests are the program's own matter.
func (s *Shadow) Insert(entities ...*p4v1.Entity) error {
	var err error
	s.filled.Do(func() { err = s.clearInitial() })
	if err != nil {
		return err
	}
	var updates []*p4v1.Update
	for _, e := range entities {
		u := &p4v1.Update{Type: p4v1.Update_INSERT, Entity: e}
		switch x := e.GetEntity().(type) {
		case *p4v1.Entity_TableEntry:
			te := x.TableEntry
			if te.GetIsConst() {
				continue
			}
			if te.GetIsDefaultAction() {
				u.Type = p4v1.Update_MODIFY
			}
			if te.GetTimeSinceLastHit() != nil || te.GetCounterData() != nil || te.GetMeterConfig() != nil ||
				te.GetMeterCounterData() != nil {
				u.Entity = &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: withoutState(te)}}
			}
		case *p4v1.Entity_CounterEntry, *p4v1.Entity_DirectCounterEntry, *p4v1.Entity_DigestEntry:
			continue
		case *p4v1.Entity_MeterEntry:
			u.Type = p4v1.Update_MODIFY
		}
		updates = append(updates, u)
	}
	return s.Write(updates...)
}

// Delete removes entities that Insert added, in the order that is given.
func (s *Shadow) Delete(entities ...*p4v1.Entity) error {
	updates := make([]*p4v1.Update, len(entities))
	for i, e := range entities {
		updates[i] = &p4v1.Update{Type: p4v1.Update_DELETE, Entity: e}
	}
	return s.Write(updates...)
}

// clearInitial removes the entries that the program gives and that may change.
func (s *Shadow) clearInitial() error {
	for _, t := range s.pipeline().Tables() {
		if !t.IsPreinitialized() {
			continue
		}
		if err := t.Clear(); err != nil {
			return fmt.Errorf("shadow: %w", err)
		}
	}
	return nil
}

// withoutState is the entry without what it counted.
func withoutState(te *p4v1.TableEntry) *p4v1.TableEntry {
	return &p4v1.TableEntry{
		TableId: te.TableId, Match: te.Match, Action: te.Action, Priority: te.Priority,
		IsDefaultAction: te.IsDefaultAction, IdleTimeoutNs: te.IdleTimeoutNs, Metadata: te.Metadata,
	}
}

// Trace gives the account of one frame that arrives on port.
func (s *Shadow) Trace(port uint32, frame []byte) *pipeline.Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.worker.Reset()
	return s.worker.Trace(port, frame)
}

// Process gives what leaves for one frame that arrives on port, without an account, and the
// number of digests. The frames are good until the next one is processed.
func (s *Shadow) Process(port uint32, frame []byte) (out []pipeline.Packet, digested int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.worker.Reset()
	s.digests = 0
	s.worker.Process(port, frame)
	return s.worker.Out, int(s.digests)
}

// Counter is a counter of the shadow's own by its name, nil if the program has none.
func (s *Shadow) Counter(name string) *pipeline.Counter { return s.pipeline().Counter(name) }

// Hit gives the entry that a step of an account of this shadow hit, as a Read answers it;
// nil if the step hit none.
func (s *Shadow) Hit(step *pipeline.Step) *p4v1.Entity {
	if step.Entry == nil {
		return nil
	}
	te := s.server.Forwarding().Entry(step.Name, step.Entry.Entry)
	if te == nil {
		return nil
	}
	return &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: te}}
}

// pipeline is the shadow's own pipeline, to look at its entries and counters.
func (s *Shadow) pipeline() *pipeline.Pipeline { return s.server.Forwarding().Pipeline }
