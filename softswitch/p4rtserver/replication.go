package p4rtserver

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// groupNote is what a multicast group says that the pipeline does not need.
type groupNote struct {
	metadata []byte
	legacy   bool // ports were given as egress_port and are returned so
	// withBackups are the replicas of a group in which some have backups; the
	// pipeline has those that are in use.
	withBackups []backedReplica
}

// backedReplica is a replica and its backups, the most preferred first.
type backedReplica []pipeline.Replica

// sessionNote is the same for a clone session.
type sessionNote struct {
	legacy bool
}

func (f *Forwarding) writeReplication(op p4v1.Update_Type, e *p4v1.PacketReplicationEngineEntry) error {
	switch e := e.GetType().(type) {
	case *p4v1.PacketReplicationEngineEntry_MulticastGroupEntry:
		return f.writeGroup(op, e.MulticastGroupEntry)
	case *p4v1.PacketReplicationEngineEntry_CloneSessionEntry:
		return f.writeSession(op, e.CloneSessionEntry)
	default:
		return invalid("the replication engine entry is neither a multicast group nor a clone session")
	}
}

// writeGroup makes an update of a multicast group (9.5.1).
func (f *Forwarding) writeGroup(op p4v1.Update_Type, g *p4v1.MulticastGroupEntry) error {
	id := g.GetMulticastGroupId()
	if id == 0 {
		return invalid("multicast group id 0 is not valid")
	}
	if op == p4v1.Update_DELETE {
		if err := f.Pipeline.DeleteGroup(id); err != nil {
			return refuse(err)
		}
		delete(f.groups, id)
		return nil
	}
	_, exists := f.Pipeline.Group(id)
	if err := checkExistence(op, exists); err != nil {
		return within(groupName(id), err)
	}
	replicas, legacy, err := replicasOf(g.Replicas)
	if err != nil {
		return within(groupName(id), err)
	}
	backed, err := f.backupsOf(g.Replicas, replicas)
	if err != nil {
		return within(groupName(id), err)
	}
	if backed != nil {
		replicas = f.usable(backed)
	}
	if err := refuse(f.Pipeline.SetGroup(id, replicas)); err != nil {
		return within(groupName(id), err)
	}
	if len(g.Metadata) > 0 || legacy || backed != nil {
		f.groups[id] = groupNote{metadata: bytes.Clone(g.Metadata), legacy: legacy, withBackups: backed}
	} else {
		delete(f.groups, id)
	}
	return nil
}

func groupName(id uint32) string { return "multicast group " + strconv.FormatUint(uint64(id), 10) }

func sessionName(id uint32) string { return "clone session " + strconv.FormatUint(uint64(id), 10) }

// checkExistence applies the rules of INSERT and MODIFY.
func checkExistence(op p4v1.Update_Type, exists bool) error {
	if op == p4v1.Update_INSERT && exists {
		return status.Error(codes.AlreadyExists, "it exists")
	}
	if op == p4v1.Update_MODIFY && !exists {
		return status.Error(codes.NotFound, "it does not exist")
	}
	return nil
}

// replicasOf translates and checks replicas: each (port, instance) once.
// legacy says that ports came in the deprecated field.
func replicasOf(in []*p4v1.Replica) (out []pipeline.Replica, legacy bool, err error) {
	out = make([]pipeline.Replica, len(in))
	seen := make(map[pipeline.Replica]struct{}, len(in))
	for i, r := range in {
		var port uint32
		switch kind := r.PortKind.(type) {
		case *p4v1.Replica_Port:
			if err := checkValue(kind.Port, 32); err != nil {
				return nil, false, within("replica "+strconv.Itoa(i)+": port", err)
			}
			port = uint32Of(kind.Port)
		case *p4v1.Replica_EgressPort:
			port, legacy = numericPort(kind), true
		default:
			return nil, false, invalid("replica %d has no port", i)
		}
		if r.Instance > 0xffff {
			return nil, false, invalid("replica %d: instance %d does not fit 16 bits", i, r.Instance)
		}
		out[i] = pipeline.Replica{Port: port, Instance: uint16(r.Instance)}
		if _, twice := seen[out[i]]; twice {
			return nil, false, invalid("replica %d: port %d, instance %d is there twice", i, port, r.Instance)
		}
		seen[out[i]] = struct{}{}
	}
	return out, legacy, nil
}

// backupsOf translates the backups of replicas, which are translated already;
// nil if none has any. Each (port, instance) is there once in all of a group,
// and each port once in a replica with its backups.
func (f *Forwarding) backupsOf(in []*p4v1.Replica, replicas []pipeline.Replica) ([]backedReplica, error) {
	out := make([]backedReplica, len(in))
	all := slices.Clone(replicas)
	for i, r := range in {
		out[i] = backedReplica{replicas[i]}
		for _, b := range r.BackupReplicas {
			if err := checkValue(b.GetPort(), 32); err != nil {
				return nil, within("replica "+strconv.Itoa(i)+": backup: port", err)
			}
			backup := pipeline.Replica{Port: uint32Of(b.Port), Instance: uint16(b.Instance)}
			if b.Instance > 0xffff {
				return nil, invalid("replica %d: instance %d of a backup does not fit 16 bits", i, b.Instance)
			}
			if slices.ContainsFunc(out[i], func(r pipeline.Replica) bool { return r.Port == backup.Port }) {
				return nil, invalid("replica %d: port %d is there twice among it and its backups", i, backup.Port)
			}
			out[i], all = append(out[i], backup), append(all, backup)
		}
	}
	if len(all) == len(in) {
		return nil, nil
	}
	if err := f.Pipeline.CheckReplicas(all); err != nil {
		return nil, refuse(err)
	}
	for _, r := range all {
		f.follow(r.Port)
	}
	return out, nil
}

