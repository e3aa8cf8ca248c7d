package intent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/p4evpn/p4evpn/internal/tracing"
)

// Store keeps the objects. All methods may be called concurrently; writers
// serialise among themselves and readers never wait for them.
type Store struct {
	mu      sync.Mutex // held by the one writer
	backend backend
	name    string // of the backend, for people
	head    atomic.Pointer[version]
	failed  atomic.Pointer[error] // why it takes no more changes; nil: it does
}

// version is one committed state and the way to the next. Only the changes are
// chained, so that a slow watcher keeps those alive, and not every old model.
type version struct {
	number uint64 // of the transactions before it since the store was opened
	model  model
	log    *entry
}

// entry is one transaction in the chain that watchers follow. done is closed
// after next and changes are set.
type entry struct {
	done    chan struct{}
	changes []Change
	cause   tracing.Span
	next    *entry
}

// NewMemory makes a store that forgets everything when it is closed.
// The configured objects are as Open's and must be valid.
func NewMemory(configured ...Object) *Store {
	m, _, err := model{}.with(configured)
	if err != nil {
		panic(err)
	}
	return newStore(forgetful{}, "in memory", m)
}

func newStore(b backend, name string, m model) *Store {
	s := &Store{backend: b, name: name}
	s.head.Store(&version{model: m, log: &entry{done: make(chan struct{})}})
	return s
}

// Close releases the file. It waits for a transaction in progress; later ones
// fail.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.backend.Close()
}

// Backup writes a copy of all that was acknowledged before the call, which
// Restore takes; without secrets it has no passwords. Changes do not wait for it.
func (s *Store) Backup(w io.Writer, withoutSecrets bool) error {
	if err := s.backend.Copy(w, withoutSecrets); err != nil {
		return fmt.Errorf("backup of store %s: %w", s.name, err)
	}
	return nil
}

// Version counts the transactions that changed something since the store was
// opened: who has taken the batch of this version has seen all that is there now.
func (s *Store) Version() uint64 { return s.head.Load().number }

// View runs do on the state as it is now. Changes that do makes are forgotten.
func (s *Store) View(do func(*Tx) error) error {
	return do(begin(s.head.Load().model))
}

// Update runs do in a transaction: all of its changes are durable and visible
// when Update returns nil, and none of them if do or the disk fails.
func (s *Store) Update(do func(*Tx) error) error { return s.UpdateFor(context.Background(), do) }

type recordKey struct{}

// Recorded gives a context whose transactions by UpdateFor are told to record, each once it
// is durable.
func Recorded(ctx context.Context, record func(Batch)) context.Context {
	return context.WithValue(ctx, recordKey{}, record)
}

// UpdateFor is Update for somebody of whom the context may know; the end of ctx does not
// end it.
func (s *Store) UpdateFor(ctx context.Context, do func(*Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.Failed(); err != nil {
		return fmt.Errorf("store %s: nothing was changed: %w", s.name, err)
	}
	head := s.head.Load()
	tx := begin(head.model)
	if err := do(tx); err != nil {
		return err
	}
	if len(tx.changes) == 0 {
		return nil
	}
	kept, err := values(tx.changes)
	if err != nil {
		return fmt.Errorf("store %s: nothing was changed: %w", s.name, err)
	}
	span := tracing.Of(ctx).Child("store")
	span.Count("p4evpn.changes", len(kept))
	err = s.backend.Commit(kept)
	span.End(err)
	if err != nil {
		return s.fail(err)
	}
	log := &entry{done: make(chan struct{})}
	s.head.Store(&version{head.number + 1, tx.model(), log})
	head.log.changes, head.log.cause, head.log.next = tx.changes, span, log
	close(head.log.done)
	if record, ok := ctx.Value(recordKey{}).(func(Batch)); ok {
		record(Batch{Changes: tx.changes, Version: head.number + 1})
	}
	return nil
}

// Failed says why the store takes no more changes, nil if it does.
func (s *Store) Failed() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// fail makes an error of the backend the caller's. Where there was no room nothing was
// written, and there may be some again. After any other the disk may hold the change, half
// of it or nothing (an fsync that failed once says so once): what is there is served, and
// nothing is put on top of it.
func (s *Store) fail(err error) error {
	for _, harmless := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS, errClosed} {
		if errors.Is(err, harmless) {
			return fmt.Errorf("store %s: nothing was changed: %w", s.name, err)
		}
	}
	err = fmt.Errorf("%w (%w)", errFailed, err)
	s.failed.Store(&err)
	slog.Error("the store failed", "store", s.name, "err", err)
	return fmt.Errorf("store %s: %w", s.name, err)
}

// Change is what happened to one object.
type Change struct {
	Old Object // nil: it was created
	New Object // nil: it was deleted
}

// Batch is the changes of one transaction, in the order in which they were
// made. Objects in it are shared: they must not be changed.
type Batch struct {
	// Snapshot marks the first batch: all objects, each as created, an object
	// after all that it refers to.
	Snapshot bool
	Changes  []Change
	// Version is the store's with these changes.
	Version uint64
	// Cause is the span of the transaction, the zero one if nobody wants to know.
	Cause tracing.Span
}

// Watch gives a snapshot and then every later transaction, in order and without
// loss however slow the consumer is; what it has not taken yet stays in memory.
// The channel is closed when ctx ends, which is the only way to end a watch.
func (s *Store) Watch(ctx context.Context) <-chan Batch {
	head := s.head.Load()
	out := make(chan Batch)
	go func() {
		defer close(out)
		batch := head.model.snapshot()
		batch.Version = head.number
		for at := head.log; ; at = at.next {
			select {
			case out <- batch:
			case <-ctx.Done():
				return
			}
			select {
			case <-at.done:
				batch = Batch{Changes: at.changes, Version: batch.Version + 1, Cause: at.cause}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (m model) snapshot() Batch {
	return Batch{Snapshot: true, Changes: slices.Concat(created(m.bridges), created(m.ports), created(m.vrfs),
		created(m.svis),
		created(m.instances), created(m.statics), created(m.speakers), created(m.neighbors))}
}

func created[T Object](rows []T) []Change {
	changes := make([]Change, len(rows))
	for i, o := range rows {
		changes[i].New = o
	}
	return changes
}
