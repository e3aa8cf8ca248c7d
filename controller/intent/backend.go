package intent

import (
	"errors"
	"io"
)

// backend makes the store's transactions durable. Its values are opaque to it.
// One goroutine writes at a time; Copy may run beside it.
type backend interface {
	// Load gives every value, kind by kind in the order of kinds; its Data is
	// valid during the call. An error of the function ends it and is given back.
	Load(func(value) error) error
	// Commit makes the changes of one transaction durable: all of them, or none
	// if it fails. They survive a loss of power when it returns nil.
	Commit([]value) error
	// Copy writes a copy of what was committed, which Restore takes; without secrets it
	// holds no trace of them.
	Copy(w io.Writer, withoutSecrets bool) error
	// Close gives up what the backend holds; nothing works afterwards.
	Close() error
}

// value is one object as a backend keeps it. Committing nil Data deletes it.
type value struct {
	Kind Kind
	ID   string
	Data []byte
}

// forgetful is the backend of a store in memory: it keeps nothing.
type forgetful struct{}

func (forgetful) Load(func(value) error) error { return nil }
func (forgetful) Commit([]value) error         { return nil }
func (forgetful) Copy(io.Writer, bool) error   { return errors.New("this store is in memory only") }
func (forgetful) Close() error                 { return nil }
