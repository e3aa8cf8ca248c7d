package main

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// ours runs a script on the embedded switch.
type ours struct {
	names  *program
	p      *pipeline.Pipeline
	w      *pipeline.Worker
	labels map[string]*pipeline.Entry
	mcast  multicast
	outcome
	// account runs each frame with an account of it.
	account bool
}

// multicast is the part of BMv2's replication engine that scripts program.
type multicast struct {
	nodes    []node
	groups   map[uint32][]pipeline.Replica
	sessions map[uint32]pipeline.Session
	mgid     map[uint32]uint32 // session to group
}

type node struct {
	rid   uint16
	ports []uint32
}

// outcome is what left by each port, in hexadecimal.
type outcome struct {
	out  map[uint32][]string
	sent []int // frames that had left, by the script's ports, after each step
}

func (o *outcome) count(ports []uint32) int {
	n := 0
	for _, port := range ports {
		n += len(o.out[port])
	}
	return n
}

func runOurs(json []byte, names *program, s *script, account bool) (*outcome, error) {
	o, err := newOurs(json, names)
	if err != nil {
		return &outcome{}, err
	}
	o.account = account
	for _, ph := range s.phases {
		for _, c := range ph.configure {
			if err := o.configure(c); err != nil {
				return &o.outcome, fmt.Errorf("line %d: %s: %w", c.line, c.text, err)
			}
		}
		for _, c := range ph.steps {
			if err := o.step(c); err != nil {
				return &o.outcome, fmt.Errorf("line %d: %s: %w", c.line, c.text, err)
			}
			o.sent = append(o.sent, o.count(s.ports))
		}
	}
	return &o.outcome, nil
}

func newOurs(json []byte, names *program) (*ours, error) {
	prog, err := pipeline.Load(json)
	if err != nil {
		return nil, err
	}
	p := pipeline.New(prog, pipeline.Limits{MinTableSize: 1024})
	return &ours{names: names, p: p, w: p.NewWorker(nil), labels: map[string]*pipeline.Entry{},
		outcome: outcome{out: map[uint32][]string{}},
		mcast: multicast{groups: map[uint32][]pipeline.Replica{}, sessions: map[uint32]pipeline.Session{},
			mgid: map[uint32]uint32{}}}, nil
}

func (o *ours) step(c command) error {
	if c.verb == "check_counter" {
		return o.checkCounter(c.text)
	}
	data, err := c.data()
	if err != nil {
		return err
	}
	o.w.Reset()
	if o.account {
		o.w.Trace(c.portNumber(), data)
	} else {
		o.w.Process(c.portNumber(), data)
	}
	for _, f := range o.w.Out {
		o.out[f.Port] = append(o.out[f.Port], fmt.Sprintf("%x", f.Data))
	}
	return nil
}

func (o *ours) configure(c command) error {
	switch c.verb {
	case "add", "setdefault":
		return o.entry(c)
	case "counter_read", "register_read", "meter_get_rates", "mirroring_get":
		return nil // they print
	case "register_write", "register_reset":
		return o.register(c)
	case "meter_set_rates", "meter_array_set_rates":
		return o.meter(c)
	}
	return o.mcast.configure(o.p, c)
}

func (o *ours) entry(c command) error {
	text, err := parseCall(c.text)
	if err != nil {
		return err
	}
	e, err := o.names.resolve(text)
	if err != nil {
		return err
	}
	t := o.p.Table(e.table)
	if t == nil {
		return fmt.Errorf("the switch has no table %s", e.table)
	}
	var params [][]byte
	for _, a := range e.args {
		v, err := number(a)
		if err != nil {
			return err
		}
		params = append(params, append([]byte{0}, v.Bytes()...))
	}
	if c.verb == "setdefault" {
		return t.SetDefault(e.action, params)
	}
	row := &pipeline.Entry{Action: e.action, Params: params}
	if t.HasPriority() {
		row.Priority = int32(e.priority) + 1
	}
	for i, k := range t.Keys() {
		m, err := match(k, e.keys[i])
		if err != nil {
			return err
		}
		row.Match = append(row.Match, m)
	}
	if e.label != "" {
		o.labels[e.label] = row
	}
	return t.Insert(row)
}

