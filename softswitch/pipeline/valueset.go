package pipeline

import (
	"fmt"
	"math/big"
	"slices"
	"sync/atomic"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// ValueSet is a parser value set: the control plane says which values of a
// select's key take a transition.
type ValueSet struct {
	name       string
	bits, size int
	members    atomic.Pointer[map[string]struct{}] // of (bits+7)/8 bytes
}

func newValueSet(s *bmv2json.ValueSet) *ValueSet {
	v := &ValueSet{name: s.Name, bits: s.Bits, size: s.Size}
	v.members.Store(&map[string]struct{}{})
	return v
}

// ValueSets lists the parser value sets in the order of the JSON.
func (p *Pipeline) ValueSets() []*ValueSet { return p.valueSets }

// ValueSet returns the parser value set of that name, or nil.
func (p *Pipeline) ValueSet(name string) *ValueSet {
	for _, v := range p.valueSets {
		if v.name == name {
			return v
		}
	}
	return nil
}

// Name is the JSON's full name, as in P4Info.
func (v *ValueSet) Name() string { return v.name }

// Size is the number of members it holds at most.
func (v *ValueSet) Size() int { return v.size }

// Bits is the width of a member: its fields one after the other, without gaps.
func (v *ValueSet) Bits() int { return v.bits }

// Members returns the members, ascending, each of (Bits+7)/8 bytes.
func (v *ValueSet) Members() [][]byte {
	var out [][]byte
	for m := range *v.members.Load() {
		out = append(out, []byte(m))
	}
	slices.SortFunc(out, slices.Compare)
	return out
}

// SetMembers replaces the members with big-endian values of any length.
// Errors: ErrInvalid for one that does not fit, ErrFull.
func (v *ValueSet) SetMembers(members [][]byte) error {
	all := map[string]struct{}{}
	for _, m := range members {
		n := new(big.Int).SetBytes(m)
		if n.BitLen() > v.bits {
			return fmt.Errorf("parser value set %s: %x does not fit %d bits: %w", v.name, m, v.bits, ErrInvalid)
		}
		all[string(n.FillBytes(make([]byte, (v.bits+7)/8)))] = struct{}{}
	}
	if len(all) > v.size {
		return fmt.Errorf("parser value set %s: %d members; it holds %d: %w", v.name, len(all), v.size, ErrFull)
	}
	v.members.Store(&all)
	return nil
}

// holds reports whether the select key, whose words w.selectKey has, is a member.
func (v *ValueSet) holds(w *Worker, key []keyPart) bool {
	n := (v.bits + 7) / 8
	buf := w.scratchBytes(0, n)
	clear(buf)
	at := 8*n - v.bits
	for i := range key {
		putBits(buf, at, key[i].bits, w.selectKey[i])
		at += key[i].bits
	}
	_, ok := (*v.members.Load())[string(buf)]
	return ok
}

// valueSet resolves a transition's value set for a key of the width.
func (c *compiler) valueSet(name string, key []keyPart) (int, error) {
	i := slices.IndexFunc(c.spec.ValueSets, func(v bmv2json.ValueSet) bool { return v.Name == name })
	if i < 0 {
		return 0, fmt.Errorf("no parser value set %q", name)
	}
	bits := 0
	for j := range key {
		bits += key[j].bits
	}
	if s := &c.spec.ValueSets[i]; s.Bits != bits || bits == 0 {
		return 0, fmt.Errorf("parser value set %q has %d bits, the key %d", name, s.Bits, bits)
	}
	return i, nil
}
