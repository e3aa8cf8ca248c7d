package pipeline

import (
	"math"
	"math/rand/v2"
)

// instance_type values of BMv2's simple_switch.
const (
	instanceNormal       = 0
	instanceIngressClone = 1
	instanceEgressClone  = 2
	instanceRecirculate  = 4
	instanceReplication  = 5
	instanceResubmit     = 6
)

// Bounds on what one frame may cause, so that a program that resubmits or
// clones without end does not stop the switch.
const (
	maxPasses = 64 // through ingress
	maxCopies = 8  // clones of clones
	maxClones = 1024
)

// Worker carries frames through the pipeline, one at a time. It is for one
// goroutine.
type Worker struct {
	// Out collects the frames to send, in order, until Reset.
	Out []Packet

	p     *Pipeline
	sink  Sink
	trace *tracer  // nil but in Trace
	r     []uint64 // the register file
	key   []uint64
	rng   *rand.Rand
	// cells are this worker's shards of the counters.
	cells [][]counterCell

	// The packet:
	frame         []byte
	payload       []byte // behind the parsed headers
	cursor        int
	parserError   uint64
	ingressLength uint64
	length        uint64 // as BMv2's packet length register
	now           int64
	truncateTo    int
	exit          bool
	// What ingress or egress asked for; index + 1 of the digest or list.
	digest       int
	resubmit     int
	recirculate  int
	cloneSession uint32
	cloneList    int
	clones       int // by egress, of this frame

	selectKey []uint64
	scratch   []byte
	saved     []uint64 // preserved fields on their way to a copy
	snaps     []snapshot
	again     []recirculated
	arena     []byte
	fields    [][]byte
}

// snapshot is a packet's state, kept while copies of it are made.
type snapshot struct {
	r          []uint64
	payload    []byte
	length     uint64
	truncateTo int
}

// recirculated is a packet that goes through the pipeline once more.
type recirculated struct {
	frame []byte
	list  int
	saved []uint64
}

// Reset forgets Out and the bytes behind it. Call it once a batch.
func (w *Worker) Reset() {
	w.Out = w.Out[:0]
	w.arena = w.arena[:0]
}

// Process runs one frame that arrived on port. The frame is not kept and not
// changed; it may be reused at once.
func (w *Worker) Process(port uint32, frame []byte) {
	w.now = w.p.clock.Load()
	w.again, w.clones = w.again[:0], 0
	w.clearState()
	w.set(w.p.prog.std.ingressPort, uint64(port))
	w.ingress(port, frame)
	for passes := 1; len(w.again) > 0 && passes < maxPasses; passes++ {
		next := w.again[0]
		w.again = append(w.again[:0], w.again[1:]...)
		if w.trace != nil {
			w.trace.why = "recirculate"
		}
		w.clearState()
		w.restore(next.list, next.saved)
		w.set(w.p.prog.std.instanceType, instanceRecirculate)
		w.ingress(port, next.frame)
	}
}

// set writes a field of standard metadata.
func (w *Worker) set(f stdField, v uint64) { w.r[f.slot] = v & f.mask }

// clearState makes all fields zero and all headers invalid.
func (w *Worker) clearState() {
	clear(w.r[:w.p.prog.stateEnd])
	for _, v := range w.p.prog.metaOn {
		w.r[v] = 1
	}
}

// clearMeta makes all metadata zero.
func (w *Worker) clearMeta() { clear(w.r[:w.p.prog.metaEnd]) }