func number(text string) (*big.Int, error) {
	v, ok := new(big.Int).SetString(text, 0)
	if !ok || v.Sign() < 0 {
		return nil, fmt.Errorf("%q is no number", text)
	}
	return v, nil
}

// match reads a key field as BMv2's command line has it.
func match(k pipeline.KeyField, text string) (pipeline.Match, error) {
	value, mask, isMask := strings.Cut(text, "&&&")
	value, plen, _ := strings.Cut(value, "/")
	v, err := number(value)
	if err != nil {
		return pipeline.Match{}, err
	}
	all := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(k.Bits)), big.NewInt(1))
	m := pipeline.Match{}
	switch {
	case k.Kind == pipeline.LPM:
		if m.PrefixLen, err = strconv.Atoi(plen); err != nil || m.PrefixLen > k.Bits {
			return m, fmt.Errorf("prefix length %q of %d bits", plen, k.Bits)
		}
		host := uint(k.Bits - m.PrefixLen)
		v.Lsh(v.Rsh(v, host), host)
	case isMask:
		bits, err := number(mask)
		if err != nil {
			return m, err
		}
		bits.And(bits, all)
		m.Any, m.Mask = bits.Sign() == 0, bits.Bytes()
		v.And(v, bits)
	}
	m.Value = append([]byte{0}, v.Bytes()...)
	return m, nil
}

func (o *ours) register(c command) error {
	if len(c.args) == 0 {
		return errors.New("no register")
	}
	r := o.p.Register(c.args[0])
	if r == nil {
		return fmt.Errorf("no register %s", c.args[0])
	}
	if c.verb == "register_reset" {
		for i := range r.Size() {
			if err := r.Write(i, nil); err != nil {
				return err
			}
		}
		return nil
	}
	n, err := numbers(c.args[1:], 2)
	if err != nil {
		return err
	}
	return r.Write(int(n[0]), big.NewInt(int64(n[1])).Bytes())
}

// meter sets rates, which BMv2 takes per microsecond with a burst each.
func (o *ours) meter(c command) error {
	if len(c.args) < 3 {
		return errors.New("meter, index and two rates are needed")
	}
	m := o.p.Meter(c.args[0])
	if m == nil {
		return fmt.Errorf("no meter %s", c.args[0])
	}
	from, to := 0, m.Size()
	rates := c.args[1:]
	if c.verb == "meter_set_rates" {
		i, err := strconv.Atoi(rates[0])
		if err != nil {
			return err
		}
		from, to, rates = i, i+1, rates[1:]
	}
	var v [4]int64
	for i, text := range rates[:min(2, len(rates))] {
		rate, burst, _ := strings.Cut(text, ":")
		perMicro, err := strconv.ParseFloat(rate, 64)
		if err != nil {
			return err
		}
		if v[2*i+1], err = strconv.ParseInt(burst, 10, 64); err != nil {
			return err
		}
		v[2*i] = int64(math.Round(perMicro * 1e6))
	}
	for i := from; i < to; i++ {
		if err := m.SetConfig(i, &pipeline.MeterConfig{CIR: v[0], CBurst: v[1], PIR: v[2], PBurst: v[3]}); err != nil {
			return err
		}
	}
	return nil
}

// check_counter NAME($LABEL or INDEX) [packets|bytes CONDITION NUMBER]
var counterRE = regexp.MustCompile(`^\S+\s+([\w.]+)\s*\(\s*(\$?\w+)\s*\)` +
	`\s*(?:(packets|bytes)\s*(==|!=|<=|<|>=|>)\s*(\d+))?$`)

func (o *ours) checkCounter(text string) error {
	check, err := parseCheck(text)
	if err != nil {
		return err
	}
	packets, bytes, err := o.counter(check.name, check.index)
	if err != nil {
		return err
	}
	return check.holds(packets, bytes)
}

// check is a check_counter command.
type check struct {
	name, index     string
	unit, condition string
	number          uint64
}

