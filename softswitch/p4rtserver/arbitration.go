package p4rtserver

import (
	"cmp"
	"slices"
	"sync"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// maxStreams bounds the clients of one role, but for the one that is to be primary;
// allStreams bounds those of all roles and of none. There the latest always has room.
const (
	maxStreams = 64
	allStreams = 128
)

// maxRoles bounds the roles, whose highest election ids are never forgotten.
const maxRoles = 1024

// electionID is a 128-bit election id; unset is below every id and never wins.
type electionID struct {
	set       bool
	high, low uint64
}

func electionOf(id *p4v1.Uint128) electionID {
	if id == nil {
		return electionID{}
	}
	return electionID{set: true, high: id.High, low: id.Low}
}

func (e electionID) compare(o electionID) int {
	switch {
	case e.set != o.set && e.set:
		return 1
	case e.set != o.set:
		return -1
	}
	return cmp.Or(cmp.Compare(e.high, o.high), cmp.Compare(e.low, o.low))
}

func (e electionID) proto() *p4v1.Uint128 {
	if !e.set {
		return nil
	}
	return &p4v1.Uint128{High: e.high, Low: e.low}
}

// role is the arbitration of one role. The default role is "".
type role struct {
	message *p4v1.Role // as the clients name it; nil for the default role
	highest electionID // ever seen from a primary; unset before the first
	streams []*stream
	primary *stream // nil while there is none
}

// setPrimary makes a stream the role's primary, and tells the connections if that is the
// default role.
func (r *role) setPrimary(st *stream) {
	before := r.primary
	r.primary = st
	if before == st || r.message != nil {
		return
	}
	if before != nil && before.conn != nil {
		before.conn.SetPrimary(false)
	}
	if st != nil && st.conn != nil {
		st.conn.SetPrimary(true)
	}
}

// arbiter elects the primary client of each role (5).
type arbiter struct {
	deviceID    uint64
	promoteNext bool
	// turn is held over a whole change, notifications included; it orders
	// them. mu guards the fields and is held for moments only.
	turn  sync.Mutex
	mu    sync.Mutex
	roles map[string]*role
	// streams are all, in the order in which they came.
	streams []*stream
	// refused and down are the switch's ports, as the clients were told last; the message
	// is nil before the first time.
	refused, down map[uint32]string
	portsMessage  *p4v1.StreamMessageResponse
}

// update handles a client's arbitration message. An error ends the stream.
// drain waits for the Writes that have started.
func (a *arbiter) update(st *stream, m *p4v1.MasterArbitrationUpdate, drain func()) error {
	a.turn.Lock()
	defer a.turn.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if st.gone {
		return status.Error(codes.ResourceExhausted, "the stream is ending")
	}
	isNew := st.role == nil
	r, err := a.admit(st, m)
	if err != nil {
		return err
	}
	if isNew {
		defer a.tellPorts(st) // after its first answer
	}
	id := electionOf(m.ElectionId)
	st.election = id
	switch {
	case id.set && id.compare(r.highest) >= 0:
		before := r.primary
		r.highest = id
		r.setPrimary(st)
		for _, other := range r.streams {
			if other != st {
				a.notify(r, other)
			}
		}
		if before != nil {
			a.mu.Unlock() // a Write that runs may be about to check
			drain()
			a.mu.Lock()
		}
		a.notify(r, st)
	case r.primary == st: // it downgraded itself
		a.resign(r)
	default:
		a.notify(r, st)
	}
	return nil
}

// admit checks an arbitration message and puts a new stream into its role.
func (a *arbiter) admit(st *stream, m *p4v1.MasterArbitrationUpdate) (*role, error) {
	name := m.GetRole().GetName()
	if st.role != nil {
		if m.DeviceId != a.deviceID {
			return nil, status.Errorf(codes.FailedPrecondition, "arbitration: the stream belongs to device %d, not %d",
				a.deviceID, m.DeviceId)
		}
		if name != st.role.message.GetName() {
			return nil, status.Errorf(codes.FailedPrecondition, "arbitration: the stream belongs to role %q, not %q",
				st.role.message.GetName(), name)
		}
	} else if m.DeviceId != a.deviceID {
		return nil, status.Errorf(codes.NotFound, "arbitration: device id %d: this switch is device %d", m.DeviceId,
			a.deviceID)
	}
	if m.GetRole().GetConfig() != nil {
		return nil, status.Error(codes.InvalidArgument,
			"arbitration: role.config is set; this switch knows no role configurations, each role may do everything")
	}
	if numericRole(m.GetRole()) != 0 {
		return nil, status.Error(codes.InvalidArgument, "arbitration: role.id is deprecated, use role.name")
	}
	r := a.roles[name]
	if r == nil && len(a.roles) >= maxRoles && name != "" {
		return nil, status.Errorf(codes.ResourceExhausted, "arbitration: there were clients of %d roles already", maxRoles)
	}
	if r == nil {
		r = &role{}
		if name != "" {
			r.message = &p4v1.Role{Name: name}
		}
	}
	if id := electionOf(m.ElectionId); id.set {
		for _, other := range r.streams {
			if other != st && other.election == id {
				return nil, status.Errorf(codes.InvalidArgument, "arbitration: election id %d:%d is in use by another client",
					id.high, id.low)
			}
		}
	}
	if st.role == nil {
		id := electionOf(m.ElectionId)
		if wins := id.set && id.compare(r.highest) >= 0; len(r.streams) >= maxStreams && !(wins && a.evict(r.streams)) {
			return nil, status.Errorf(codes.ResourceExhausted, "arbitration: %d clients of this role are connected already",
				maxStreams)
		}
		st.role = r
		if r.message == nil {
			st.most.Store(queueBytes)
		}
		r.streams = append(r.streams, st)
		a.roles[name] = r
	}
	return r, nil
}

// leave takes a stream that ended out of its role.
func (a *arbiter) leave(st *stream) {
	a.turn.Lock()
	defer a.turn.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(st)
}

// forget takes a stream out of the lists.
func (a *arbiter) forget(st *stream) {
	st.gone = true
	is := func(other *stream) bool { return other == st }
	a.streams = slices.DeleteFunc(slices.Clone(a.streams), is)
	r := st.role
	if r == nil {
		return
	}
	r.streams = slices.DeleteFunc(slices.Clone(r.streams), is)
	if r.primary == st {
		a.resign(r)
	}
}

// arrive counts a new stream, and reports whether another one ended for it.
func (a *arbiter) arrive(st *stream) (evicted bool) {
	a.turn.Lock()
	defer a.turn.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.streams) >= allStreams {
		evicted = a.evict(a.streams)
	}
	a.streams = append(a.streams, st)
	return evicted
}

