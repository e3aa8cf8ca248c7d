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

// Status says whether an object is realised, and if it is not, why.
type Status struct {
	Oper       OperStatus
	Components []Component
}

// StatusSource tells the status of objects. The controller is one; tests have
// a fake. Status may be called from any goroutine and gives one status for each
// reference, in their order; StatusUnknown for what it has not seen yet, and for
// all when it cannot answer soon or before ctx ends.
type StatusSource interface {
	Status(ctx context.Context, refs ...Ref) []Status
}
