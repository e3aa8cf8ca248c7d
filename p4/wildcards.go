package p4

import p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

// Wildcards name everything that the program may hold, for Reads: one entity for
// each table, one each for the members and groups of action profiles, for multicast groups and
// for clone sessions.
func Wildcards() []*p4v1.Entity {
	all := profileWildcards()
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

// profileWildcards name the members and the groups of action profiles. They come first, since
// tables refer to groups, and groups to members.
func profileWildcards() (all []*p4v1.Entity) {
	for _, p := range P4Info().GetActionProfiles() {
		id := p.GetPreamble().GetId()
		all = append(all, &p4v1.Entity{Entity: &p4v1.Entity_ActionProfileMember{
			ActionProfileMember: &p4v1.ActionProfileMember{ActionProfileId: id},
		}})
		if p.GetWithSelector() {
			all = append(all, &p4v1.Entity{Entity: &p4v1.Entity_ActionProfileGroup{
				ActionProfileGroup: &p4v1.ActionProfileGroup{ActionProfileId: id},
			}})
		}
	}
	return all
}
