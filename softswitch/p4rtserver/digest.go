package p4rtserver

import (
	"fmt"
	"sync"
	"time"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// defaultListSize bounds a digest list where the client sets no size.
	defaultListSize = 1024
	// maxListSize bounds it whatever the client says: a list must stay well
	// below the 4 MB that gRPC clients accept.
	maxListSize = 4096
	// maxKnown bounds the digests that are remembered until their
	// acknowledgement, so that a flood of them does not eat the memory.
	maxKnown = 1 << 18
	// noTimer is how far away the next digest timeout is when none waits.
	noTimer = time.Hour
)

// digest gathers the messages of one digest instance into lists (9.8). Its
// methods are called from the packet path; none waits for a client.
type digest struct {
	id     uint32
	name   string
	widths []int // of the members, in bits
	render func(members [][]byte) *p4v1.P4Data

	mu      sync.Mutex
	config  *p4v1.DigestEntry_Config // nil: no digests are sent
	waiting []string                 // the list being gathered
	since   time.Time                // when its first message came
	known   map[string]uint64        // message to the list it was sent in; 0: it waits
	sent    map[uint64]sentList      // lists not acknowledged
	lastID  uint64
	scratch []byte
}

type sentList struct {
	at       time.Time
	messages []string
}

func (f *Forwarding) bindDigests(info *p4configv1.P4Info) error {
	names := map[string][]int{}
	for _, d := range f.Pipeline.Program().Digests() {
		names[d.Name] = d.Bits
	}
	for _, di := range info.Digests {
		name := di.GetPreamble().GetName()
		widths, ok := names[name]
		if !ok {
			return fmt.Errorf("digest %s is not in the JSON", name)
		}
		d := &digest{
			id: di.GetPreamble().GetId(), name: name, widths: widths,
			known: map[string]uint64{}, sent: map[uint64]sentList{},
		}
		var err error
		if d.render, err = renderer(info.GetTypeInfo(), di.TypeSpec, widths); err != nil {
			return fmt.Errorf("digest %s: %w", name, err)
		}
		f.digests = append(f.digests, d)
		f.byName[name] = d
	}
	return nil
}

func (f *Forwarding) digest(id uint32) *digest {
	for _, d := range f.digests {
		if d.id == id {
			return d
		}
	}
	return nil
}

func (f *Forwarding) Digest(_ uint32, name string, fields [][]byte) {
	d := f.byName[name]
	if d == nil || f.server.Forwarding() != f {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.config == nil || len(fields) != len(d.widths) {
		return
	}
	if len(d.known) >= maxKnown {
		f.server.counters.digestsDropped.Add(1)
		return
	}
	if !d.gather(fields, time.Now()) {
		return
	}
	switch {
	case d.config.MaxTimeoutNs == 0 || len(d.waiting) >= d.listSize():
		d.flush(f.server)
	case len(d.waiting) == 1:
		select {
		case f.server.wake <- struct{}{}:
		default:
		}
	}
}

// gather adds a message to the list unless it waits or was sent and is neither
// acknowledged nor timed out.
func (d *digest) gather(fields [][]byte, now time.Time) bool {
	d.scratch = d.scratch[:0]
	for _, value := range fields {
		d.scratch = append(d.scratch, value...)
	}
	if list, ok := d.known[string(d.scratch)]; ok {
		if list == 0 || now.Sub(d.sent[list].at) < time.Duration(d.config.AckTimeoutNs) {
			return false
		}
		d.forget(list)
	}
	message := string(d.scratch)
	d.known[message] = 0
	if len(d.waiting) == 0 {
		d.since = now
	}
	d.waiting = append(d.waiting, message)
	return true
}

func (d *digest) listSize() int {
	if d.config.MaxListSize == 0 {
		return defaultListSize
	}
	return min(int(d.config.MaxListSize), maxListSize)
}

// flush sends the list. If no primary client takes it, it is dropped and not
// remembered, so that the data plane reports it again.
func (d *digest) flush(s *Server) {
	list := &p4v1.DigestList{DigestId: d.id, ListId: d.lastID + 1, Timestamp: time.Now().UnixNano()}
	members := make([][]byte, len(d.widths))
	for _, message := range d.waiting {
		rest := []byte(message)
		for i, width := range d.widths {
			n := (width + 7) / 8
			members[i], rest = rest[:n], rest[n:]
		}
		list.Data = append(list.Data, d.render(members))
	}
	messages := d.waiting
	d.waiting = nil
	taken := s.arbiter.toPrimaries(&p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Digest{Digest: list}},
		messageSize*len(messages))
	if taken {
		d.lastID++
		s.counters.digestLists.Add(1)
		s.counters.digests.Add(uint64(len(messages)))
	} else {
		s.counters.digestsDropped.Add(uint64(len(messages)))
	}
	for _, message := range messages {
		if taken && d.config.AckTimeoutNs > 0 {
			d.known[message] = d.lastID
		} else {
			delete(d.known, message)
		}
	}
	if taken && d.config.AckTimeoutNs > 0 {
		d.sent[d.lastID] = sentList{at: time.Now(), messages: messages}
	}
}

