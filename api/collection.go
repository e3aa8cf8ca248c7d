package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.einride.tech/aip/fieldmask"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// Page sizes (AIP-158): 0 gives the default, more than the most gives the most.
const (
	defaultPageSize = 50
	maxPageSize     = 250
)

// message is a resource of the OPI API.
type message interface {
	proto.Message
	GetName() string
}

// collection is the standard methods over one kind of objects: O as intent
// keeps them, M as the API shows them.
type collection[O intent.Row[O], M message] struct {
	naming
	kind   intent.Kind // of those that are shown while they leave
	store  *intent.Store
	status intent.StatusSource
	table  func(*intent.Tx) *intent.Table[O]
	// read turns a message into the object with this id; a field that has no
	// place in O is an *intent.Error of reason Invalid.
	read func(id string, m M) (O, error)
	// write is the way back.
	write func(O, intent.Status) M
}

// show gives the messages of objects with their status as of now.
func (c *collection[O, M]) show(ctx context.Context, objects ...O) []M {
	if len(objects) == 0 {
		return nil
	}
	refs := make([]intent.Ref, len(objects))
	for i, o := range objects {
		refs[i] = o.Ref()
	}
	out := make([]M, len(objects))
	for i, st := range c.status.Status(ctx, refs...) {
		// One that the controller has not come to yet is not up, but on its way.
		if st.Oper == intent.StatusUnknown && len(st.Components) == 0 {
			st = stored
		}
		out[i] = c.write(objects[i], st)
	}
	return out
}

// stored is the status of what the controller has not come to yet.
var stored = intent.Status{Oper: intent.StatusDown, Components: []intent.Component{
	{Name: "intent", Status: intent.ComponentPending, Details: `{"reason":"stored, not programmed yet"}`},
}}

// nameID reads a name in a request, where field is its path.
func (c *collection[O, M]) nameID(field, name string) (string, error) {
	id, err := c.id(name)
	if err != nil {
		return "", badField(field, err.Error())
	}
	return id, nil
}

// required checks the resource of a create or update request.
func (c *collection[O, M]) required(m M) error {
	if !m.ProtoReflect().IsValid() {
		return badField(c.field, "not set")
	}
	return nil
}

// create makes an object. One that is equal to what is there already is given
// back as success, so that clients may repeat a create (AIP-155 without ids).
func (c *collection[O, M]) create(ctx context.Context, id string, m M) (M, error) {
	var none M
	if err := c.required(m); err != nil {
		return none, err
	}
	if id == "" {
		id = c.newID()
	}
	o, err := c.read(id, m)
	if err != nil {
		return none, statusOf(c.naming, err)
	}
	err = c.store.UpdateFor(ctx, func(tx *intent.Tx) error {
		old, err := c.table(tx).Get(id)
		if err == nil && old.Equal(o) {
			o = old
			return nil
		}
		o, err = c.table(tx).Create(o)
		return err
	})
	if err != nil {
		return none, statusOf(c.naming, err)
	}
	return c.show(ctx, o)[0], nil
}

func (c *collection[O, M]) get(ctx context.Context, name string) (M, error) {
	var none M
	id, err := c.nameID("name", name)
	if err != nil {
		return none, err
	}
	var o O
	err = c.store.View(func(tx *intent.Tx) error {
		o, err = c.table(tx).Get(id)
		return err
	})
	if gone, ok := c.leaving(ctx, id, err); ok {
		return c.write(gone.object, gone.status), nil
	}
	if err != nil {
		return none, statusOf(c.naming, err)
	}
	return c.show(ctx, o)[0], nil
}

// pageSize reads the size of a page that a client wants.
func pageSize(size int32) (int, error) {
	switch {
	case size < 0:
		return 0, badField("page_size", fmt.Sprintf("%d is negative: want 1 to %d, or 0 for %d", size, maxPageSize,
			defaultPageSize))
	case size == 0:
		return defaultPageSize, nil
	}
	return int(min(size, maxPageSize)), nil
}

// row is an object with its status.
type row[O any] struct {
	object O
	status intent.Status
}

// allLeaving are the deleted objects that the target still has entries of.
func (c *collection[O, M]) allLeaving(ctx context.Context) (rows []row[O]) {
	for _, l := range c.status.Leaving(ctx, c.kind) {
		if o, ok := l.Object.(O); ok {
			rows = append(rows, row[O]{o, l.Status})
		}
	}
	return rows
}

// leaving gives an object that the store does not have and the target does.
func (c *collection[O, M]) leaving(ctx context.Context, id string, err error) (row[O], bool) {
	if errors.Is(err, intent.NotFound) {
		for _, r := range c.allLeaving(ctx) {
			if r.object.Ref().ID == id {
				return r, true
			}
		}
	}
	return row[O]{}, false
}

