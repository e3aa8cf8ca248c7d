package p4

import (
	"encoding/binary"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
)

// Owner is the index of the bridge or VRF that an entry is of. A table has entries of
// bridges or of VRFs, never of both.
type Owner uint16

// Owner reads whose entry the key names, false if its table has them of all.
func (k Key) Owner() (Owner, bool) {
	if t := program().tables[k.ID()]; t == nil || !t.owned || len(k) < 6 {
		return 0, false
	}
	return Owner(binary.BigEndian.Uint16([]byte(k[4:6]))), true
}

// Sizes are how many entries the tables of a program have room for, by id.
func Sizes(info *p4configv1.P4Info) map[uint32]int {
	sizes := map[uint32]int{}
	for _, t := range info.GetTables() {
		sizes[t.GetPreamble().GetId()] = int(t.GetSize())
	}
	return sizes
}
