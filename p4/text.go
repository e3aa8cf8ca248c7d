package p4

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"

	"github.com/p4evpn/p4evpn/ether"
)

// String renders the entry as operators read it in p4runtime-shell:
//
//	bridge.fdb bridge=1 mac=02:00:00:00:00:01 -> bridge.to_port port=3
func (e Entry) String() string {
	var b strings.Builder
	b.WriteString(e.Key.String())
	b.WriteString(" ->")
	switch e.Key.ID() {
	case kindGroup:
		for _, m := range groupMembers([]byte(e.Value)) {
			fmt.Fprintf(&b, " %d/%d", m.Port, m.Instance)
		}
	case kindCloneSession:
		fmt.Fprintf(&b, " port=%d", binary.BigEndian.Uint16([]byte(e.Value)))
	case kindSelectorGroup:
		writeMembers(&b, unpacker(e.Value))
	default:
		e.writeAction(&b)
	}
	return b.String()
}

func (e Entry) writeAction(b *strings.Builder) {
	val := []byte(e.Value)
	a := program().actions[binary.BigEndian.Uint32(val)]
	val = val[4:]
	if a.refers == 0 {
		b.WriteString(" " + a.name)
	}
	for _, p := range a.params {
		text := p.text(val[:p.bytes])
		if a.refers != 0 {
			text = fmt.Sprint(binary.BigEndian.Uint32(val))
		}
		fmt.Fprintf(b, " %s=%s", p.name, text)
		val = val[p.bytes:]
	}
	if t := program().tables[e.Key.ID()]; t != nil && t.ageing {
		if d := time.Duration(binary.BigEndian.Uint64(val)); d != 0 {
			fmt.Fprintf(b, " idle_timeout=%v", d)
		}
		val = val[8:]
	}
	if len(val) > 0 {
		fmt.Fprintf(b, " metadata=%x", val)
	}
}

// ActionText renders an action, by its name in P4Info, with the values of its parameters by
// theirs, each in at most as many bytes as it has. What is not of the program is only named.
func ActionText(name string, values map[string][]byte) string {
	text := name
	for _, a := range program().actions {
		if a.name != name {
			continue
		}
		for _, p := range a.params {
			if v, err := p.widen(nil, values[p.name]); err == nil {
				text += fmt.Sprintf(" %s=%s", p.name, p.text(v))
			}
		}
	}
	return text
}

// String renders the key: the table and its match fields.
func (k Key) String() string {
	id := k.ID()
	if id == kindGroup || id == kindCloneSession {
		return fmt.Sprintf("%s %d", k.Table(), binary.BigEndian.Uint32([]byte(k[4:])))
	}
	if id == kindSelectorGroup {
		profile := program().profiles[profileOf(k)]
		return fmt.Sprintf("%s of %s group=%d", k.Table(), profile, binary.BigEndian.Uint32([]byte(k[8:])))
	}
	if profile := program().profiles[id]; profile != "" {
		return fmt.Sprintf("%s of %s member=%d", k.Table(), profile, binary.BigEndian.Uint32([]byte(k[4:])))
	}
	t := program().tables[id]
	if t == nil {
		return k.Table()
	}
	var b strings.Builder
	b.WriteString(t.name)
	key := []byte(k[4:])
	for _, f := range t.fields {
		v, rest := key[:f.bytes], key[f.bytes:f.size]
		switch {
		case f.match == p4configv1.MatchField_LPM:
			fmt.Fprintf(&b, " %s=%s/%d", f.name, f.text(v), rest[0])
		case f.match == p4configv1.MatchField_TERNARY && string(canonical(rest)) == "\x00":
		default:
			fmt.Fprintf(&b, " %s=%s", f.name, f.text(v))
		}
		key = key[f.size:]
	}
	if t.ternary {
		fmt.Fprintf(&b, " priority=%d", binary.BigEndian.Uint32(key))
	}
	return b.String()
}

// text renders a value by its width: 48 bits are a MAC, 32 an IPv4 address in
// this program, the rest numbers.
func (f field) text(v []byte) string {
	switch {
	case f.bits == 48:
		return ether.MAC(v).String()
	case f.bits == 128:
		return netip.AddrFrom16([16]byte(v)).String()
	case f.bits == 32:
		return netip.AddrFrom4([4]byte(v)).String()
	case f.name == "ether_type":
		return fmt.Sprintf("%#04x", v)
	}
	var n uint64
	for _, c := range v {
		n = n<<8 | uint64(c)
	}
	return fmt.Sprint(n)
}
