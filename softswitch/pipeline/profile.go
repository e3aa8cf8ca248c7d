package pipeline

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// WeightedAction is a member of an action set that a table entry carries
// itself (one-shot action selector programming, P4Runtime 9.2.3).
type WeightedAction struct {
	Action    string
	Params    [][]byte
	Weight    int     // 1 or more
	WatchPort *uint32 // chosen only while this port is up; nil: always
}

// GroupMember is a member of an action profile group.
type GroupMember struct {
	Member    uint32
	Weight    int     // 1 or more
	WatchPort *uint32 // chosen only while this port is up; nil: always
}

// Profile is an action profile: actions with parameters that table entries
// refer to by id, and with a selector groups of them.
type Profile struct {
	spec    *profileSpec
	size    int
	mu      sync.Mutex
	members map[uint32]*member
	groups  map[uint32]*group
	sets    int                 // entries with actions of their own
	watched map[*group]struct{} // groups and sets that look at ports
	down    map[uint32]struct{} // ports
}

// profileSpec is the immutable part.
type profileSpec struct {
	name    string
	size    int
	hash    *calculation // nil without selector
	actions map[string]*action
}

// member is an action with its parameters; what it does may change under the
// entries and groups that refer to it.
type member struct {
	do   atomic.Pointer[memberAction]
	refs int
}

type memberAction struct {
	*action
	data []uint64
}

// group is a set of members, each as often as its weight says.
type group struct {
	choice  atomic.Pointer[[]*member]
	choices []choice // what choice is made of
	list    []GroupMember
	refs    int
	oneOff  []WeightedAction // of an entry's own set
	random  bool             // chosen by chance, not by the hash
}

// choice is what a group may choose.
type choice struct {
	*member
	weight int
	watch  *uint32
}

func newProfile(s *profileSpec, size int) *Profile {
	return &Profile{spec: s, size: size, members: map[uint32]*member{}, groups: map[uint32]*group{},
		watched: map[*group]struct{}{}, down: map[uint32]struct{}{}}
}

// Name is the JSON's full name, as in P4Info.
func (p *Profile) Name() string { return p.spec.name }

// Size is the number of members the profile holds at most.
func (p *Profile) Size() int { return p.size }

// HasSelector reports whether the profile has groups.
func (p *Profile) HasSelector() bool { return p.spec.hash != nil }

func (p *Profile) errorf(base error, format string, args ...any) error {
	return fmt.Errorf("action profile %s: %s: %w", p.spec.name, fmt.Sprintf(format, args...), base)
}

func (p *Profile) memberAction(name string, params [][]byte) (*memberAction, error) {
	a := p.spec.actions[name]
	if a == nil {
		return nil, p.errorf(ErrInvalid, "no action %q", name)
	}
	m := &memberAction{action: a, data: make([]uint64, a.words)}
	if err := putParams(m.data, a, params); err != nil {
		return nil, p.errorf(err, "member")
	}
	return m, nil
}

// InsertMember adds a member. Errors: ErrInvalid, ErrExists, ErrFull.
func (p *Profile) InsertMember(id uint32, action string, params [][]byte) error {
	do, err := p.memberAction(action, params)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case id == 0:
		return p.errorf(ErrInvalid, "member id 0")
	case p.members[id] != nil:
		return p.errorf(ErrExists, "member %d", id)
	case len(p.members) >= p.size:
		return p.errorf(ErrFull, "it holds %d members", p.size)
	}
	m := new(member)
	m.do.Store(do)
	p.members[id] = m
	return nil
}

// ModifyMember changes what a member does, wherever it is used. Errors:
// ErrInvalid, ErrNotFound.
func (p *Profile) ModifyMember(id uint32, action string, params [][]byte) error {
	do, err := p.memberAction(action, params)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.members[id]
	if m == nil {
		return p.errorf(ErrNotFound, "member %d", id)
	}
	m.do.Store(do)
	return nil
}

