package pipeline

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// WeightedAction is a member of an action set that a table entry carries
// itself (one-shot action selector programming, P4Runtime 9.2.3).
type WeightedAction struct {
	Action string
	Params [][]byte
	Weight int // 1 or more
}

// GroupMember is a member of an action profile group.
type GroupMember struct {
	Member uint32
	Weight int // 1 or more
}

// Profile is an action profile: actions with parameters that table entries
// refer to by id, and with a selector groups of them.
type Profile struct {
	spec    *profileSpec
	size    int
	mu      sync.Mutex
	members map[uint32]*member
	groups  map[uint32]*group
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
	choice atomic.Pointer[[]*member]
	list   []GroupMember
	refs   int
	oneOff []WeightedAction // of an entry's own set
}

func newProfile(s *profileSpec, size int) *Profile {
	return &Profile{spec: s, size: size, members: map[uint32]*member{}, groups: map[uint32]*group{}}
}

// Name is the JSON's full name, as in P4Info.
func (p *Profile) Name() string { return p.spec.name }

// Size is the number of members the profile holds at most.
func (p *Profile) Size() int { return p.size }

// HasSelector says whether the profile has groups.
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

// resolve turns members with weights into the list that selection indexes.
func (p *Profile) resolve(list []GroupMember) ([]*member, error) {
	var out []*member
	seen := map[uint32]bool{}
	for _, g := range list {
		m := p.members[g.Member]
		if m == nil {
			return nil, p.errorf(ErrNotFound, "member %d", g.Member)
		}
		if seen[g.Member] || g.Weight < 1 || len(out)+g.Weight > maxID {
			return nil, p.errorf(ErrInvalid, "member %d is there twice, or its weight %d is not 1 or more and reasonable", g.Member, g.Weight)
		}
		seen[g.Member] = true
		for range g.Weight {
			out = append(out, m)
		}
	}
	return out, nil
}

// SetGroup adds a group (create) or replaces its members. Errors: ErrInvalid,
// ErrExists, ErrNotFound.
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
	choice, err := p.resolve(list)
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
	g.choice.Store(&choice)
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
func (p *Profile) refer(e *Entry) (*entryExt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := &entryExt{memberID: e.Member, groupID: e.Group}
	switch {
	case e.Action != "" || len(e.Params) > 0:
		return nil, p.errorf(ErrInvalid, "the entry names an action, not a member or group")
	case e.Member != 0 && e.Group == 0 && e.Actions == nil:
		if x.member = p.members[e.Member]; x.member == nil {
			return nil, p.errorf(ErrNotFound, "member %d", e.Member)
		}
		x.member.refs++
	case e.Group != 0 && e.Member == 0 && e.Actions == nil:
		if x.group = p.groups[e.Group]; x.group == nil {
			return nil, p.errorf(ErrNotFound, "group %d", e.Group)
		}
		x.group.refs++
	case len(e.Actions) > 0 && e.Member == 0 && e.Group == 0:
		g, err := p.ownSet(e.Actions)
		if err != nil {
			return nil, err
		}
		x.group = g
	default:
		return nil, p.errorf(ErrInvalid, "the entry needs a member, a group or a set of actions")
	}
	return x, nil
}

// ownSet makes the group of an entry's own actions.
func (p *Profile) ownSet(set []WeightedAction) (*group, error) {
	if p.spec.hash == nil {
		return nil, p.errorf(ErrInvalid, "a set of actions needs a selector")
	}
	g := &group{oneOff: set}
	var choice []*member
	for _, a := range set {
		do, err := p.memberAction(a.Action, a.Params)
		if err != nil {
			return nil, err
		}
		if a.Weight < 1 || len(choice)+a.Weight > maxID {
			return nil, p.errorf(ErrInvalid, "weight %d", a.Weight)
		}
		m := new(member)
		m.do.Store(do)
		for range a.Weight {
			choice = append(choice, m)
		}
	}
	g.choice.Store(&choice)
	return g, nil
}

// release undoes refer.
func (p *Profile) release(x *entryExt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.member != nil {
		x.member.refs--
	} else if x.group != nil {
		x.group.refs--
	}
}

// pick chooses the member for the packet; nil for an empty group.
func (p *Profile) pick(w *Worker, x *entryExt) *memberAction {
	m := x.member
	if m == nil {
		choice := *x.group.choice.Load()
		if len(choice) == 0 {
			return nil
		}
		m = choice[p.spec.hash.output(w)%uint64(len(choice))]
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
