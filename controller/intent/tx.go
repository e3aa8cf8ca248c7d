package intent

import (
	"fmt"
	"slices"
	"strings"
)

// Tx is one transaction over the whole model: it sees the state at its start
// and its own changes. It is used by one goroutine, inside Store.Update or
// Store.View only.
type Tx struct {
	bridges Table[LogicalBridge]
	ports   Table[BridgePort]
	vrfs    Table[VRF]
	svis    Table[SVI]

	instances Table[Instance]
	statics   Table[StaticMAC]
	speakers  Table[Speaker]
	neighbors Table[Neighbor]

	changes []Change
}

// Bridges is the table of logical bridges.
func (tx *Tx) Bridges() *Table[LogicalBridge] { return &tx.bridges }

// Ports is the table of bridge ports.
func (tx *Tx) Ports() *Table[BridgePort] { return &tx.ports }

// VRFs is the table of VRFs.
func (tx *Tx) VRFs() *Table[VRF] { return &tx.vrfs }

// SVIs is the table of SVIs.
func (tx *Tx) SVIs() *Table[SVI] { return &tx.svis }

// Instances is the table of EVPN instances' settings.
func (tx *Tx) Instances() *Table[Instance] { return &tx.instances }

// StaticMACs is the table of static MACs.
func (tx *Tx) StaticMACs() *Table[StaticMAC] { return &tx.statics }

// Speakers is the table of the BGP speaker, of which there is one at most.
func (tx *Tx) Speakers() *Table[Speaker] { return &tx.speakers }

// Neighbors is the table of BGP neighbours.
func (tx *Tx) Neighbors() *Table[Neighbor] { return &tx.neighbors }

// model is all objects at one time. Its slices are sorted by id and never
// changed once the model is published.
type model struct {
	bridges []LogicalBridge
	ports   []BridgePort
	vrfs    []VRF
	svis    []SVI

	instances []Instance
	statics   []StaticMAC
	speakers  []Speaker
	neighbors []Neighbor
}

func begin(m model) *Tx {
	tx := &Tx{}
	tx.bridges = Table[LogicalBridge]{tx: tx, kind: KindLogicalBridge, rows: m.bridges}
	tx.ports = Table[BridgePort]{tx: tx, kind: KindBridgePort, rows: m.ports}
	tx.vrfs = Table[VRF]{tx: tx, kind: KindVRF, rows: m.vrfs}
	tx.svis = Table[SVI]{tx: tx, kind: KindSVI, rows: m.svis}
	tx.instances = Table[Instance]{tx: tx, kind: KindInstance, rows: m.instances}
	tx.statics = Table[StaticMAC]{tx: tx, kind: KindStaticMAC, rows: m.statics}
	tx.speakers = Table[Speaker]{tx: tx, kind: KindSpeaker, rows: m.speakers}
	tx.neighbors = Table[Neighbor]{tx: tx, kind: KindNeighbor, rows: m.neighbors}
	return tx
}

func (tx *Tx) model() model {
	return model{tx.bridges.rows, tx.ports.rows, tx.vrfs.rows, tx.svis.rows,
		tx.instances.rows, tx.statics.rows, tx.speakers.rows, tx.neighbors.rows}
}

// Row is what a type must have to live in a Table: the objects of this package.
type Row[T any] interface {
	Object
	// Equal reports whether both ask for the same.
	Equal(T) bool
	// admit checks the object against all others and completes it; old is
	// what it replaces, nil when it is new.
	admit(tx *Tx, old *T) (T, error)
	// release checks that the object may go.
	release(tx *Tx) error
	clone() T
}

var (
	_ Row[LogicalBridge] = LogicalBridge{}
	_ Row[BridgePort]    = BridgePort{}
	_ Row[VRF]           = VRF{}
	_ Row[SVI]           = SVI{}
	_ Row[Instance]      = Instance{}
	_ Row[StaticMAC]     = StaticMAC{}
	_ Row[Speaker]       = Speaker{}
	_ Row[Neighbor]      = Neighbor{}
)

// Table is all objects of one kind within a transaction. Objects go in and
// come out as copies. All errors are *Error, and an operation that fails
// changes nothing.
type Table[T Row[T]] struct {
	tx   *Tx
	kind Kind
	rows []T // sorted by id
	own  bool
}

func (t *Table[T]) find(id string) (int, bool) {
	return slices.BinarySearchFunc(t.rows, id, func(o T, id string) int { return strings.Compare(o.Ref().ID, id) })
}

// Get gives one object, or an error of reason NotFound.
func (t *Table[T]) Get(id string) (T, error) {
	i, ok := t.find(id)
	if !ok {
		var none T
		return none, t.missing(id)
	}
	return t.rows[i].clone(), nil
}

// List gives at most limit objects whose id comes after the given one, in the
// order of ids; limit 0 is all of them. It is stable under changes: a page that
// starts after the last id of the page before never repeats or skips an object
// that was there all the time.
func (t *Table[T]) List(after string, limit int) []T {
	i, ok := t.find(after)
	if ok {
		i++
	}
	rows := t.rows[i:]
	if limit > 0 && limit < len(rows) {
		rows = rows[:limit]
	}
	out := make([]T, len(rows))
	for i, o := range rows {
		out[i] = o.clone()
	}
	return out
}

// Create adds an object and gives it back as it is stored. If its id is
// taken the error has reason Exists.
func (t *Table[T]) Create(o T) (T, error) {
	if err := o.Check(); err != nil {
		return o, err
	}
	i, ok := t.find(o.Ref().ID)
	if ok {
		if err := changeable(t.rows[i]); err != nil {
			return o, err
		}
		return o, &Error{Exists, o.Ref(), []Violation{{Problem: "there is a different one with this id already"}}}
	}
	o, err := o.clone().admit(t.tx, nil)
	if err != nil {
		return o, err
	}
	t.mine()
	t.rows = slices.Insert(t.rows, i, o)
	t.tx.changes = append(t.tx.changes, Change{New: o})
	return o.clone(), nil
}

// Update replaces an object and gives it back as it is stored. An equal one
// is no change.
func (t *Table[T]) Update(o T) (T, error) {
	if err := o.Check(); err != nil {
		return o, err
	}
	i, ok := t.find(o.Ref().ID)
	if !ok {
		return o, t.missing(o.Ref().ID)
	}
	old := t.rows[i]
	if o.Equal(old) {
		return old.clone(), nil
	}
	if err := changeable(old); err != nil {
		return o, err
	}
	o, err := o.clone().admit(t.tx, &old)
	if err != nil {
		return o, err
	}
	t.mine()
	t.rows[i] = o
	t.tx.changes = append(t.tx.changes, Change{Old: old, New: o})
	return o.clone(), nil
}

// Delete removes an object; reason NotFound if there is none, Conflict if
// others refer to it.
func (t *Table[T]) Delete(id string) error {
	i, ok := t.find(id)
	if !ok {
		return t.missing(id)
	}
	old := t.rows[i]
	if err := changeable(old); err != nil {
		return err
	}
	if err := old.release(t.tx); err != nil {
		return err
	}
	t.mine()
	t.rows = slices.Delete(t.rows, i, i+1)
	t.tx.changes = append(t.tx.changes, Change{Old: old})
	return nil
}

// mine copies the rows before their first change, since the published model
// shares them.
func (t *Table[T]) mine() {
	if !t.own {
		t.rows, t.own = slices.Clone(t.rows), true
	}
}

func (t *Table[T]) missing(id string) error {
	return &Error{NotFound, Ref{t.kind, id}, []Violation{{Problem: fmt.Sprintf("there is no %s with this id", t.kind)}}}
}