// DeleteMember removes a member that nothing uses. Errors: ErrNotFound,
// ErrInUse.
func (p *Profile) DeleteMember(id uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m := p.members[id]; {
	case m == nil:
		return p.errorf(ErrNotFound, "member %d", id)
	case m.refs > 0:
		return p.errorf(ErrInUse, "member %d", id)
	}
	delete(p.members, id)
	return nil
}

// EachMember calls f for each member until f returns false; f must not call
// the profile.
func (p *Profile) EachMember(f func(id uint32, action string, params [][]byte) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, m := range p.members {
		do := m.do.Load()
		if !f(id, do.name, decodeParams(do.action, do.data)) {
			return
		}
	}
}

// resolve finds the members of a list.
func (p *Profile) resolve(list []GroupMember) ([]choice, error) {
	out := make([]choice, len(list))
	seen := make(map[uint32]bool, len(list))
	for i, g := range list {
		m := p.members[g.Member]
		if m == nil {
			return nil, p.errorf(ErrNotFound, "member %d", g.Member)
		}
		if seen[g.Member] {
			return nil, p.errorf(ErrInvalid, "member %d is there twice", g.Member)
		}
		seen[g.Member] = true
		out[i] = choice{m, g.Weight, g.WatchPort}
	}
	return out, p.checkWeights(out)
}

// maxChoice bounds the sum of the weights of a group.
const maxChoice = maxID

func (p *Profile) checkWeights(choices []choice) error {
	sum := 0
	for _, c := range choices {
		if c.weight < 1 {
			return p.errorf(ErrInvalid, "weight %d", c.weight)
		}
		if c.weight > maxChoice-sum {
			return p.errorf(ErrFull, "a group's weights may sum up to %d", maxChoice)
		}
		sum += c.weight
	}
	return nil
}

// publish makes a group choose among choices.
func (p *Profile) publish(g *group, choices []choice) {
	g.choices = choices
	delete(p.watched, g)
	for i := range choices {
		if choices[i].watch != nil {
			p.watched[g] = struct{}{}
		}
	}
	p.choose(g)
}

// choose makes the list that selection indexes: each member as often as its
// weight says, without those whose port is down.
func (p *Profile) choose(g *group) {
	var out []*member
	for _, c := range g.choices {
		if c.watch != nil {
			if _, down := p.down[*c.watch]; down {
				continue
			}
		}
		for range c.weight {
			out = append(out, c.member)
		}
	}
	g.choice.Store(&out)
}

// SetPortUp reports whether a port is up; members that watch one that is down are
// not chosen. All ports are up at first.
func (p *Profile) SetPortUp(port uint32, up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if up {
		delete(p.down, port)
	} else {
		p.down[port] = struct{}{}
	}
	for g := range p.watched {
		if slices.ContainsFunc(g.choices, func(c choice) bool { return c.watch != nil && *c.watch == port }) {
			p.choose(g)
		}
	}
}

// Used says how many members, groups and entries with actions of their own
// there are.
func (p *Profile) Used() (members, groups, sets int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.members), len(p.groups), p.sets
}

// SetGroup adds a group (create) or replaces its members. Errors: ErrInvalid,
// ErrExists, ErrNotFound, ErrFull for weights beyond reason.
func (p *Profile) SetGroup(id uint32, list []GroupMember, create bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.groups[id]
	switch {
	case p.spec.hash == nil || id == 0:
		return p.errorf(ErrInvalid, "group %d: no selector, or id 0", id)
	case create && g != nil:
		return p.errorf(ErrExists, "group %d", id)
	case !create && g == nil:
		return p.errorf(ErrNotFound, "group %d", id)
	}
	choices, err := p.resolve(list)
	if err != nil {
		return err
	}
	if g == nil {
		g = new(group)
		p.groups[id] = g
	}
	p.hold(g.list, -1)
	g.list = append([]GroupMember(nil), list...)
	p.hold(g.list, 1)
	p.publish(g, choices)
	return nil
}

func (p *Profile) hold(list []GroupMember, by int) {
	for _, m := range list {
		p.members[m.Member].refs += by
	}
}