// usable picks of each replica and its backups the first whose port is up;
// where all are down there is no replica.
func (f *Forwarding) usable(backed []backedReplica) []pipeline.Replica {
	var out []pipeline.Replica
	for _, choices := range backed {
		if i := slices.IndexFunc(choices, func(r pipeline.Replica) bool {
			return len(choices) == 1 ||
				f.isUp(r.Port)
		}); i >= 0 {
			out = append(out, choices[i])
		}
	}
	return out
}

func uint32Of(b []byte) uint32 {
	var buf [4]byte
	b = canonical(b)
	copy(buf[4-len(b):], b)
	return binary.BigEndian.Uint32(buf[:])
}

// writeSession makes an update of a clone session (9.5.2).
func (f *Forwarding) writeSession(op p4v1.Update_Type, c *p4v1.CloneSessionEntry) error {
	id := c.GetSessionId()
	if id == 0 {
		return invalid("clone session id 0 is not valid")
	}
	if op == p4v1.Update_DELETE {
		if err := f.Pipeline.DeleteSession(id); err != nil {
			return refuse(err)
		}
		delete(f.sessions, id)
		return nil
	}
	_, exists := f.Pipeline.Session(id)
	if err := checkExistence(op, exists); err != nil {
		return within(sessionName(id), err)
	}
	if c.PacketLengthBytes < 0 {
		return within(sessionName(id), invalid("packet_length_bytes %d is negative", c.PacketLengthBytes))
	}
	for _, r := range c.Replicas {
		if len(r.BackupReplicas) > 0 {
			return within(sessionName(id), status.Error(codes.Unimplemented, "backup replicas are for multicast groups"))
		}
	}
	replicas, legacy, err := replicasOf(c.Replicas)
	if err == nil {
		err = refuse(f.Pipeline.SetSession(id, pipeline.Session{
			Replicas: replicas, Truncate: int(c.PacketLengthBytes), ClassOfService: c.ClassOfService,
		}))
	}
	if err != nil {
		return within(sessionName(id), err)
	}
	f.sessions[id] = sessionNote{legacy: legacy}
	return nil
}

func (f *Forwarding) readReplication(out *reply, e *p4v1.PacketReplicationEngineEntry) error {
	switch e := e.GetType().(type) {
	case *p4v1.PacketReplicationEngineEntry_MulticastGroupEntry:
		id := e.MulticastGroupEntry.GetMulticastGroupId()
		if id == 0 {
			f.Pipeline.EachGroup(func(id uint32, replicas []pipeline.Replica) bool {
				out.add(f.groupMessage(id, replicas))
				return true
			})
		} else if replicas, ok := f.Pipeline.Group(id); ok {
			out.add(f.groupMessage(id, replicas))
		} else {
			return status.Errorf(codes.NotFound, "%s does not exist", groupName(id))
		}
	case *p4v1.PacketReplicationEngineEntry_CloneSessionEntry:
		id := e.CloneSessionEntry.GetSessionId()
		if id == 0 {
			f.Pipeline.EachSession(func(id uint32, s pipeline.Session) bool {
				out.add(f.sessionMessage(id, s))
				return true
			})
		} else if s, ok := f.Pipeline.Session(id); ok {
			out.add(f.sessionMessage(id, s))
		} else {
			return status.Errorf(codes.NotFound, "%s does not exist", sessionName(id))
		}
	default:
		return invalid("the query is neither for multicast groups nor for clone sessions")
	}
	return nil
}

func (f *Forwarding) groupMessage(id uint32, replicas []pipeline.Replica) *p4v1.Entity {
	note := f.groups[id]
	for i, choices := range note.withBackups {
		if i == 0 {
			replicas = nil // those in use
		}
		replicas = append(replicas, choices[0])
	}
	messages := replicaMessages(replicas, note.legacy)
	for i, choices := range note.withBackups {
		for _, b := range choices[1:] {
			messages[i].BackupReplicas = append(messages[i].BackupReplicas,
				&p4v1.BackupReplica{Port: canonicalUint32(b.Port), Instance: uint32(b.Instance)})
		}
	}
	return replicationEntity(&p4v1.PacketReplicationEngineEntry{
		Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: &p4v1.MulticastGroupEntry{
			MulticastGroupId: id, Replicas: messages, Metadata: note.metadata,
		}},
	})
}

func (f *Forwarding) sessionMessage(id uint32, s pipeline.Session) *p4v1.Entity {
	return replicationEntity(&p4v1.PacketReplicationEngineEntry{
		Type: &p4v1.PacketReplicationEngineEntry_CloneSessionEntry{CloneSessionEntry: &p4v1.CloneSessionEntry{
			SessionId: id, Replicas: replicaMessages(s.Replicas, f.sessions[id].legacy),
			ClassOfService: s.ClassOfService, PacketLengthBytes: int32(s.Truncate),
		}},
	})
}

func replicationEntity(e *p4v1.PacketReplicationEngineEntry) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: e}}
}

func replicaMessages(replicas []pipeline.Replica, legacy bool) []*p4v1.Replica {
	out := make([]*p4v1.Replica, len(replicas))
	for i, r := range replicas {
		out[i] = &p4v1.Replica{Instance: uint32(r.Instance)}
		if legacy {
			out[i].PortKind = withNumericPort(r.Port)
		} else {
			out[i].PortKind = &p4v1.Replica_Port{Port: canonicalUint32(r.Port)}
		}
	}
	return out
}
