package alert

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/internal/events"
)

const (
	// askedAtOnce bounds the objects that the controller is asked for together: it does nothing
	// else meanwhile.
	askedAtOnce = 256
	// named is how many objects that change for one reason have events of their own.
	named = 10
)

// objects are those of the store, as they were said to be.
type objects struct {
	store  Store
	status intent.StatusSource
	log    *slog.Logger

	version uint64 // of the store, that refs are of
	refs    []intent.Ref
	was     map[intent.Ref]state
}

// state is what is known of one object.
type state struct {
	up   bool
	told bool // that it is down
}

// change is what objects have in common that changed.
type change struct {
	up     bool
	reason string
}

// look asks for all objects, and tells of those that changed.
func (o *objects) look(ctx context.Context) {
	o.list()
	changed := map[change][]intent.Ref{}
	for refs := range slices.Chunk(o.refs, askedAtOnce) {
		for i, s := range o.status.Status(ctx, refs...) {
			if c, is := o.take(refs[i], s); is {
				changed[c] = append(changed[c], refs[i])
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
	for _, c := range slices.SortedFunc(maps.Keys(changed), func(a, b change) int {
		return strings.Compare(a.reason, b.reason)
	}) {
		o.tell(c, changed[c])
	}
}

// list reads which objects there are, if that changed. BGP's have events of their own.
func (o *objects) list() {
	version := o.store.Version()
	if o.refs != nil && version == o.version {
		return
	}
	o.version, o.refs = version, []intent.Ref{}
	_ = o.store.View(func(tx *intent.Tx) error {
		add(o, tx.Bridges())
		add(o, tx.Ports())
		add(o, tx.VRFs())
		add(o, tx.SVIs())
		add(o, tx.Instances())
		add(o, tx.StaticMACs())
		return nil
	})
	there := make(map[intent.Ref]bool, len(o.refs))
	for _, r := range o.refs {
		there[r] = true
	}
	maps.DeleteFunc(o.was, func(r intent.Ref, _ state) bool { return !there[r] })
}

func add[T intent.Row[T]](o *objects, t *intent.Table[T]) {
	for _, object := range t.List("", 0) {
		o.refs = append(o.refs, object.Ref())
	}
}

// take notes how an object is, and gives what there is to tell. One that is down is told of
// when it is so a second time, for the same reason or another: what is on its way is no fault.
func (o *objects) take(r intent.Ref, s intent.Status) (c change, tell bool) {
	was, known := o.was[r]
	switch s.Oper {
	case intent.StatusUp:
		o.was[r] = state{up: true}
		return change{up: true}, was.told
	case intent.StatusDown:
		now := state{told: was.told || known && !was.up}
		o.was[r] = now
		return change{reason: why(s)}, now.told && !was.told
	}
	return change{}, false // nobody knows it now: it is as it was
}

// why is what a status says first of what is wrong.
func why(s intent.Status) string {
	for _, bad := range []intent.ComponentStatus{intent.ComponentError, intent.ComponentPending} {
		for _, c := range s.Components {
			var details struct{ Reason string }
			if c.Status == bad && json.Unmarshal([]byte(c.Details), &details) == nil && details.Reason != "" {
				return details.Reason
			}
		}
	}
	return ""
}

// tell makes events: of each object, or one of all where there are many.
func (o *objects) tell(c change, refs []intent.Ref) {
	level, text, all := slog.LevelWarn, "an object went down", "objects went down"
	if c.up {
		level, text, all = slog.LevelInfo, "an object is up again", "objects are up again"
	}
	common := []slog.Attr{events.Object.Attr()}
	if c.reason != "" {
		common = append(common, slog.String("reason", c.reason))
	}
	if len(refs) > named {
		o.log.LogAttrs(context.Background(), level, all, append(common, slog.Int("objects", len(refs)),
			slog.String("such_as", refs[0].String()))...)
		return
	}
	for _, r := range refs {
		o.log.LogAttrs(context.Background(), level, text, append(common, slog.String("object", r.String()))...)
	}
}