// ingress runs parser and ingress, and all that follows from them.
func (w *Worker) ingress(port uint32, frame []byte) {
	std := &w.p.prog.std
	w.frame = frame
	w.ingressLength = uint64(len(frame))
	for range maxPasses {
		w.length = uint64(len(frame))
		w.set(std.packetLength, w.length)
		if std.ingressTime.slot != 0 {
			w.set(std.ingressTime, w.p.micros())
		}
		w.truncateTo = math.MaxInt
		w.digest, w.resubmit, w.recirculate, w.cloneSession = 0, 0, 0, 0
		w.parse()
		w.runControl(&w.p.prog.ingress)
		if w.cloneSession != 0 {
			w.cloneIngress(port)
		}
		if w.digest > 0 {
			w.sendDigest(&w.p.prog.digests[w.digest-1])
		}
		if w.resubmit == 0 {
			break
		}
		list := w.resubmit - 1
		w.saved = w.collect(w.saved[:0], list)
		w.clearState()
		w.restore(list, w.saved)
		w.set(std.instanceType, instanceResubmit)
		if w.trace != nil {
			w.trace.why = "resubmit"
		}
	}
	if w.resubmit != 0 {
		return
	}
	if group := w.r[std.mcastGrp.slot]; group != 0 {
		w.set(std.instanceType, instanceReplication)
		replicas := w.p.groups.get(uint32(group))
		if w.trace != nil {
			w.trace.multicast(w, uint32(group), replicas)
		}
		if replicas != nil {
			w.replicate(*replicas, 0)
		}
		return
	}
	out := uint32(w.r[std.egressSpec.slot])
	if out == w.p.lim.DropPort {
		if w.trace != nil {
			w.trace.add(w, Step{Kind: StepDrop, Name: "ingress"})
		}
		return
	}
	w.set(std.instanceType, instanceNormal)
	w.egress(out, 0)
}

// snap keeps the packet's state in the buffer of this depth.
func (w *Worker) snap(depth int) *snapshot {
	for len(w.snaps) <= depth {
		n := w.p.prog.stateEnd
		w.snaps = append(w.snaps, snapshot{r: make([]uint64, n)})
	}
	s := &w.snaps[depth]
	copy(s.r, w.r)
	s.payload, s.length, s.truncateTo = w.payload, w.length, w.truncateTo
	return s
}

func (w *Worker) unsnap(depth int) {
	s := &w.snaps[depth]
	copy(w.r, s.r)
	w.payload, w.length, w.truncateTo = s.payload, s.length, s.truncateTo
	if w.trace != nil {
		w.trace.rebase(w)
	}
}

// replicate sends a copy of the packet through egress for each replica.
func (w *Worker) replicate(replicas []Replica, depth int) {
	if len(replicas) == 0 {
		return
	}
	w.snap(depth)
	for i, c := range replicas {
		if i > 0 {
			w.unsnap(depth)
		}
		w.set(w.p.prog.std.egressRid, uint64(c.Instance))
		w.egress(c.Port, depth+1)
	}
}

// cloneIngress makes the copies of an ingress-to-egress clone: the original
// frame, parsed again, with metadata zero but for the preserved fields.
func (w *Worker) cloneIngress(port uint32) {
	session := w.p.sessions.get(w.cloneSession &^ cloneRequested)
	list := w.cloneList
	if w.trace != nil {
		w.trace.clone(w, session)
	}
	w.cloneSession = 0
	if session == nil {
		return
	}
	std := &w.p.prog.std
	w.snap(0)
	w.saved = w.collect(w.saved[:0], list)
	digest, resubmit := w.digest, w.resubmit
	w.clearState()
	w.set(std.ingressPort, uint64(port))
	w.length, w.truncateTo = uint64(len(w.frame)), math.MaxInt
	w.parse()
	w.clearMeta()
	w.restore(list, w.saved)
	w.set(std.instanceType, instanceIngressClone)
	w.cut(session.Truncate)
	w.replicate(session.Replicas, 1)
	w.unsnap(0)
	w.digest, w.resubmit, w.cloneSession = digest, resubmit, 0
}

// cut shortens a cloned packet to the session's length.
func (w *Worker) cut(limit int) {
	if limit == 0 {
		return
	}
	keep := max(0, limit-(int(w.length)-len(w.payload)))
	if keep < len(w.payload) {
		w.length -= uint64(len(w.payload) - keep)
		w.payload = w.payload[:keep]
	}
}

// collect appends the values of a field list.
func (w *Worker) collect(dst []uint64, list int) []uint64 {
	for i := range w.p.prog.lists[list].fields {
		f := &w.p.prog.lists[list].fields[i]
		dst = append(dst, w.r[f.slot:f.slot+f.words]...)
	}
	return dst
}

// restore puts collected values back.
func (w *Worker) restore(list int, values []uint64) {
	for i := range w.p.prog.lists[list].fields {
		f := &w.p.prog.lists[list].fields[i]
		copy(w.r[f.slot:f.slot+f.words], values)
		values = values[f.words:]
	}
}

