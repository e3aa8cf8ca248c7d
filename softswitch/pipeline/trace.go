package pipeline

import (
	"fmt"
	"slices"
	"strings"
)

// Trace runs one frame as Process does, with all its effects, and gives an
// account of it. The account comes from the same compiled program: each state,
// table and action is run by what runs it for Process, conditions by what their
// tests were made of, and what changed is found by comparing the registers before
// and after. A worker that does not trace pays a comparison with nil for parser,
// ingress, egress and deparser.
func (w *Worker) Trace(port uint32, frame []byte) *Account {
	a := &Account{Port: port, Frame: slices.Clone(frame)}
	first := len(w.Out)
	w.trace = &tracer{account: a, why: "arrives", last: make([]uint64, w.p.prog.stateEnd)}
	defer func() { w.trace = nil }()
	w.Process(port, frame)
	for _, o := range w.Out[first:] {
		a.Out = append(a.Out, Sent{o.Port, slices.Clone(o.Data)})
	}
	return a
}

// tracer writes an account.
type tracer struct {
	account *Account
	why     string   // the next packet comes to the parser
	last    []uint64 // the registers at the end of the last step
}

// add ends a step: what has changed since the last one is its doing.
func (t *tracer) add(w *Worker, s Step) {
	s.Changes = t.changes(w)
	t.account.Steps = append(t.account.Steps, s)
}

// begin starts a step in which there may be notes; what it returns ends it.
func (t *tracer) begin(s Step) (end func(w *Worker)) {
	i := len(t.account.Steps)
	t.account.Steps = append(t.account.Steps, s)
	return func(w *Worker) { t.account.Steps[i].Changes = t.changes(w) }
}

// note adds a step that changes nothing.
func (t *tracer) note(name, text string) {
	t.account.Steps = append(t.account.Steps, Step{Kind: StepNote, Name: name, Source: text})
}

// changes compares the registers with those of the last step.
func (t *tracer) changes(w *Worker) []Change {
	var out []Change
	for _, h := range w.p.prog.headers {
		was, is := t.last[h.valid] != 0, w.r[h.valid] != 0
		if was != is {
			out = append(out, Change{h.name, validity(was), validity(is)})
		}
		if !is {
			continue
		}
		for i := range h.fields {
			f := &h.fields[i]
			switch end := f.slot + f.words; {
			case !was:
				out = append(out, Change{h.name + "." + f.name, "", f.text(w.r)})
			case !slices.Equal(t.last[f.slot:end], w.r[f.slot:end]):
				out = append(out, Change{h.name + "." + f.name, f.text(t.last), f.text(w.r)})
			}
		}
	}
	t.rebase(w)
	return out
}

// rebase takes the registers as they are now for those of the last step.
func (t *tracer) rebase(w *Worker) { copy(t.last, w.r) }

func validity(yes bool) string {
	if yes {
		return valid
	}
	return invalid
}

// text is the field's value in the register file r.
func (f *field) text(r []uint64) string {
	if f.varbit {
		return fmt.Sprintf("0x%x", varbitBytes(f, r))
	}
	return hexValue(appendBytes(nil, r[f.slot:f.slot+f.words]), f.bits)
}

func varbitBytes(f *field, r []uint64) []byte {
	out := make([]byte, r[f.slot]/8)
	for i := range out {
		out[i] = byte(r[f.slot+1+i/8] >> (56 - 8*(i%8)))
	}
	return out
}

// packet begins the account of what comes to the parser.
func (t *tracer) packet(w *Worker) {
	clear(t.last)
	for _, v := range w.p.prog.metaOn {
		t.last[v] = 1
	}
	port := uint32(w.r[w.p.prog.std.ingressPort.slot])
	t.add(w, Step{Kind: StepPacket, Name: t.why, Port: &port, Length: len(w.frame)})
}

// traceStates is the loop of parse with an account. It returns the state to go
// on with: none.
func (w *Worker) traceStates(s int) int {
	w.trace.packet(w)
	p := &w.p.prog.parser
	for steps := 0; s >= 0; steps++ {
		if steps == maxParserSteps {
			w.fail(errParserTimeout)
			break
		}
		st := &p.states[s]
		if !w.parserOps(st.ops) {
			w.trace.add(w, Step{Kind: StepState, Name: st.name, Result: w.errorName()})
			break
		}
		key := st.keyText(w)
		next, ok := w.selectNext(st)
		step := Step{Kind: StepState, Name: st.name, Key: key, Result: "accept"}
		switch {
		case !ok:
			step.Result = w.errorName()
		case next >= 0:
			step.Result = p.states[next].name
		}
		w.trace.add(w, step)
		if !ok {
			break
		}
		s = next
	}
	return -1
}

// keyText is what a state selects by, a part at a time.
func (st *parserState) keyText(w *Worker) []Field {
	if st.cases == nil && st.wide == nil {
		return nil
	}
	saved := w.parserError
	defer func() { w.parserError = saved }()
	var out []Field
	for i := range st.key {
		k := &st.key[i]
		v, ok := w.keyValue(k)
		if !ok {
			return nil
		}
		out = append(out, Field{k.name(&w.p.prog.parser), hexValue(appendBytes(nil, []uint64{v}), k.bits)})
	}
	return out
}

// name is what the part is of.
func (k *keyPart) name(p *parser) string {
	if k.look {
		return fmt.Sprintf("lookahead(%d)", k.off)
	}
	if name := p.fields[k.slot]; k.load == nil && name != "" {
		return name
	}
	return "key"
}