// evict ends one of some streams, and reports whether it did: the oldest that did not
// arbitrate, or else the oldest that is not its role's primary, or else, of all but the
// default role's primary, the oldest.
func (a *arbiter) evict(of []*stream) bool {
	for _, may := range []func(*stream) bool{
		func(st *stream) bool { return st.role == nil },
		func(st *stream) bool { return st.role.primary != st },
		func(st *stream) bool { return st.role.message != nil },
	} {
		if i := slices.IndexFunc(of, may); i >= 0 {
			st := of[i]
			a.forget(st)
			st.stop(status.Error(codes.ResourceExhausted, "there are too many streams: this one made room for another"))
			return true
		}
	}
	return false
}

// resign leaves the role without a primary, or with the next one where that is
// wanted, and tells all clients. The highest election id falls with it then,
// so that the one that left can come back.
func (a *arbiter) resign(r *role) {
	r.setPrimary(nil)
	if a.promoteNext {
		var next *stream
		r.highest = electionID{}
		for _, st := range r.streams {
			if st.election.set && st.election.compare(r.highest) > 0 {
				next, r.highest = st, st.election
			}
		}
		r.setPrimary(next)
	}
	for _, st := range r.streams {
		a.notify(r, st)
	}
}

// notify sends a client the state of its role (5.4).
func (a *arbiter) notify(r *role, st *stream) {
	code, message := codes.OK, "you are the primary"
	switch {
	case r.primary == nil:
		code, message = codes.NotFound, "there is no primary"
	case r.primary != st:
		code, message = codes.AlreadyExists, "another client is the primary"
	}
	m := &p4v1.MasterArbitrationUpdate{
		DeviceId: a.deviceID, ElectionId: r.highest.proto(),
		Status: &rpcstatus.Status{Code: int32(code), Message: message},
	}
	if r.message != nil {
		m.Role = proto.Clone(r.message).(*p4v1.Role)
	}
	st.mustSend(&p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Arbitration{Arbitration: m}})
}

// checkPrimary reports whether a unary request comes from its role's primary.
func (a *arbiter) checkPrimary(name string, election *p4v1.Uint128) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.roles[name]
	if r == nil && name != "" {
		return status.Errorf(codes.NotFound, "role %q: no client ever took it", name)
	}
	if r == nil || r.primary == nil {
		return status.Error(codes.PermissionDenied, "there is no primary: arbitrate on the stream channel first")
	}
	if id := electionOf(election); !id.set || id != r.primary.election {
		return status.Error(codes.PermissionDenied, "the election id is not the primary's")
	}
	return nil
}

// isPrimary reports whether the stream belongs to a primary client.
func (a *arbiter) isPrimary(st *stream) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return st.role != nil && st.role.primary == st
}

// toPrimaries offers a message of about size bytes to the primary of each role
// and reports whether one took it.
func (a *arbiter) toPrimaries(m *p4v1.StreamMessageResponse, size int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := false
	for _, r := range a.roles {
		if r.primary != nil && r.primary.offer(m, size) {
			taken = true
		}
	}
	return taken
}