// DeleteGroup removes a group that no entry uses. Errors: ErrNotFound,
// ErrInUse.
func (p *Profile) DeleteGroup(id uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.groups[id]
	switch {
	case g == nil:
		return p.errorf(ErrNotFound, "group %d", id)
	case g.refs > 0:
		return p.errorf(ErrInUse, "group %d", id)
	}
	p.hold(g.list, -1)
	delete(p.groups, id)
	delete(p.watched, g)
	return nil
}

// EachGroup calls f for each group until f returns false; f must not call the
// profile.
func (p *Profile) EachGroup(f func(id uint32, members []GroupMember) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, g := range p.groups {
		if !f(id, g.list) {
			return
		}
	}
}

// refer finds what an entry of an indirect table means and counts the use.
func (p *Profile) refer(x *entryMore, e *Entry) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	x.memberID, x.groupID = e.Member, e.Group
	switch {
	case e.Action != "" || len(e.Params) > 0:
		return p.errorf(ErrInvalid, "the entry names an action, not a member or group")
	case e.Member != 0 && e.Group == 0 && e.Actions == nil:
		if x.member = p.members[e.Member]; x.member == nil {
			return p.errorf(ErrNotFound, "member %d", e.Member)
		}
		x.member.refs++
	case e.Group != 0 && e.Member == 0 && e.Actions == nil:
		if x.group = p.groups[e.Group]; x.group == nil {
			return p.errorf(ErrNotFound, "group %d", e.Group)
		}
		x.group.refs++
	case len(e.Actions) > 0 && e.Member == 0 && e.Group == 0:
		g, err := p.ownSet(e.Actions)
		if err != nil {
			return err
		}
		g.random = e.Random
		x.group = g
	default:
		return p.errorf(ErrInvalid, "the entry needs a member, a group or a set of actions")
	}
	return nil
}

// ownSet makes the group of an entry's own actions.
func (p *Profile) ownSet(set []WeightedAction) (*group, error) {
	if p.spec.hash == nil {
		return nil, p.errorf(ErrInvalid, "a set of actions needs a selector")
	}
	g := &group{oneOff: set}
	choices := make([]choice, len(set))
	for i, a := range set {
		do, err := p.memberAction(a.Action, a.Params)
		if err != nil {
			return nil, err
		}
		choices[i] = choice{new(member), a.Weight, a.WatchPort}
		choices[i].do.Store(do)
	}
	if err := p.checkWeights(choices); err != nil {
		return nil, err
	}
	p.publish(g, choices)
	p.sets++
	return g, nil
}

// release undoes refer.
func (p *Profile) release(x *entryMore) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.member != nil {
		x.member.refs--
	} else if x.group != nil {
		x.group.refs--
		if x.group.oneOff != nil {
			p.sets--
			delete(p.watched, x.group)
		}
	}
}

// pick chooses the member for the packet; nil for an empty group.
func (p *Profile) pick(w *Worker, x *entryMore) *memberAction {
	m := x.member
	if m == nil {
		choice := *x.group.choice.Load()
		if len(choice) == 0 {
			return nil
		}
		var by uint64
		if x.group.random {
			by = w.rng.Uint64()
		} else {
			by = p.spec.hash.output(w)
		}
		m = choice[by%uint64(len(choice))]
	}
	return m.do.Load()
}

func (c *compiler) compileProfiles() error {
	for i := range c.spec.Pipelines {
		for j := range c.spec.Pipelines[i].Profiles {
			s := &c.spec.Pipelines[i].Profiles[j]
			if c.profileIndex[s.Name] > 0 || s.MaxSize < 0 {
				return fmt.Errorf("action_profiles: %q is there twice, or its size is %d", s.Name, s.MaxSize)
			}
			spec := &profileSpec{name: s.Name, size: s.MaxSize, actions: map[string]*action{}}
			if s.Selector != nil {
				hash, err := c.newCalculation(s.Name, s.Selector.Algo, s.Selector.Input)
				if err != nil {
					return fmt.Errorf("action_profiles: %q: %w", s.Name, err)
				}
				spec.hash = hash
			}
			c.prog.profiles = append(c.prog.profiles, spec)
			c.profileIndex[s.Name] = len(c.prog.profiles)
		}
	}
	return nil
}