func (w *Worker) errorName() string {
	if name, ok := w.p.prog.parser.errors[w.parserError]; ok {
		return name
	}
	return fmt.Sprintf("error %d", w.parserError)
}

// traceNodes does what runControl does, node by node and with an account.
func (w *Worker) traceNodes(c *control) {
	if std := &w.p.prog.std; c == &w.p.prog.egress {
		port := uint32(w.r[std.egressPort.slot])
		w.trace.add(w, Step{Kind: StepEgress, Port: &port, Instance: uint32(w.r[std.egressRid.slot])})
	} else {
		w.trace.add(w, Step{Kind: StepParsed, Result: w.errorName()})
	}
	for n := c.start; n >= 0 && !w.exit; {
		nd, note := &c.nodes[n], &c.notes[n]
		switch {
		case nd.table >= 0:
			table := w.p.tables[nd.table]
			end := w.trace.begin(table.step(w))
			n = table.apply(w)
			end(w)
		case nd.cond != nil:
			holds := nd.cond(w)
			if n = nd.other; holds {
				n = nd.next
			}
			w.trace.add(w, Step{Kind: StepCondition, Name: note.source, Result: fmt.Sprint(holds)})
		default:
			end := w.trace.begin(Step{Kind: StepAction, Name: note.action, Source: note.source})
			w.run(nd.ops)
			n = nd.next
			end(w)
		}
	}
}

// step says what apply will do. Looking an entry up changes nothing.
func (t *Table) step(w *Worker) Step {
	s := Step{Kind: StepTable, Name: t.spec.name, Result: "miss"}
	var e *entry
	if t.spec.match != matchNone {
		for i := range t.spec.keys {
			k := &t.spec.keys[i]
			value := make([]uint64, k.words())
			for j := range value {
				value[j] = w.r[k.slot+j] & k.mask[j]
			}
			s.Key = append(s.Key, Field{k.Name, hexValue(appendBytes(nil, value), k.Bits)})
		}
		key := w.key[:t.spec.words]
		t.spec.packKey(w.r, key)
		e = t.m.lookup(key)
	}
	if e == nil {
		if d := t.def.Load(); d != nil {
			s.Action, s.Params = d.act.name, d.act.paramTexts(d.data(0))
		}
		return s
	}
	s.Result, s.Entry = "hit", t.matched(e)
	if e.act != nil {
		s.Action, s.Params = e.act.name, e.act.paramTexts(e.data(t.spec.dataAt))
	}
	return s
}

// picked completes the step of a table whose entry left the choice to its
// action profile.
func (t *tracer) picked(do *memberAction) {
	s := &t.account.Steps[len(t.account.Steps)-1]
	s.Action, s.Params = do.name, do.paramTexts(do.data)
}

func (t *Table) matched(e *entry) *Matched {
	entry := t.decode(e)
	m := &Matched{Entry: &entry, Priority: entry.Priority, Member: entry.Member, Group: entry.Group,
		Metadata: entry.Metadata}
	for i := range entry.Match {
		k := t.spec.keys[i].KeyField
		m.Match = append(m.Match, Field{k.Name, matchText(k, &entry.Match[i])})
	}
	return m
}

func (a *action) paramTexts(data []uint64) []Field {
	var out []Field
	for i, v := range decodeParams(a, data) {
		out = append(out, Field{a.params[i].Name, hexValue(v, a.params[i].Bits)})
	}
	return out
}

// nodeNote is what an account says of a node.
type nodeNote struct {
	action string
	source string
}

// sources joins the places of the P4 source that an action's calls stand for.
func (c *compiler) sources(actionID int) string {
	var parts []string
	for i := range c.spec.Actions {
		a := &c.spec.Actions[i]
		if a.ID != actionID {
			continue
		}
		for j := range a.Primitives {
			if text := a.Primitives[j].Source.Fragment; text != "" && !slices.Contains(parts, text) {
				parts = append(parts, text)
			}
		}
	}
	return strings.Join(parts, "; ")
}

// multicast accounts for a packet that is sent to a group.
func (t *tracer) multicast(w *Worker, group uint32, replicas *[]Replica) {
	s := Step{Kind: StepReplicate, Name: "multicast", Group: group}
	if replicas == nil {
		s.Result = "no such group"
	} else {
		s.Copies = len(*replicas)
	}
	t.add(w, s)
}

// clone accounts for a copy by a clone session; the session is nil if there is
// none or too many copies are copies of copies.
func (t *tracer) clone(w *Worker, session *Session) {
	s := Step{Kind: StepReplicate, Name: "clone", Group: w.cloneSession &^ cloneRequested}
	if session == nil {
		s.Result = "no such session"
	} else {
		s.Copies = len(session.Replicas)
	}
	t.why = "clone"
	t.add(w, s)
}

// leaves accounts for a packet that was deparsed.
func (t *tracer) leaves(w *Worker, port uint32, data []byte) {
	s := Step{Kind: StepSend, Port: &port, Data: slices.Clone(data)}
	if w.recirculate != 0 {
		s.Kind = StepRecirculate
	}
	t.add(w, s)
}

// digest accounts for the digest whose members are in w.fields.
func (t *tracer) digest(w *Worker, d *fieldList) {
	s := Step{Kind: StepDigest, Name: d.name}
	for i := range d.fields {
		f := &d.fields[i]
		s.Params = append(s.Params, Field{f.header.name + "." + f.name, hexValue(w.fields[i], f.bits)})
	}
	t.add(w, s)
}
