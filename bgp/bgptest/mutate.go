package bgptest

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
)

// Mutator makes UPDATEs that are nearly those of others.
type Mutator struct {
	rand  *rand.Rand
	seeds []update
	max   int
}

// NewMutator makes one that begins with the bodies of good UPDATEs and never gives more
// than max bytes. The same number gives the same mutations.
func NewMutator(number uint64, max int, bodies ...[]byte) *Mutator {
	m := &Mutator{rand: rand.New(rand.NewPCG(number, 0)), max: max}
	for _, b := range bodies {
		if u, ok := parseUpdate(b); ok {
			m.seeds = append(m.seeds, u)
		}
	}
	return m
}

// Next gives the body of an UPDATE. It is framed as a message; what is in it may be
// broken at any place.
func (m *Mutator) Next() []byte {
	u := m.seed().clone()
	for range 1 + m.rand.IntN(3) {
		m.change(&u)
	}
	b := u.body()
	for range m.rand.IntN(3) { // none in every third
		b = m.damage(b)
	}
	return b[:min(len(b), m.max)]
}

func (m *Mutator) seed() *update { return &m.seeds[m.rand.IntN(len(m.seeds))] }

// update is the body of an UPDATE in its parts.
type update struct {
	withdrawn, nlri []byte
	attributes      []pathAttribute
}

type pathAttribute struct {
	flags, code byte
	value       []byte
}

func parseUpdate(body []byte) (u update, ok bool) {
	withdrawn, rest, ok := cut(body)
	if !ok {
		return u, false
	}
	list, nlri, ok := cut(rest)
	if !ok {
		return u, false
	}
	u.withdrawn, u.nlri = withdrawn, nlri
	for len(list) > 0 {
		head := 3
		if list[0]&extendedLength != 0 {
			head = 4
		}
		if len(list) < head {
			return u, false
		}
		n := int(list[2])
		if head == 4 {
			n = int(binary.BigEndian.Uint16(list[2:]))
		}
		if len(list) < head+n {
			return u, false
		}
		u.attributes = append(u.attributes, pathAttribute{list[0], list[1], list[head : head+n]})
		list = list[head+n:]
	}
	return u, true
}

func (u *update) clone() update {
	c := update{withdrawn: slices.Clone(u.withdrawn), nlri: slices.Clone(u.nlri), attributes: slices.Clone(u.attributes)}
	for i := range c.attributes {
		c.attributes[i].value = slices.Clone(c.attributes[i].value)
	}
	return c
}

// body encodes the parts with the lengths that they have.
func (u *update) body() []byte {
	var list []byte
	for _, a := range u.attributes {
		if len(a.value) > 255 || a.flags&extendedLength != 0 {
			list = binary.BigEndian.AppendUint16(append(list, a.flags|extendedLength, a.code), uint16(len(a.value)))
		} else {
			list = append(list, a.flags, a.code, byte(len(a.value)))
		}
		list = append(list, a.value...)
	}
	b := append(binary.BigEndian.AppendUint16(nil, uint16(len(u.withdrawn))), u.withdrawn...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(list))), list...)
	return append(b, u.nlri...)
}

// change makes one change of the parts, whose lengths go with it.
func (m *Mutator) change(u *update) {
	other := m.seed()
	if len(u.attributes) == 0 || m.rand.IntN(16) == 0 {
		u.attributes = append(u.attributes, other.clone().attributes...)
		return
	}
	i := m.rand.IntN(len(u.attributes))
	a := &u.attributes[i]
	switch m.rand.IntN(12) {
	case 0: // splice: the head of one, the tail of another
		from := m.rand.IntN(len(other.attributes) + 1)
		u.attributes = append(u.attributes[:i], other.clone().attributes[from:]...)
	case 1:
		j := m.rand.IntN(len(u.attributes))
		u.attributes[i], u.attributes[j] = u.attributes[j], u.attributes[i]
	case 2:
		u.attributes = slices.Insert(u.attributes, m.rand.IntN(len(u.attributes)+1), *a)
	case 3:
		u.attributes = slices.Delete(u.attributes, i, i+1)
	case 4:
		a.flags ^= 1 << m.rand.IntN(8)
	case 5:
		a.code = byte(m.rand.Uint32())
	case 6:
		a.value = m.resized(a.value)
	case 7: // the value of another's
		if len(other.attributes) > 0 {
			a.value = slices.Clone(other.attributes[m.rand.IntN(len(other.attributes))].value)
		}
	case 8:
		u.nlri, u.withdrawn = u.withdrawn, u.nlri
	case 9:
		u.nlri = m.resized(slices.Concat(u.nlri, other.nlri))
	default:
		m.changeRoutes(u, other)
	}
}