// egress runs egress and deparser for one copy on its port.
func (w *Worker) egress(port uint32, depth int) {
	std := &w.p.prog.std
	w.set(std.egressPort, uint64(port))
	w.set(std.egressSpec, uint64(w.p.lim.DropPort)+1)
	w.set(std.packetLength, w.length)
	if std.egressTime.slot|std.enqTime.slot != 0 {
		now := w.p.micros()
		w.set(std.egressTime, now)
		w.set(std.enqTime, now)
	}
	w.cloneSession, w.recirculate = 0, 0
	w.runControl(&w.p.prog.egress)
	if w.cloneSession == 0 {
		w.leave(port)
		return
	}
	session := w.p.sessions.get(w.cloneSession &^ cloneRequested)
	list := w.cloneList
	if w.clones++; depth >= maxCopies || w.clones > maxClones {
		session = nil
	}
	if w.trace != nil {
		w.trace.clone(w, session)
	}
	w.cloneSession = 0
	if session == nil {
		w.leave(port)
		return
	}
	w.snap(depth)
	w.leave(port)
	w.unsnap(depth)
	w.saved = w.collect(w.saved[:0], list)
	w.clearMeta()
	w.restore(list, w.saved)
	w.set(std.instanceType, instanceEgressClone)
	w.cut(session.Truncate)
	w.replicate(session.Replicas, depth+1)
}

// leave drops the packet, deparses it for its port, or recirculates it.
func (w *Worker) leave(port uint32) {
	if uint32(w.r[w.p.prog.std.egressSpec.slot]) == w.p.lim.DropPort {
		if w.trace != nil {
			w.trace.add(w, Step{Kind: StepDrop, Name: "egress"})
		}
		return
	}
	data := w.deparse()
	if w.trace != nil {
		w.trace.leaves(w, port, data)
	}
	if w.recirculate != 0 {
		list := w.recirculate - 1
		w.recirculate = 0
		w.again = append(w.again, recirculated{data, list, w.collect(nil, list)})
		return
	}
	w.Out = append(w.Out, Packet{Port: port, Data: data})
}

// sendDigest hands the digest's fields to the sink.
func (w *Worker) sendDigest(d *fieldList) {
	w.fields = w.fields[:0]
	size := 0
	for i := range d.fields {
		size += (d.fields[i].bits + 7) / 8
	}
	buf := w.scratchBytes(0, size)
	for i := range d.fields {
		f := &d.fields[i]
		n := (f.bits + 7) / 8
		for j := range n {
			buf[n-1-j] = byte(w.r[f.slot+j/8] >> (8 * (j % 8)))
		}
		w.fields = append(w.fields, buf[:n:n])
		buf = buf[n:]
	}
	if w.trace != nil {
		w.trace.digest(w, d)
	}
	if w.sink != nil {
		w.sink.Digest(uint32(d.id), d.name, w.fields)
	}
}

// room reserves n bytes of output. What was reserved before stays where it
// is, also when a new arena is needed.
func (w *Worker) room(n int) []byte {
	if len(w.arena)+n > cap(w.arena) {
		w.arena = make([]byte, 0, max(2*cap(w.arena), n, 64<<10))
	}
	at := len(w.arena)
	w.arena = w.arena[:at+n]
	return w.arena[at : at+n : at+n]
}

// giveBack returns the last n bytes of what room reserved last.
func (w *Worker) giveBack(n int) { w.arena = w.arena[:len(w.arena)-n] }

// scratchBytes is the scratch space up to from+n bytes; what is below from
// keeps its content.
func (w *Worker) scratchBytes(from, n int) []byte {
	if need := from + n; need > len(w.scratch) {
		grown := make([]byte, max(need, 2*len(w.scratch), 256))
		copy(grown, w.scratch[:min(from, len(w.scratch))])
		w.scratch = grown
	}
	return w.scratch[:from+n]
}

// count adds the packet to a counter's cell; an index outside the counter
// counts nothing.
func (w *Worker) count(counter int, index uint64) {
	cells := w.cells[counter]
	if index < uint64(len(cells)) {
		cells[index].add(w.ingressLength)
	}
}
