package pipeline

import "errors"

// Errors of configuration calls; test with errors.Is. The wrapping text names
// the table, field or action.
var (
	// ErrInvalid: a value, key, action or index that the program does not allow.
	ErrInvalid = errors.New("invalid argument")
	// ErrExists: an entry with this key (and priority) is in the table.
	ErrExists = errors.New("already exists")
	// ErrNotFound: no entry, group or session with this key.
	ErrNotFound = errors.New("not found")
	// ErrFull: the table's size from the program, or a limit, is reached.
	ErrFull = errors.New("full")
	// ErrInUse: something refers to it.
	ErrInUse = errors.New("in use")
	// ErrConst: the entries or the default action are const in the program.
	ErrConst = errors.New("constant in the program")
)

// MatchKind says how a key field matches.
type MatchKind uint8

// The match kinds of v1model.
const (
	Exact MatchKind = iota
	LPM
	Ternary
	Range
	Optional
)

func (k MatchKind) String() string {
	return [...]string{"exact", "lpm", "ternary", "range", "optional"}[k]
}

// KeyField describes one field of a table's key.
type KeyField struct {
	Name string // as in the JSON, which is P4Info's match field name
	Kind MatchKind
	Bits int
}

// Param describes one parameter of an action.
type Param struct {
	Name string
	Bits int
}

// ActionInfo describes one action of a table.
type ActionInfo struct {
	Name   string // as in P4Info
	Params []Param
}

// Match is the value of one key field of an entry. Byte strings are
// big-endian, of any length whose value fits the field; those that come back
// are canonical: shortest, at least one byte.
type Match struct {
	// Any leaves the field out (not for exact fields). On the way back it is
	// set where the field matches everything, and the rest is then empty.
	Any       bool
	Value     []byte // range: the low end, inclusive
	Mask      []byte // ternary; bits of Value outside it must be zero
	High      []byte // range: the high end, inclusive
	PrefixLen int    // lpm; bits of Value behind it must be zero
}

// Entry is a table entry as the control plane sees it.
type Entry struct {
	Match []Match // one for each key field, in the table's order
	// Priority: higher wins, as in P4Runtime. Non-zero exactly for tables with
	// a ternary, range or optional field.
	Priority int32
	Action   string
	Params   [][]byte // in the action's order
	// For tables with an action profile or selector exactly one of these is
	// set, and Action is empty.
	Member, Group uint32
	Actions       []WeightedAction
	Random        bool // Actions are chosen from by chance, not by the hash
	// TimeoutNs is the idle timeout in ns, 0 for none; only for tables that
	// support it.
	TimeoutNs int64
	// Meter configures the entry's direct meter; nil makes everything green.
	Meter *MeterConfig
	// Metadata is opaque and comes back as it was given.
	Metadata []byte

	// Only on the way back:
	Packets, Bytes uint64 // direct counter
	SinceHitNs     int64  // time since the last hit or write; coarse
}

// Packet is one frame to send.
type Packet struct {
	Port uint32
	Data []byte // valid until the worker's Reset
}

// Sink takes what leaves the packet path otherwise than as a frame. It is
// called from workers, so it must be safe for concurrent use, must copy what
// it keeps, and should not block.
type Sink interface {
	// Digest: id and name are the JSON's learn_lists id and name; fields are
	// big-endian, each (width+7)/8 bytes.
	Digest(id uint32, name string, fields [][]byte)
}

// Replica is one copy that the packet replication engine makes.
type Replica struct {
	Port     uint32
	Instance uint16 // egress_rid
}

// Session is a clone session: where mirrored packets go.
type Session struct {
	Replicas       []Replica
	Truncate       int // bytes kept of the cloned packet; 0 keeps all
	ClassOfService uint32
}

// DigestInfo describes a digest of the program.
type DigestInfo struct {
	ID   uint32
	Name string
	Bits []int // widths of the members
}

// Limits bound what the control plane may ask for. Zero values take the
// defaults.
type Limits struct {
	Groups       int            // multicast groups, default 65,535
	Replicas     int            // replicas over all groups, default 4,194,304
	Sessions     int            // clone sessions, default 32,767
	TableSize    map[string]int // overrides of table sizes by table name
	MinTableSize int            // tables are at least this large; default 0: as the program says
	DropPort     uint32         // default 511
}