// forget drops a sent list from the memory of what the client has.
func (d *digest) forget(list uint64) {
	for _, message := range d.sent[list].messages {
		if d.known[message] == list {
			delete(d.known, message)
		}
	}
	delete(d.sent, list)
}

// flushDigests sends the lists whose timeout is over and returns when the next
// one is due.
func (s *Server) flushDigests() time.Duration {
	f := s.Forwarding()
	if f == nil {
		return noTimer
	}
	next, now := noTimer, time.Now()
	for _, d := range f.digests {
		d.mu.Lock()
		if d.config != nil && len(d.waiting) > 0 {
			due := time.Duration(d.config.MaxTimeoutNs) - now.Sub(d.since)
			if due <= 0 {
				d.flush(s)
			} else {
				next = min(next, due)
			}
		}
		d.mu.Unlock()
	}
	return next
}

// forgetOldDigests forgets sent lists whose acknowledgement is overdue.
func (f *Forwarding) forgetOldDigests(now time.Time) {
	for _, d := range f.digests {
		d.mu.Lock()
		for list, sent := range d.sent {
			if now.Sub(sent.at) >= time.Duration(d.config.GetAckTimeoutNs()) {
				d.forget(list)
			}
		}
		d.mu.Unlock()
	}
}

// forgetSentDigests forgets all sent lists: a new client does not have them.
func (f *Forwarding) forgetSentDigests() {
	for _, d := range f.digests {
		d.mu.Lock()
		for list := range d.sent {
			d.forget(list)
		}
		d.mu.Unlock()
	}
}

// digestAck handles a client's acknowledgement (9.8, 16.6). A list that is not
// known (any more) is no error: its timeout may just have passed.
func (s *Server) digestAck(st *stream, ack *p4v1.DigestListAck) error {
	if err := s.requirePrimary(st, "digest acknowledgement"); err != nil {
		return err
	}
	f := s.Forwarding()
	if f == nil {
		return errNoPipeline
	}
	d := f.digest(ack.GetDigestId())
	if d == nil {
		return invalid("no digest has id %d", ack.GetDigestId())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(ack.ListId)
	return nil
}

// writeDigest configures a digest (9.8).
func (f *Forwarding) writeDigest(op p4v1.Update_Type, e *p4v1.DigestEntry) error {
	d := f.digest(e.GetDigestId())
	if d == nil {
		return invalid("no digest has id %d", e.GetDigestId())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if op == p4v1.Update_DELETE {
		if d.config == nil {
			return status.Errorf(codes.NotFound, "digest %s is not configured", d.name)
		}
		d.config, d.waiting = nil, nil
		clear(d.known)
		clear(d.sent)
		return nil
	}
	if err := checkExistence(op, d.config != nil); err != nil {
		return within("configuration of digest "+d.name, err)
	}
	c := e.GetConfig()
	if c == nil {
		return invalid("digest %s: the entry has no config", d.name)
	}
	if c.MaxTimeoutNs < 0 || c.MaxListSize < 0 || c.AckTimeoutNs < 0 {
		return invalid("digest %s: max_timeout_ns, max_list_size and ack_timeout_ns must not be negative", d.name)
	}
	d.config = c
	select {
	case f.server.wake <- struct{}{}: // what waits may be due by the new timeout
	default:
	}
	return nil
}

func (f *Forwarding) readDigests(out *reply, q *p4v1.DigestEntry) error {
	if q.GetDigestId() != 0 && f.digest(q.DigestId) == nil {
		return invalid("no digest has id %d", q.DigestId)
	}
	for _, d := range f.digests {
		if q.GetDigestId() != 0 && q.DigestId != d.id {
			continue
		}
		d.mu.Lock()
		config := d.config
		d.mu.Unlock()
		if config != nil {
			out.add(&p4v1.Entity{Entity: &p4v1.Entity_DigestEntry{DigestEntry: &p4v1.DigestEntry{DigestId: d.id,
				Config: config}}})
		}
	}
	return nil
}
