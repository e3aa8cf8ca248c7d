package bmv2json

// Program is one BMv2 JSON file.
type Program struct {
	Version      [2]int
	HeaderTypes  []HeaderType
	Headers      []Header
	Stacks       []Stack
	UnionTypes   []UnionType
	Unions       []Union
	UnionStacks  []UnionStack
	FieldLists   []FieldList
	Errors       []Error
	Parsers      []Parser
	ValueSets    []ValueSet
	Deparsers    []Deparser
	Meters       []Meter
	Counters     []Counter
	Registers    []Register
	Calculations []Calculation
	LearnLists   []FieldList
	Actions      []Action
	Pipelines    []Pipeline
	Checksums    []Checksum
	Externs      []Extern
	Aliases      []Alias
}

// HeaderType describes the fields of a header, first on the wire first.
type HeaderType struct {
	Name      string      `json:"name"`
	ID        int         `json:"id"`
	Fields    []FieldType `json:"fields"`
	LengthExp *Value      `json:"length_exp"`
	MaxLength int         `json:"max_length"` // bytes, with a varbit field only
}

// FieldType is one field of a header type: [name, bits, signed, saturating].
type FieldType struct {
	Name       string
	Bits       int // 0 if Varbit
	Varbit     bool
	Signed     bool
	Saturating bool
}

// Header is an instance of a header type.
type Header struct {
	Name     string `json:"name"`
	ID       int    `json:"id"`
	Type     string `json:"header_type"`
	Metadata bool   `json:"metadata"`
}

// Stack is a header stack; HeaderIDs in order.
type Stack struct {
	Name      string `json:"name"`
	ID        int    `json:"id"`
	Type      string `json:"header_type"`
	HeaderIDs []int  `json:"header_ids"`
}

// UnionType lists the members of a header union: [name, header type].
type UnionType struct {
	Name    string      `json:"name"`
	ID      int         `json:"id"`
	Headers [][2]string `json:"headers"`
}

// Union is an instance of a union type; HeaderIDs in the type's order.
type Union struct {
	Name      string `json:"name"`
	ID        int    `json:"id"`
	Type      string `json:"union_type"`
	HeaderIDs []int  `json:"header_ids"`
}

// UnionStack is a stack of unions; UnionIDs in order.
type UnionStack struct {
	Name     string `json:"name"`
	ID       int    `json:"id"`
	Type     string `json:"union_type"`
	UnionIDs []int  `json:"header_union_ids"`
}

// FieldList is a list of fields that a clone preserves or a digest carries.
type FieldList struct {
	ID       int     `json:"id"`
	Name     string  `json:"name"`
	Elements []Value `json:"elements"`
}

// Error is an error constant: [name, value].
type Error struct {
	Name string
	Code int
}

// Parser is a parser with its states.
type Parser struct {
	Name      string       `json:"name"`
	ID        int          `json:"id"`
	InitState string       `json:"init_state"`
	States    []ParseState `json:"parse_states"`
}

// ParseState is one state.
type ParseState struct {
	Name        string       `json:"name"`
	ID          int          `json:"id"`
	Ops         []ParserOp   `json:"parser_ops"`
	Key         []Value      `json:"transition_key"`
	Transitions []Transition `json:"transitions"`
}

// ParserOp is one operation of a state. For "primitive" its only parameter is
// a Primitive, which is then in Call.
type ParserOp struct {
	Op     string
	Params []Value
	Call   *Primitive
}

// Transition is one case of a select. Value and Mask cover the key's fields,
// each padded to whole bytes.
type Transition struct {
	Type  string  // "default", "hexstr" or "parse_vset"
	Value string  // hexstr or the value set's name
	Mask  *string // hexstr
	Next  *string // nil ends the parser
}

// ValueSet is a parser value set.
type ValueSet struct {
	Name string `json:"name"`
	ID   int    `json:"id"`
	Bits int    `json:"compressed_bitwidth"`
	Size int    `json:"max_size"`
}

// Deparser emits the valid headers of Order.
type Deparser struct {
	Name       string      `json:"name"`
	ID         int         `json:"id"`
	Order      []string    `json:"order"`
	Primitives []Primitive `json:"primitives"`
}

// Meter is a meter array.
type Meter struct {
	Name         string     `json:"name"`
	ID           int        `json:"id"`
	Type         string     `json:"type"` // "bytes" or "packets"
	RateCount    int        `json:"rate_count"`
	Size         int        `json:"size"`
	Direct       bool       `json:"is_direct"`
	Binding      string     `json:"binding"`
	ResultTarget *[2]string `json:"result_target"`
}

// Counter is a counter array.
type Counter struct {
	Name    string `json:"name"`
	ID      int    `json:"id"`
	Size    int    `json:"size"`
	Direct  bool   `json:"is_direct"`
	Binding string `json:"binding"`
}

// Register is a register array.
type Register struct {
	Name string `json:"name"`
	ID   int    `json:"id"`
	Size int    `json:"size"`
	Bits int    `json:"bitwidth"`
}

// Calculation is a hash or checksum over its inputs.
type Calculation struct {
	Name  string  `json:"name"`
	ID    int     `json:"id"`
	Algo  string  `json:"algo"`
	Input []Value `json:"input"`
}

