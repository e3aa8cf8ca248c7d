package pipeline

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
)

// Account is everything that happened to one frame, in order.
type Account struct {
	Port  uint32 `json:"port"`
	Frame Octets `json:"frame"`
	Steps []Step `json:"steps"`
	// Out is what left, in the order of Worker.Out.
	Out []Sent `json:"out"`
}

// Octets are bytes that JSON shows in hexadecimal.
type Octets []byte

// MarshalText writes the bytes as hexadecimal digits.
func (o Octets) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(o)), nil }

// UnmarshalText reads hexadecimal digits.
func (o *Octets) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*o = b
	return err
}

// Sent is one frame that left.
type Sent struct {
	Port uint32 `json:"port"`
	Data Octets `json:"data"`
}

// StepKind says what a step is, and so which fields of Step are set beside
// Kind, Name and Changes.
type StepKind string

// The kinds of steps.
const (
	// StepPacket: a packet comes to the parser. Name is the reason: "arrives",
	// "clone", "resubmit" or "recirculate"; Port where it came in, Length its
	// bytes.
	StepPacket StepKind = "packet"
	// StepState: a parser state. Key is what it selects by, Result the next
	// state, or "accept", or the error's name.
	StepState StepKind = "parser state"
	// StepParsed: the end of the parser. Result is the error's name; Changes
	// are what the target's checks set.
	StepParsed StepKind = "parsed"
	// StepCondition: Name is the condition as the P4 source has it, Result true
	// or false.
	StepCondition StepKind = "condition"
	// StepTable: Key, Result hit or miss, Entry on a hit, Action and Params of
	// what ran; both empty where a miss has no default action.
	StepTable StepKind = "table"
	// StepAction: an action without a table, or statements of a control; Name
	// is the action, Source what it says.
	StepAction StepKind = "action"
	// StepReplicate: Name is "multicast" or "clone", Group its group or session,
	// Copies the number of replicas; Result says why there are none.
	StepReplicate StepKind = "replicate"
	// StepEgress: a packet comes to egress for Port, as Instance of its group.
	StepEgress StepKind = "egress"
	// StepDigest: Name is the digest, Params its members.
	StepDigest StepKind = "digest"
	// StepNote: Name is assert or assume, where one does not hold, or log_msg;
	// Source what it says.
	StepNote StepKind = "note"
	// StepDrop: Name is "ingress" or "egress".
	StepDrop StepKind = "drop"
	// StepSend: the packet leaves by Port as Data; Changes are the checksums
	// that were updated.
	StepSend StepKind = "send"
	// StepRecirculate: the packet goes back to the parser as Data.
	StepRecirculate StepKind = "recirculate"
)

// Step is one step of an account.
type Step struct {
	Kind     StepKind `json:"kind"`
	Name     string   `json:"name,omitempty"`
	Source   string   `json:"source,omitempty"`
	Key      []Field  `json:"key,omitempty"`
	Result   string   `json:"result,omitempty"`
	Entry    *Matched `json:"entry,omitempty"`
	Action   string   `json:"action,omitempty"`
	Params   []Field  `json:"params,omitempty"`
	Changes  []Change `json:"changes,omitempty"`
	Port     *uint32  `json:"port,omitempty"`
	Instance uint32   `json:"instance,omitempty"`
	Group    uint32   `json:"group,omitempty"`
	Copies   int      `json:"copies,omitempty"`
	Length   int      `json:"length,omitempty"`
	Data     Octets   `json:"data,omitempty"`
}

// Field is a named value: 0x and as many digits as its width needs.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Matched is the entry that a packet hit.
type Matched struct {
	// Match has a text for each field of the table's key: 0x0a, 0x0a00/8,
	// 0x0a&&&0xff, 0x01..0x05, or * for anything.
	Match    []Field `json:"match"`
	Priority int32   `json:"priority,omitempty"`
	Member   uint32  `json:"member,omitempty"`
	Group    uint32  `json:"group,omitempty"`
	Metadata Octets  `json:"metadata,omitempty"`
	// Entry is the whole of it.
	Entry *Entry `json:"-"`
}

// Change is a field, or a header's validity, with its value before and after.
// From is empty where the header was not valid before.
type Change struct {
	Field string `json:"field"`
	From  string `json:"from,omitempty"`
	To    string `json:"to"`
}

