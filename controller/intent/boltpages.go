package intent

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// pages walks a file's tree of pages before bbolt does, which trusts it: a page
// that leads back to itself would keep bbolt busy until there is no memory left.
// The layout is bbolt's: a page has a header of 16 bytes (id, flags, count,
// overflow), then count elements of 16 bytes that say where keys, values or
// further pages are.
type pages struct {
	data    []byte
	size    uint64 // of a page
	used    uint64 // pages
	visited map[uint64]bool
}

const (
	pageHeader  = 16
	pageElement = 16
	branchFlag  = 0x01
	leafFlag    = 0x02
	bucketFlag  = 0x01 // of a leaf's element
)

// checkTree checks all pages that a transaction can reach.
func checkTree(tx *bbolt.Tx, data []byte) error {
	size := uint64(tx.DB().Info().PageSize)
	p := &pages{data: data, size: size, used: uint64(tx.Size()) / size, visited: map[uint64]bool{}}
	if err := p.check(uint64(tx.Cursor().Bucket().Root())); err != nil {
		return fmt.Errorf("%w (%w)", errDamaged, err)
	}
	return nil
}

func (p *pages) check(id uint64) error {
	if id < 2 || id >= p.used {
		return fmt.Errorf("page %d is not in the file", id)
	}
	if p.visited[id] {
		return fmt.Errorf("page %d is in the tree twice", id)
	}
	p.visited[id] = true
	start := id * p.size
	header := p.data[start:]
	overflow := uint64(binary.LittleEndian.Uint32(header[12:]))
	if overflow >= p.used-id {
		return fmt.Errorf("page %d goes on behind the end", id)
	}
	if got := binary.LittleEndian.Uint64(header); got != id {
		return fmt.Errorf("page %d says that it is %d", id, got)
	}
	return p.content(id, p.data[start:start+(overflow+1)*p.size])
}

// content checks a page's elements; id is the page's, or of the one that it is in.
func (p *pages) content(id uint64, page []byte) error {
	if len(page) < pageHeader {
		return fmt.Errorf("page %d ends early", id)
	}
	flags, count := binary.LittleEndian.Uint16(page[8:]), int(binary.LittleEndian.Uint16(page[10:]))
	if len(page) < pageHeader+count*pageElement {
		return fmt.Errorf("page %d holds no %d elements", id, count)
	}
	element := p.leaf
	switch {
	case flags == branchFlag && count > 0: // bbolt takes the first without looking
		element = p.branch
	case flags != leafFlag:
		return fmt.Errorf("page %d is neither a branch nor a leaf: flags %#x, %d elements", id, flags, count)
	}
	for i := range count {
		if err := element(id, page[pageHeader+i*pageElement:]); err != nil {
			return err
		}
	}
	return nil
}

// branch checks an element: position and size of a key, and a page.
func (p *pages) branch(id uint64, e []byte) error {
	if _, err := span(id, e, e[0:], e[4:]); err != nil {
		return err
	}
	return p.check(binary.LittleEndian.Uint64(e[8:]))
}

// leaf checks an element: flags, position, size of a key and of the value behind
// it, which may be a bucket: a root page, or 0 and a page in place.
func (p *pages) leaf(id uint64, e []byte) error {
	both, err := span(id, e, e[4:], e[8:], e[12:])
	if err != nil || binary.LittleEndian.Uint32(e)&bucketFlag == 0 {
		return err
	}
	value := both[binary.LittleEndian.Uint32(e[8:]):]
	if len(value) < 16 {
		return fmt.Errorf("page %d holds a bucket of %d bytes", id, len(value))
	}
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		return p.check(root)
	}
	return p.content(id, value[16:])
}

// span gives the bytes at a position that is counted from the element, as long
// as the sizes together.
func span(id uint64, e, position []byte, sizes ...[]byte) ([]byte, error) {
	from := uint64(binary.LittleEndian.Uint32(position))
	to := from
	for _, s := range sizes {
		to += uint64(binary.LittleEndian.Uint32(s))
	}
	if to > uint64(len(e)) {
		return nil, fmt.Errorf("page %d holds what is not in it", id)
	}
	return e[from:to], nil
}
