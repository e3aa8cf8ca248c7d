package p4

import p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

// Wildcards name everything that the program may hold, for Reads: one entity for
// each table, and one each for multicast groups and clone sessions.
func Wildcards() []*p4v1.Entity {
	var all []*p4v1.Entity
	for _, t := range P4Info().GetTables() {
		if t.GetIsConstTable() {
			continue
		}
		all = append(all, &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{
			TableEntry: &p4v1.TableEntry{TableId: t.GetPreamble().GetId()},
		}})
	}
	return append(all,
		preEntity(&p4v1.PacketReplicationEngineEntry{
			Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: &p4v1.MulticastGroupEntry{}},
		}),
		preEntity(&p4v1.PacketReplicationEngineEntry{
			Type: &p4v1.PacketReplicationEngineEntry_CloneSessionEntry{CloneSessionEntry: &p4v1.CloneSessionEntry{}},
		}))
}