func parseCheck(text string) (*check, error) {
	m := counterRE.FindStringSubmatch(text)
	if m == nil {
		return nil, errors.New("not of the form NAME(INDEX) [packets|bytes CONDITION NUMBER]")
	}
	return &check{m[1], m[2], m[3], m[4], mustUint(m[5])}, nil
}

func (c *check) holds(packets, bytes uint64) error {
	got, want := packets, c.number
	if c.unit == "bytes" {
		got = bytes
	}
	holds := map[string]bool{"": true, "==": got == want, "!=": got != want, "<": got < want, "<=": got <= want,
		">": got > want, ">=": got >= want}
	if !holds[c.condition] {
		return fmt.Errorf("it is %d", got)
	}
	return nil
}

func mustUint(digits string) uint64 {
	v, _ := strconv.ParseUint(digits, 10, 64) // a regular expression has checked it
	return v
}

func (o *ours) counter(name, index string) (packets, bytes uint64, err error) {
	full, err := o.names.counter(name)
	if err != nil {
		return 0, 0, err
	}
	if c := o.p.Counter(full); c != nil {
		packets, bytes = c.Read(int(mustUint(index)))
		return packets, bytes, nil
	}
	row := o.labels[strings.TrimPrefix(index, "$")]
	if row == nil {
		return 0, 0, fmt.Errorf("no entry %s", index)
	}
	got, err := o.p.Table(o.names.direct[full]).Get(row)
	return got.Packets, got.Bytes, err
}

// numbers reads at least n decimal or hexadecimal numbers.
func numbers(words []string, n int) ([]uint32, error) {
	if len(words) < n {
		return nil, fmt.Errorf("%d numbers where %d are needed", len(words), n)
	}
	var out []uint32
	for _, w := range words {
		v, err := strconv.ParseUint(w, 0, 31)
		if err != nil {
			return nil, err
		}
		out = append(out, uint32(v))
	}
	return out, nil
}

func (m *multicast) configure(p *pipeline.Pipeline, c command) error {
	least := map[string]int{"mc_mgrp_create": 1, "mc_node_create": 1, "mc_node_associate": 2, "mirroring_add": 2,
		"mirroring_add_mc": 2, "mirroring_delete": 1}
	if least[c.verb] == 0 {
		return fmt.Errorf("command %q is not known", c.verb)
	}
	n, err := numbers(c.args, least[c.verb])
	if err != nil {
		return err
	}
	switch c.verb {
	case "mc_mgrp_create":
		return m.set(p, n[0], nil)
	case "mc_node_create":
		m.nodes = append(m.nodes, node{uint16(n[0]), n[1:]})
	case "mc_node_associate":
		if int(n[1]) >= len(m.nodes) {
			return fmt.Errorf("no node %d", n[1])
		}
		replicas := m.groups[n[0]]
		for _, port := range m.nodes[n[1]].ports {
			replicas = append(replicas, pipeline.Replica{Port: port, Instance: m.nodes[n[1]].rid})
		}
		return m.set(p, n[0], replicas)
	case "mirroring_add":
		s := m.sessions[n[0]]
		s.Replicas = append(s.Replicas, pipeline.Replica{Port: n[1]})
		m.sessions[n[0]] = s
		return p.SetSession(n[0], m.session(n[0]))
	case "mirroring_add_mc":
		m.mgid[n[0]] = n[1]
		return p.SetSession(n[0], m.session(n[0]))
	case "mirroring_delete":
		delete(m.sessions, n[0])
		delete(m.mgid, n[0])
		return p.DeleteSession(n[0])
	}
	return nil
}

// set changes a group and the sessions that mirror to it.
func (m *multicast) set(p *pipeline.Pipeline, group uint32, replicas []pipeline.Replica) error {
	m.groups[group] = replicas
	for id, mgid := range m.mgid {
		if mgid == group {
			if err := p.SetSession(id, m.session(id)); err != nil {
				return err
			}
		}
	}
	return p.SetGroup(group, replicas)
}

// session sends to its group first, then to its port, as BMv2 does.
func (m *multicast) session(id uint32) pipeline.Session {
	s := m.sessions[id]
	s.Replicas = append(slices.Clone(m.groups[m.mgid[id]]), s.Replicas...)
	return s
}