// valid and invalid are the values of a header's validity in a Change.
const (
	valid   = "valid"
	invalid = "invalid"
)

// hexValue writes a value in as many digits as its width needs.
func hexValue(b []byte, bits int) string {
	digits := strings.TrimLeft(hex.EncodeToString(b), "0")
	return "0x" + strings.Repeat("0", max(0, (bits+3)/4-len(digits))) + digits
}

// matchText writes one field of an entry's key.
func matchText(k KeyField, m *Match) string {
	if m.Any {
		return "*"
	}
	value := hexValue(m.Value, k.Bits)
	switch k.Kind {
	case LPM:
		return fmt.Sprintf("%s/%d", value, m.PrefixLen)
	case Ternary:
		if all := sub1(pow2(k.Bits)); new(big.Int).SetBytes(m.Mask).Cmp(all) == 0 {
			return value
		}
		return value + "&&&" + hexValue(m.Mask, k.Bits)
	case Range:
		return value + ".." + hexValue(m.High, k.Bits)
	}
	return value
}

// String writes the account for reading, a line a step, its changes below it.
func (a *Account) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d bytes at port %d: %x\n", len(a.Frame), a.Port, []byte(a.Frame))
	for i := range a.Steps {
		s := &a.Steps[i]
		indent := "  "
		if s.Kind == StepPacket || s.Kind == StepEgress {
			indent = ""
		}
		fmt.Fprintf(&b, "%s%v\n", indent, s)
		for _, c := range s.Changes {
			fmt.Fprintf(&b, "      %s\n", c)
		}
	}
	if len(a.Out) == 0 {
		b.WriteString("nothing left\n")
	}
	return b.String()
}

func (c Change) String() string {
	if c.From == "" {
		return c.Field + " = " + c.To
	}
	return c.Field + ": " + c.From + " -> " + c.To
}

func fieldsText(fields []Field) string {
	var parts []string
	for _, f := range fields {
		parts = append(parts, f.Name+"="+f.Value)
	}
	return strings.Join(parts, ", ")
}

// String is the step without its changes.
func (s *Step) String() string {
	switch s.Kind {
	case StepPacket:
		return fmt.Sprintf("packet %s at port %d, %d bytes", s.Name, *s.Port, s.Length)
	case StepState:
		if len(s.Key) > 0 {
			return fmt.Sprintf("parser %s: %s -> %s", s.Name, fieldsText(s.Key), s.Result)
		}
		return fmt.Sprintf("parser %s -> %s", s.Name, s.Result)
	case StepParsed:
		return "parsed: " + s.Result
	case StepCondition:
		return fmt.Sprintf("if %s: %s", s.Name, s.Result)
	case StepTable:
		return s.tableLine()
	case StepAction, StepNote:
		return strings.TrimSuffix(fmt.Sprintf("%s: %s", s.Name, s.Source), ": ")
	case StepReplicate:
		if s.Result != "" {
			return fmt.Sprintf("%s %d: %s", s.Name, s.Group, s.Result)
		}
		return fmt.Sprintf("%s %d: %d copies", s.Name, s.Group, s.Copies)
	case StepEgress:
		if s.Instance != 0 {
			return fmt.Sprintf("egress to port %d, instance %d", *s.Port, s.Instance)
		}
		return fmt.Sprintf("egress to port %d", *s.Port)
	case StepDigest:
		return fmt.Sprintf("digest %s: %s", s.Name, fieldsText(s.Params))
	case StepDrop:
		return "dropped at the end of " + s.Name
	case StepSend:
		return fmt.Sprintf("sent to port %d, %d bytes: %x", *s.Port, len(s.Data), []byte(s.Data))
	}
	return fmt.Sprintf("%s, %d bytes: %x", s.Kind, len(s.Data), []byte(s.Data))
}

func (s *Step) tableLine() string {
	text := fmt.Sprintf("table %s: %s: %s", s.Name, fieldsText(s.Key), s.Result)
	if s.Entry != nil {
		text += " (" + fieldsText(s.Entry.Match)
		if s.Entry.Priority != 0 {
			text += fmt.Sprintf(", priority %d", s.Entry.Priority)
		}
		text += ")"
	}
	if s.Action == "" {
		return text + ", no action"
	}
	return fmt.Sprintf("%s, %s(%s)", text, s.Action, fieldsText(s.Params))
}
