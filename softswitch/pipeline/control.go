package pipeline

import (
	"cmp"
	"fmt"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// control is the graph of ingress or egress, without cycles, and the
// instructions that it becomes.
type control struct {
	start int // -1 if empty
	nodes []flowNode
	notes []nodeNote // of each node

	first int32 // instruction
	code  []instruction
	at    []int32 // the first instruction of each node
	conds []boolFunc
}

// flowNode is a table, an action without a table, or a condition.
type flowNode struct {
	name  string
	table int // index, or -1
	cond  boolFunc
	when  *boolNode // what cond was made of
	ops   []op      // where there is neither table nor condition
	next  int       // after ops, or if cond holds
	other int       // if it does not
}

// runControl follows the instructions until their end or an exit.
func (w *Worker) runControl(c *control) {
	w.exit = false
	if w.trace != nil {
		w.traceNodes(c)
		return
	}
	for at := follow(c.code, w.r, c.first); at >= 0 && !w.exit; at = follow(c.code, w.r, at) {
		switch in := &c.code[at]; in.code {
		case doTable:
			if at = int32(w.p.tables[c.nodes[in.arg].table].apply(w)); at >= 0 {
				at = c.at[at]
			}
		case doOps:
			w.run(c.nodes[in.arg].ops)
			at = in.yes
		default:
			if at = in.no; c.conds[in.arg](w) {
				at = in.yes
			}
		}
	}
}

func (c *compiler) compileControls() error {
	empty := control{start: -1, first: -1}
	c.prog.ingress, c.prog.egress = empty, empty
	tables := map[string]bool{}
	for i := range c.spec.Pipelines {
		s := &c.spec.Pipelines[i]
		var ctl *control
		switch s.Name {
		case "ingress":
			ctl = &c.prog.ingress
		case "egress":
			ctl = &c.prog.egress
		default:
			return fmt.Errorf("pipelines: %q is neither ingress nor egress: %w", s.Name, ErrUnsupported)
		}
		if ctl.nodes != nil {
			return fmt.Errorf("pipelines: %q is there twice", s.Name)
		}
		for _, t := range s.Tables {
			if tables[t.Name] {
				return fmt.Errorf("pipelines: %q: table %q is there twice", s.Name, t.Name)
			}
			tables[t.Name] = true
		}
		if err := c.compileControl(ctl, s); err != nil {
			return fmt.Errorf("pipelines: %q: %w", s.Name, err)
		}
	}
	return nil
}

// flow resolves the names of one pipeline's nodes.
type flow map[string]int

func (f flow) node(name *string) (int, error) {
	if name == nil {
		return -1, nil
	}
	if n, ok := f[*name]; ok {
		return n, nil
	}
	return -1, fmt.Errorf("no node %q", *name)
}

func (c *compiler) compileControl(ctl *control, s *bmv2json.Pipeline) error {
	f := flow{}
	add := func(name string) error {
		if _, ok := f[name]; ok {
			return fmt.Errorf("node %q is there twice", name)
		}
		f[name] = len(f)
		return nil
	}
	for i := range s.Tables {
		if err := add(s.Tables[i].Name); err != nil {
			return err
		}
	}
	for i := range s.Conditionals {
		if err := add(s.Conditionals[i].Name); err != nil {
			return err
		}
	}
	for i := range s.ActionCalls {
		if err := add(s.ActionCalls[i].Name); err != nil {
			return err
		}
	}
	edges := make([][]int, len(f))
	for i := range s.Tables {
		n, err := c.tableNode(f, &s.Tables[i], &edges[len(ctl.nodes)])
		if err != nil {
			return fmt.Errorf("table %q: %w", s.Tables[i].Name, err)
		}
		ctl.add(*n, c.tableNote(n))
	}
	for i := range s.Conditionals {
		n, err := c.conditionNode(f, &s.Conditionals[i])
		if err != nil {
			return fmt.Errorf("conditional %q: %w", s.Conditionals[i].Name, err)
		}
		edges[len(ctl.nodes)] = []int{n.next, n.other}
		ctl.add(*n, nodeNote{source: cmp.Or(s.Conditionals[i].Source.Fragment, n.name)})
	}
	for i := range s.ActionCalls {
		call := &s.ActionCalls[i]
		next, err := f.node(call.Next)
		act := c.actionByID[call.ActionID]
		if err != nil || act == nil || len(act.params) > 0 {
			return fmt.Errorf("action call %q: no action without parameters with id %d, or: %w", call.Name, call.ActionID,
				orUnsupported(err))
		}
		edges[len(ctl.nodes)] = []int{next}
		ctl.add(flowNode{name: call.Name, table: -1, ops: act.ops, next: next}, nodeNote{act.name, c.sources(act.id)})
	}
	start, err := f.node(s.InitTable)
	if err != nil {
		return err
	}
	ctl.start = start
	if err := acyclic(ctl, edges); err != nil {
		return err
	}
	return c.link(ctl)
}

func (ctl *control) add(n flowNode, note nodeNote) {
	ctl.nodes, ctl.notes = append(ctl.nodes, n), append(ctl.notes, note)
}

// tableNote is of the table compiled last, which may have become its action.
func (c *compiler) tableNote(n *flowNode) nodeNote {
	if n.table >= 0 {
		return nodeNote{}
	}
	act := c.prog.tables[len(c.prog.tables)-1].defaultAct
	return nodeNote{act.name, c.sources(act.id)}
}

// acyclic checks that no path through the graph comes back.
func acyclic(ctl *control, edges [][]int) error {
	const fresh, open, done = 0, 1, 2
	state := make([]uint8, len(edges))
	var visit func(n int) error
	visit = func(n int) error {
		if n < 0 || state[n] == done {
			return nil
		}
		if state[n] == open {
			return fmt.Errorf("node %q is reached again from itself", ctl.nodes[n].name)
		}
		state[n] = open
		for _, next := range edges[n] {
			if err := visit(next); err != nil {
				return err
			}
		}
		state[n] = done
		return nil
	}
	for n := range edges {
		if err := visit(n); err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) conditionNode(f flow, s *bmv2json.Conditional) (*flowNode, error) {
	ctx := &exprContext{l: c.l}
	b, err := ctx.boolean(&s.Expression)
	if err != nil {
		return nil, err
	}
	n := &flowNode{name: s.Name, table: -1, when: b}
	if n.cond, err = ctx.compileBool(b); err != nil {
		return nil, err
	}
	if n.next, err = f.node(s.TrueNext); err != nil {
		return nil, err
	}
	n.other, err = f.node(s.FalseNext)
	return n, err
}

// tableNode compiles a table and its edges. A table that can do one thing
// only, such as the compiler makes for a bare action call, becomes that action.
func (c *compiler) tableNode(f flow, s *bmv2json.Table, edges *[]int) (*flowNode, error) {
	spec, err := c.tableSpec(s)
	if err != nil {
		return nil, err
	}
	if spec.missNext, err = f.node(s.BaseDefaultNext); err != nil {
		return nil, err
	}
	for _, b := range spec.actions {
		next := -1
		if n, ok := s.NextTables[b.name]; ok {
			if next, err = f.node(n); err != nil {
				return nil, err
			}
		} else if s.NextTables["__HIT__"] == nil && s.NextTables["__MISS__"] == nil {
			next = spec.missNext
		}
		b.hitNext, b.missNext = next, next
		if n, ok := s.NextTables["__HIT__"]; ok {
			if b.hitNext, err = f.node(n); err != nil {
				return nil, err
			}
		}
		if n, ok := s.NextTables["__MISS__"]; ok {
			if b.missNext, err = f.node(n); err != nil {
				return nil, err
			}
			spec.missNext = b.missNext
		}
		*edges = append(*edges, b.hitNext, b.missNext)
	}
	*edges = append(*edges, spec.missNext)
	c.prog.tables = append(c.prog.tables, spec)
	if spec.fixedTo {
		d := spec.defaultAct
		return &flowNode{name: s.Name, table: -1, ops: d.ops, next: d.missNext}, nil
	}
	return &flowNode{name: s.Name, table: spec.index}, nil
}