// Action is an action with its parameters and primitives.
type Action struct {
	Name       string      `json:"name"`
	ID         int         `json:"id"`
	Params     []Param     `json:"runtime_data"`
	Primitives []Primitive `json:"primitives"`
}

// Param is one parameter of an action.
type Param struct {
	Name string `json:"name"`
	Bits int    `json:"bitwidth"`
}

// Primitive is one call in an action.
type Primitive struct {
	Op     string  `json:"op"`
	Source Source  `json:"source_info"`
	Params []Value `json:"parameters"`
}

// Pipeline is the control flow of ingress or egress.
type Pipeline struct {
	Name         string          `json:"name"`
	ID           int             `json:"id"`
	InitTable    *string         `json:"init_table"`
	Tables       []Table         `json:"tables"`
	Profiles     []ActionProfile `json:"action_profiles"`
	Conditionals []Conditional   `json:"conditionals"`
	ActionCalls  []ActionCall    `json:"action_calls"`
}

// ActionProfile is an action profile, or a selector if Selector is there.
type ActionProfile struct {
	Name     string    `json:"name"`
	ID       int       `json:"id"`
	MaxSize  int       `json:"max_size"`
	Selector *Selector `json:"selector"`
}

// Selector says how a member of a group is chosen.
type Selector struct {
	Algo  string  `json:"algo"`
	Input []Value `json:"input"`
}

// Table is a match-action table.
type Table struct {
	Name            string             `json:"name"`
	ID              int                `json:"id"`
	MatchType       string             `json:"match_type"`
	Type            string             `json:"type"` // "simple", "indirect", "indirect_ws"
	Profile         string             `json:"action_profile"`
	MaxSize         int                `json:"max_size"`
	WithCounters    bool               `json:"with_counters"`
	SupportTimeout  bool               `json:"support_timeout"`
	DirectMeters    *string            `json:"direct_meters"`
	Key             []Key              `json:"key"`
	ActionIDs       []int              `json:"action_ids"`
	Actions         []string           `json:"actions"`
	BaseDefaultNext *string            `json:"base_default_next"`
	NextTables      map[string]*string `json:"next_tables"`
	DefaultEntry    *DefaultEntry      `json:"default_entry"`
	Entries         []TableEntry       `json:"entries"`
}

// Key is one key field of a table; Header instead of Field for "valid".
type Key struct {
	MatchType string
	Name      string
	Field     [2]string
	Header    string
	Mask      *string
}

// DefaultEntry is a table's default action.
type DefaultEntry struct {
	ActionID    int      `json:"action_id"`
	ActionConst bool     `json:"action_const"`
	Data        []string `json:"action_data"`
	EntryConst  bool     `json:"action_entry_const"`
}

// TableEntry is an entry that the program gives.
type TableEntry struct {
	Key      []EntryKey   `json:"match_key"`
	Action   DefaultEntry `json:"action_entry"`
	Priority int          `json:"priority"` // low wins
}

// EntryKey is one key field of a TableEntry.
type EntryKey struct {
	MatchType string
	Key       string // hexstr; "1" or "0" for valid
	Mask      string
	PrefixLen int
	Start     string
	End       string
}

// Conditional is an if in the control flow.
type Conditional struct {
	Name       string  `json:"name"`
	ID         int     `json:"id"`
	Source     Source  `json:"source_info"`
	Expression Value   `json:"expression"`
	TrueNext   *string `json:"true_next"`
	FalseNext  *string `json:"false_next"`
}

// Source is the place in the P4 source that something was compiled from.
type Source struct {
	File     string `json:"filename"`
	Line     int    `json:"line"`
	Fragment string `json:"source_fragment"` // shortened by p4c
}

// ActionCall is an action called without a table.
type ActionCall struct {
	Name     string  `json:"name"`
	ID       int     `json:"id"`
	ActionID int     `json:"action_id"`
	Next     *string `json:"next_node"`
}

// Checksum is a checksum to verify after the parser or to update before the
// deparser.
type Checksum struct {
	Name        string    `json:"name"`
	ID          int       `json:"id"`
	Target      [2]string `json:"target"`
	Type        string    `json:"type"`
	Calculation string    `json:"calculation"`
	Update      *bool     `json:"update"`
	Verify      *bool     `json:"verify"`
	Cond        *Value    `json:"if_cond"`
}

// Extern is an extern instance.
type Extern struct {
	Name string `json:"name"`
	ID   int    `json:"id"`
	Type string `json:"type"`
}

// Alias gives a field of the target's another name: ["std.x", [header, field]].
type Alias struct {
	Target string
	Field  [2]string
}

// Value is BMv2's type value object. Type says which of the rest is set:
//
//	field, stack_field                    Field
//	union_stack_field                     Field and Member (stack, member, field)
//	hexstr                                Name, and Bitwidth in calculations
//	bool                                  Bool
//	header, header_stack, ..., string     Name
//	regular, stack (extract)              Name
//	union_stack (extract)                 Field (stack, member)
//	local, runtime_data, int              Index
//	lookahead                             Bits (offset, width)
//	register                              Name and Right (the index)
//	expression                            Op, Left, Right, Cond
//	parameters_vector                     List
//	payload                               nothing
type Value struct {
	Type     string
	Name     string
	Field    [2]string
	Member   string
	Index    int
	Bool     bool
	Bits     [2]int
	Bitwidth int

	Op                string
	Left, Right, Cond *Value
	List              []Value
}
