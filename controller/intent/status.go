package intent

import "context"

// OperStatus is the operational state of an object.
type OperStatus uint8

// Operational states: Up only when the target acknowledged all of the
// object's entries.
const (
	StatusUnknown OperStatus = iota
	StatusUp
	StatusDown
	StatusToBeDeleted
)

func (s OperStatus) String() string {
	switch s {
	case StatusUp:
		return "up"
	case StatusDown:
		return "down"
	case StatusToBeDeleted:
		return "to be deleted"
	}
	return "unknown"
}

// ComponentStatus is how far one component came with an object.
type ComponentStatus uint8

// States of a component.
const (
	ComponentUnknown ComponentStatus = iota
	ComponentPending
	ComponentSuccess
	ComponentError
)

// Component is the part that one component plays in an object's status.
type Component struct {
	// Name is "intent", "bgp", "pipeline" or "slowpath".
	Name   string
	Status ComponentStatus
	// Details is a JSON object, such as {"reason":"no port named eth7"}.
	Details string
}

// Status reports whether an object is realised, and if it is not, why.
type Status struct {
	Oper       OperStatus
	Components []Component
}

// Leaving is an object that was deleted and of which the target still has entries.
type Leaving struct {
	Object Object // as it was
	Status Status
}

// StatusSource tells what became of objects. The controller is one; tests have a
// fake. Its methods may be called from any goroutine, and what they say is of the
// store's state when they were called, or of a later one.
type StatusSource interface {
	// Status gives one status for each reference, in their order; StatusUnknown
	// for what it does not know, and for all when it cannot answer soon or
	// before ctx ends.
	Status(ctx context.Context, refs ...Ref) []Status
	// Leaving gives the deleted objects of a kind that are StatusToBeDeleted, in
	// the order of their ids; none when it cannot answer.
	Leaving(ctx context.Context, kind Kind) []Leaving
}
