package reconcile

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/p4"
)

// Model is what a target is to hold. All its methods are called by the goroutine
// that owns the Reconciler, and none may block. All but Desired and Tentative may
// mark entries.
type Model interface {
	// Desired computes the entry that k names, nil if there shall be none. It is a
	// function of the model's state alone, and of what the target refuses
	// (Reconciler.Failing): what that changes is marked by Flipped.
	Desired(k p4.Typed) p4.Typed
	// All marks every entry that there may be.
	All()
	// Settle brings what lies between the model's inputs and its entries up to date,
	// before entries are computed or adopted.
	Settle()
	// Adopt takes over what the target holds, by type, after it was read: what lower
	// levels hold comes before what refers to it. All follows.
	Adopt(held *[p4.Types][]p4.Typed)
	// Gone is called when an entry is neither wanted nor on the target, so that ids
	// which only it kept are free. One of the last level may be wanted by then, if Settle
	// has yet to mark it.
	Gone(k p4.Typed)
	// Tentative reports whether a wanted entry may be as it is only because not all
	// has come that did before a restart.
	Tentative(want p4.Typed) bool
	// Flipped is called when the target begins or ceases to refuse an entry, or to
	// have it wait: it marks what does without it.
	Flipped(k p4.Typed)
	// Given reports whether a wanted entry is what the operator asks for: it is not
	// declined for want of room.
	Given(want p4.Typed) bool
	// Most is how many entries of its table there may be of the bridge or VRF that an
	// entry is of, where that is less than its share; 0 = no more is said. What makes it
	// more is followed by Reconsider.
	Most(k p4.Typed) int
	// Declined is called when the first entry of a bridge's or VRF's share of a table has
	// to wait for room, and says why.
	Declined(k p4.Typed, why string)
}

// Target is the P4Runtime side; *p4rt.Client is one.
type Target interface {
	p4rt.Writer
	Read(context.Context, []*p4v1.Entity, func(*p4v1.Entity) error) error
}

// Setup sets up what of a target is no entry, such as its meters.
type Setup func(context.Context, Target) error

// Config is what a Reconciler is told once.
type Config struct {
	// Retry is the first pause before a refused entry is tried again; it doubles up
	// to 64 times the value. A target that could not be read is read again after it.
	Retry time.Duration
	// AuditInterval is how often a target that is up is compared with what it
	// acknowledged; 0 = only when asked.
	AuditInterval time.Duration
	// Sizes are those of the tables, by id. What is not there has room for all.
	Sizes map[uint32]int
	// Now never goes back.
	Now func() time.Time
	// Prepare is called by the goroutine that owns the Reconciler and gives what sets up
	// a target before it is read, which the writer does; nil = nothing.
	Prepare func() Setup
	// Written is told of each job that was written; nil = nobody.
	Written func(entries int, took time.Duration)
	Stats   *Stats       // to count in
	Logger  *slog.Logger // never nil
}

// Stats are what a Reconciler counts. They may be read at any time.
type Stats struct {
	Errors     atomic.Int64 // updates and Writes that the target refused
	Declined   atomic.Int64 // entries for which there was no room
	Depth      atomic.Int64 // entries that are marked
	Audits     atomic.Int64
	Missing    atomic.Int64 // entries that audits found, by kind
	Unexpected atomic.Int64
	Changed    atomic.Int64
}
