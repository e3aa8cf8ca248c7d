// Package events has the kinds of what happens. An event is a line of the log that says its
// kind: who keeps events (package journal) takes them from there, so that nothing is said
// twice and no part of the program needs more than its logger.
//
// The package knows nothing of what the kinds are about.
package events

import "log/slog"

// Kind says what an event is of. Logged as an attribute, it makes an event of the line.
type Kind string

// The kinds.
const (
	Session   Kind = "session"   // a BGP session came up or went
	Liveness  Kind = "liveness"  // BFD noticed that a path died, or is back
	Target    Kind = "target"    // the P4 target connected, or went, or is another's
	Audit     Kind = "audit"     // somebody else changed the target's entries
	Link      Kind = "link"      // a port's carrier
	Move      Kind = "move"      // a MAC moved
	Duplicate Kind = "duplicate" // a MAC or an address moved too often
	Conflict  Kind = "conflict"  // two say what only one of them can have
	Limit     Kind = "limit"     // something has as much as it may
	Check     Kind = "check"     // the target does not do what is asked for, or does again
	Fault     Kind = "fault"     // a neighbour sent what cannot be taken as it stands
	Object    Kind = "object"    // an object of the API went down, or is up again
	Drops     Kind = "drops"     // the target drops many frames for one reason, or no longer does
)

// Kinds are all of them, in the order of their names.
func Kinds() []Kind {
	return []Kind{Audit, Check, Conflict, Drops, Duplicate, Fault, Limit, Link, Liveness, Move, Object, Session, Target}
}

// Key is the attribute's.
const Key = "event"

// Attr is what a line of the log says to be an event.
func (k Kind) Attr() slog.Attr { return slog.String(Key, string(k)) }

// Level is that of events which are too many for the log: only debug has them there.
const Level = slog.LevelDebug + 1