// list gives one page and the token of the next, "" after the last.
func (c *collection[O, M]) list(ctx context.Context, size int32, token string) ([]M, string, error) {
	limit, err := pageSize(size)
	if err != nil {
		return nil, "", err
	}
	after, err := c.parsePageToken(token)
	if err != nil {
		return nil, "", badField("page_token", err.Error())
	}
	var found []O
	err = c.store.View(func(tx *intent.Tx) error {
		found = c.table(tx).List(after, limit+1)
		return nil
	})
	if err != nil {
		return nil, "", statusOf(c.naming, err)
	}
	page := map[string]M{}
	for _, r := range c.allLeaving(ctx) { // after the store, so that none falls between
		if id := r.object.Ref().ID; id > after {
			page[id] = c.write(r.object, r.status)
		}
	}
	for i, m := range c.show(ctx, found...) {
		page[found[i].Ref().ID] = m // one with the id of a deleted one is in its place
	}
	ids := slices.Sorted(maps.Keys(page))
	next := ""
	if len(ids) > limit {
		ids = ids[:limit]
		next = c.pageToken(ids[limit-1])
	}
	out := make([]M, len(ids))
	for i, id := range ids {
		out[i] = page[id]
	}
	return out, next, nil
}

// update patches an object by a mask (AIP-134), or creates it if it is missing
// and that is allowed, in which case the mask does not count.
func (c *collection[O, M]) update(ctx context.Context, m M, mask *fieldmaskpb.FieldMask, allowMissing bool) (M, error) {
	var none M
	if err := c.required(m); err != nil {
		return none, err
	}
	id, err := c.nameID(c.field+".name", m.GetName())
	if err != nil {
		return none, err
	}
	var o, old O
	var missing error
	err = c.store.UpdateFor(ctx, func(tx *intent.Tx) error {
		var getErr error
		if old, getErr = c.table(tx).Get(id); getErr != nil && allowMissing {
			if o, err = c.read(id, m); err != nil {
				return err
			}
			o, err = c.table(tx).Create(o)
			return err
		}
		if err := checkMask(mask, m); err != nil {
			return badField("update_mask", err.Error())
		}
		if getErr != nil {
			missing = getErr
			return getErr
		}
		if o, err = c.read(id, c.patch(old, m, mask)); err != nil {
			return err
		}
		o, err = c.table(tx).Update(o)
		return err
	})
	if _, ok := c.leaving(ctx, id, missing); ok && err != nil {
		return none, status.Errorf(codes.FailedPrecondition,
			"%s is being deleted: create it anew, or update it with allow_missing", c.name(id))
	}
	if err != nil {
		return none, statusOf(c.naming, err)
	}
	return c.show(ctx, o)[0], nil
}

// checkMask checks that every path leads to a field, and none into the elements of
// a list, which the library would take for the whole list (AIP-161).
func checkMask(mask *fieldmaskpb.FieldMask, m proto.Message) error {
	if err := fieldmask.Validate(mask, m); err != nil {
		return err
	}
	for _, path := range mask.GetPaths() {
		at := m.ProtoReflect().Descriptor()
		for rest := path; at != nil && rest != ""; {
			name, after, _ := strings.Cut(rest, ".")
			f := at.Fields().ByName(protoreflect.Name(name))
			if f == nil {
				break // "*"
			}
			if f.IsList() && after != "" {
				return fmt.Errorf("%.80q leads into a list: want %s as a whole", path, strings.TrimSuffix(path, "."+after))
			}
			at, rest = f.Message(), after
		}
	}
	return nil
}

// patch gives the old object with the fields of m that a valid mask names. The
// name cannot change, and what only we write is ignored (AIP-203), in the mask too.
func (c *collection[O, M]) patch(old O, m M, mask *fieldmaskpb.FieldMask) M {
	patched := c.write(old, intent.Status{})
	m = proto.CloneOf(m) // fieldmask.Update fills in missing messages
	if len(mask.GetPaths()) == 0 {
		fieldmask.Update(nil, patched, m)
		return patched
	}
	ours := &fieldmaskpb.FieldMask{}
	for _, p := range mask.GetPaths() {
		if first, _, _ := strings.Cut(p, "."); first != "name" && first != "status" {
			ours.Paths = append(ours.Paths, p)
		}
	}
	if len(ours.Paths) > 0 { // an empty mask would mean every field that is set
		fieldmask.Update(ours, patched, m)
	}
	return patched
}

// remove deletes an object; a missing one is a success if that is allowed, or if
// its deletion is under way.
func (c *collection[O, M]) remove(ctx context.Context, name string, allowMissing bool) error {
	id, err := c.nameID("name", name)
	if err != nil {
		return err
	}
	err = c.store.UpdateFor(ctx, func(tx *intent.Tx) error { return c.table(tx).Delete(id) })
	if allowMissing && errors.Is(err, intent.NotFound) {
		return nil
	}
	if _, ok := c.leaving(ctx, id, err); ok {
		return nil
	}
	return statusOf(c.naming, err)
}
