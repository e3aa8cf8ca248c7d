package pipeline

import (
	"fmt"
	"math/big"
	"sync/atomic"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// Register is a register array: cells of one or more words. Each word is read
// and written atomically; an action as a whole is not.
type Register struct {
	name        string
	size, words int
	bits        int
	cells       []atomic.Uint64
}

func newRegister(s *bmv2json.Register) *Register {
	n := (s.Bits + 63) / 64
	return &Register{name: s.Name, size: s.Size, bits: s.Bits, words: n, cells: make([]atomic.Uint64, s.Size*n)}
}

// read copies a cell to dst; false for an index outside the array.
func (a *Register) read(index uint64, dst []uint64) bool {
	if index >= uint64(a.size) {
		return false
	}
	for i := range dst {
		dst[i] = a.cells[int(index)*a.words+i].Load()
	}
	return true
}

// write stores a cell; top masks its highest word.
func (a *Register) write(index uint64, src []uint64, top uint64) {
	if index >= uint64(a.size) {
		return
	}
	for i, v := range src {
		if i == a.words-1 {
			v &= top
		}
		a.cells[int(index)*a.words+i].Store(v)
	}
}

// Registers lists the register arrays in the order of the JSON.
func (p *Pipeline) Registers() []*Register { return p.registers }

// Register returns the register array of that name, or nil.
func (p *Pipeline) Register(name string) *Register {
	for _, r := range p.registers {
		if r.name == name {
			return r
		}
	}
	return nil
}

// Name is the JSON's full name, as in P4Info.
func (a *Register) Name() string { return a.name }

// Size is the number of cells.
func (a *Register) Size() int { return a.size }

// Bits is the width of a cell.
func (a *Register) Bits() int { return a.bits }

// Read returns a cell, big-endian and canonical. Errors: ErrInvalid for an
// index outside the array.
func (a *Register) Read(index int) ([]byte, error) {
	w := make([]uint64, a.words)
	if index < 0 || !a.read(uint64(index), w) {
		return nil, a.outside(index)
	}
	return appendBytes(nil, w), nil
}

// Write sets a cell to a big-endian value. Errors: ErrInvalid for an index
// outside the array or a value that does not fit.
func (a *Register) Write(index int, value []byte) error {
	if index < 0 || index >= a.size {
		return a.outside(index)
	}
	v := new(big.Int).SetBytes(value)
	if v.BitLen() > a.bits {
		return fmt.Errorf("register %s: %x does not fit %d bits: %w", a.name, value, a.bits, ErrInvalid)
	}
	a.write(uint64(index), words(v, a.words), topMask(a.bits))
	return nil
}

func (a *Register) outside(index int) error {
	return fmt.Errorf("register %s: index %d is not in 0..%d: %w", a.name, index, a.size-1, ErrInvalid)
}