// resized is a value that is longer or shorter.
func (m *Mutator) resized(b []byte) []byte {
	i := m.rand.IntN(len(b) + 1)
	if m.rand.IntN(2) == 0 {
		return slices.Delete(b, i, min(len(b), i+1+m.rand.IntN(9)))
	}
	return slices.Insert(b, i, m.bytes(1+m.rand.IntN(9))...)
}

func (m *Mutator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.rand.Uint32())
	}
	return b
}

// changeRoutes changes the EVPN routes in MP_REACH_NLRI or MP_UNREACH_NLRI.
func (m *Mutator) changeRoutes(u, other *update) {
	for i := range u.attributes {
		a := &u.attributes[i]
		head, routes := typedRoutes(a)
		if routes == nil {
			continue
		}
		r := m.rand.IntN(len(routes))
		switch m.rand.IntN(7) {
		case 0: // a type that nobody knows, or another that somebody does
			routes[r] = slices.Clone(routes[r])
			routes[r][0] = byte(m.rand.Uint32())
		case 1:
			value := m.resized(slices.Clone(routes[r][2:]))
			routes[r] = Route(routes[r][0], value[:min(255, len(value))])
		case 2:
			routes[r] = Route(byte(m.rand.Uint32()), m.bytes(m.rand.IntN(64)))
		case 3:
			routes = slices.Insert(routes, r, routes[m.rand.IntN(len(routes))])
		case 4:
			for j := range other.attributes {
				if _, more := typedRoutes(&other.attributes[j]); more != nil {
					routes = slices.Insert(routes, r, more...)
				}
			}
		case 5: // a length that is not its own
			routes[r] = slices.Clone(routes[r])
			routes[r][1] += byte(m.rand.IntN(5) - 2)
		case 6: // withdrawn in place of announced
			head, a.code, a.flags = []byte{0, 25, 70}, mpUnreach, 0x80
		}
		a.value = slices.Concat(head, slices.Concat(routes...))
		return
	}
}

// typedRoutes takes the EVPN NLRI apart; nil if there are none.
func typedRoutes(a *pathAttribute) (head []byte, routes [][]byte) {
	at := 3
	if a.code == mpReach && len(a.value) > 3 {
		at = 5 + int(a.value[3])
	}
	if a.code != mpReach && a.code != mpUnreach || len(a.value) <= at || a.value[1] != 25 || a.value[2] != 70 {
		return nil, nil
	}
	for rest := a.value[at:]; len(rest) >= 2 && len(rest) >= 2+int(rest[1]); rest = rest[2+int(rest[1]):] {
		routes = append(routes, rest[:2+int(rest[1])])
	}
	return slices.Clone(a.value[:at]), routes
}

// damage changes the bytes as they are, and no length with them.
func (m *Mutator) damage(b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	i := m.rand.IntN(len(b))
	switch m.rand.IntN(8) {
	case 0, 1, 2:
		b[i] ^= 1 << m.rand.IntN(8)
	case 3:
		b[i] = byte(m.rand.Uint32())
	case 4:
		b[i] += byte(m.rand.IntN(7) - 3)
	case 5: // cut off, and none of the lengths knows
		return b[:i]
	case 6: // cut off within the attributes, of which the total knows
		return m.truncated(b)
	case 7:
		return append(b, m.bytes(1+m.rand.IntN(9))...)
	}
	return b
}

// truncated cuts the list of attributes off, with the right total length.
func (m *Mutator) truncated(b []byte) []byte {
	withdrawn, rest, ok := cut(b)
	if !ok {
		return b
	}
	list, nlri, ok := cut(rest)
	if !ok || len(list) == 0 {
		return b
	}
	list = list[:m.rand.IntN(len(list))]
	out := append(binary.BigEndian.AppendUint16(nil, uint16(len(withdrawn))), withdrawn...)
	out = append(binary.BigEndian.AppendUint16(out, uint16(len(list))), list...)
	return append(out, nlri...)
}
