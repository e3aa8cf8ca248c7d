package p4rtserver

import (
	"fmt"
	"maps"
	"slices"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// profile ties an action profile or selector to its P4Info (6.4.3).
type profile struct {
	id         uint32
	name       string
	forwarding *Forwarding
	cells      *pipeline.Profile
	actions    []action // of the tables that use it; they are the same for each

	selector          bool
	maxGroupSize      int  // 0: no bound
	countsMembers     bool // sizes are numbers of members, not sums of weights
	maxMemberWeight   int  // where countsMembers; 0: no bound
	weightsDisallowed bool

	// groups are as the clients wrote them; guarded by Server.state.
	groups map[uint32]*p4v1.ActionProfileGroup
}

func (f *Forwarding) bindProfiles(info *p4configv1.P4Info) error {
	for _, pi := range info.ActionProfiles {
		p := &profile{
			id: pi.GetPreamble().GetId(), name: pi.GetPreamble().GetName(), forwarding: f, selector: pi.WithSelector,
			maxGroupSize: int(pi.MaxGroupSize), countsMembers: pi.GetSumOfMembers() != nil,
			maxMemberWeight:   int(pi.GetSumOfMembers().GetMaxMemberWeight()),
			weightsDisallowed: pi.WeightsDisallowed, groups: map[uint32]*p4v1.ActionProfileGroup{},
		}
		p.cells = f.Pipeline.Profile(p.name)
		switch {
		case p.cells == nil:
			return fmt.Errorf("action profile %s is not in the JSON", p.name)
		case p.cells.HasSelector() != p.selector:
			return fmt.Errorf("action profile %s: with_selector is %v, in the JSON it is not", p.name, p.selector)
		case int64(p.cells.Size()) != pi.Size:
			return fmt.Errorf("action profile %s holds %d members, in the JSON %d", p.name, pi.Size, p.cells.Size())
		case p.maxGroupSize < 0 || p.maxMemberWeight < 0:
			return fmt.Errorf("action profile %s has a negative max_group_size or max_member_weight", p.name)
		case p.id == 0 || f.profile(p.id) != nil:
			return fmt.Errorf("action profile %s: id %d is 0 or used twice", p.name, p.id)
		}
		f.profiles = append(f.profiles, p)
	}
	return nil
}

// bindProfile gives a table its action profile.
func (f *Forwarding) bindProfile(t *table, id uint32) error {
	t.profile = f.profile(id)
	name := t.entries.ProfileName()
	switch {
	case id == 0 && name == "":
		return nil
	case t.profile == nil:
		return fmt.Errorf("implementation_id %d is not an action profile of the P4Info; in the JSON it is %q", id, name)
	case t.profile.name != name:
		return fmt.Errorf("its action profile is %s, in the JSON %q", t.profile.name, name)
	}
	t.profile.actions = t.actions
	return nil
}

// profile returns the action profile of that id, or nil.
func (f *Forwarding) profile(id uint32) *profile {
	for _, p := range f.profiles {
		if p.id == id {
			return p
		}
	}
	return nil
}

// writeMember makes an update of a member (9.2.1).
func (f *Forwarding) writeMember(tr *translator, op p4v1.Update_Type, m *p4v1.ActionProfileMember) error {
	p := f.profile(m.GetActionProfileId())
	if p == nil {
		return invalid("no action profile has id %d", m.GetActionProfileId())
	}
	return p.within(p.writeMember(tr, op, m))
}

func (p *profile) within(err error) error {
	if err == nil {
		return nil
	}
	return within("action profile "+p.name, err)
}

func (p *profile) writeMember(tr *translator, op p4v1.Update_Type, m *p4v1.ActionProfileMember) error {
	if m.MemberId == 0 {
		return invalid("member id 0 is not valid")
	}
	if op == p4v1.Update_DELETE {
		return refuse(p.cells.DeleteMember(m.MemberId))
	}
	if err := p.refuseMix(false); err != nil {
		return err
	}
	a, err := p.action(m.Action)
	if err != nil {
		return err
	}
	params, err := tr.parameters(a, m.Action)
	if err != nil {
		return err
	}
	if op == p4v1.Update_INSERT {
		return refuse(p.cells.InsertMember(m.MemberId, a.name, params))
	}
	return refuse(p.cells.ModifyMember(m.MemberId, a.name, params))
}

// action finds the action of a member, which must be one for entries.
func (p *profile) action(m *p4v1.Action) (*action, error) {
	if m == nil {
		return nil, invalid("there is no action")
	}
	i := slices.IndexFunc(p.actions, func(a action) bool { return a.id == m.ActionId })
	if i < 0 {
		return nil, invalid("action id %d is not one of its tables'", m.ActionId)
	}
	if p.actions[i].defaultOnly {
		return nil, status.Errorf(codes.PermissionDenied, "action %s: its scope in the P4Info does not allow it here",
			p.actions[i].name)
	}
	return &p.actions[i], nil
}

// refuseMix refuses to have both members or groups and entries with action
// sets of their own (9.2.3).
func (p *profile) refuseMix(oneShot bool) error {
	members, groups, sets := p.cells.Used()
	if oneShot && members+groups > 0 {
		return invalid("there are members or groups, so an entry cannot have an action set of its own")
	}
	if !oneShot && sets > 0 {
		return invalid("there are entries with action sets of their own, so there cannot be members or groups")
	}
	return nil
}

// writeGroup makes an update of a group (9.2.2).
func (f *Forwarding) writeProfileGroup(op p4v1.Update_Type, g *p4v1.ActionProfileGroup) error {
	p := f.profile(g.GetActionProfileId())
	if p == nil {
		return invalid("no action profile has id %d", g.GetActionProfileId())
	}
	return p.within(p.writeGroup(op, g))
}

func (p *profile) writeGroup(op p4v1.Update_Type, g *p4v1.ActionProfileGroup) error {
	if !p.selector {
		return invalid("it has no selector, so there are no groups")
	}
	if g.GroupId == 0 {
		return invalid("group id 0 is not valid")
	}
	if op == p4v1.Update_DELETE {
		if err := p.cells.DeleteGroup(g.GroupId); err != nil {
			return refuse(err)
		}
		delete(p.groups, g.GroupId)
		return nil
	}
	if err := p.refuseMix(false); err != nil {
		return err
	}
	old := p.groups[g.GroupId]
	if err := checkExistence(op, old != nil); err != nil {
		return within(fmt.Sprintf("group %d", g.GroupId), err)
	}
	if old != nil && old.MaxSize != g.MaxSize {
		return invalid("group %d: max_size is %d and cannot be changed to %d", g.GroupId, old.MaxSize, g.MaxSize)
	}
	members, err := p.groupMembers(g)
	if err == nil {
		err = refuse(p.cells.SetGroup(g.GroupId, members, old == nil))
	}
	if err != nil {
		return within(fmt.Sprintf("group %d", g.GroupId), err)
	}
	p.groups[g.GroupId] = proto.Clone(g).(*p4v1.ActionProfileGroup)
	return nil
}

// groupMembers translates the members of a group and checks its size.
func (p *profile) groupMembers(g *p4v1.ActionProfileGroup) ([]pipeline.GroupMember, error) {
	maxSize := int(g.MaxSize)
	switch {
	case maxSize < 0:
		return nil, invalid("max_size %d is negative", maxSize)
	case p.maxGroupSize > 0 && (maxSize == 0 || maxSize > p.maxGroupSize):
		return nil, invalid("max_size %d: must be 1 to %d, the max_group_size of the P4Info", maxSize, p.maxGroupSize)
	}
	members := make([]pipeline.GroupMember, len(g.Members))
	size := 0
	for i, m := range g.Members {
		weight, err := p.weight(m.GetWeight())
		if err != nil {
			return nil, within(fmt.Sprintf("member %d", m.GetMemberId()), err)
		}
		watch, err := p.forwarding.watchPort(m.GetWatchPort(), deprecatedWatch(m))
		if err != nil {
			return nil, within(fmt.Sprintf("member %d", m.GetMemberId()), err)
		}
		members[i] = pipeline.GroupMember{Member: m.GetMemberId(), Weight: weight, WatchPort: watch}
		size += p.share(weight)
	}
	if maxSize > 0 && size > maxSize {
		return nil, status.Errorf(codes.ResourceExhausted, "its size is %d, its max_size %d", size, maxSize)
	}
	return members, nil
}

// share is what a member adds to the size of its group.
func (p *profile) share(weight int) int {
	if p.countsMembers {
		return 1
	}
	return weight
}

// weight checks a weight and returns the one to use.
func (p *profile) weight(weight int32) (int, error) {
	switch {
	case p.weightsDisallowed && weight == 0:
		return 1, nil
	case p.weightsDisallowed:
		return 0, invalid("weight %d: the P4Info disallows weights, it must be 0", weight)
	case weight < 1:
		return 0, invalid("weight %d: must be 1 or more", weight)
	case p.countsMembers && p.maxMemberWeight > 0 && int(weight) > p.maxMemberWeight:
		return 0, invalid("weight %d is above %d, the max_member_weight of the P4Info", weight, p.maxMemberWeight)
	}
	return int(weight), nil
}

// watchPort translates a watch port; nil for none.
func (f *Forwarding) watchPort(port []byte, deprecated int32) (*uint32, error) {
	if deprecated != 0 {
		return nil, status.Error(codes.Unimplemented, "watch is deprecated: use watch_port")
	}
	if len(port) == 0 {
		return nil, nil
	}
	number, err := f.port(port)
	if err != nil {
		return nil, within("watch_port", err)
	}
	if exists, _ := f.server.port(number); !exists {
		return nil, invalid("watch_port: the switch has no port %d", number)
	}
	f.follow(number)
	return &number, nil
}

// port translates a port as clients write it.
func (f *Forwarding) port(b []byte) (uint32, error) {
	if err := checkValue(b, 32); err != nil {
		return 0, err
	}
	return uint32Of(b), nil
}

// indirect fills what an entry of a table with an action profile does (9.1.2).
// What it makes does not share memory with the message.
func (p *profile) indirect(tr *translator, e *pipeline.Entry, ta *p4v1.TableAction) error {
	switch a := ta.GetType().(type) {
	case *p4v1.TableAction_ActionProfileMemberId:
		if a.ActionProfileMemberId == 0 {
			return invalid("member id 0 is not valid")
		}
		e.Member = a.ActionProfileMemberId
	case *p4v1.TableAction_ActionProfileGroupId:
		if !p.selector || a.ActionProfileGroupId == 0 {
			return invalid("group id %d: it is 0, or the action profile has no selector", a.ActionProfileGroupId)
		}
		e.Group = a.ActionProfileGroupId
	case *p4v1.TableAction_ActionProfileActionSet:
		if !p.selector {
			return invalid("an action set needs a selector; action profile %s has none", p.name)
		}
		return p.actionSet(tr, e, a.ActionProfileActionSet)
	default:
		return invalid("the table has action profile %s: the action must be a member, a group or an action set", p.name)
	}
	return nil
}

// actionSet fills an entry's own set of actions (9.2.3).
func (p *profile) actionSet(tr *translator, e *pipeline.Entry, set *p4v1.ActionProfileActionSet) error {
	if err := p.refuseMix(true); err != nil {
		return err
	}
	if err := p.checkSemantics(set); err != nil {
		return err
	}
	actions := set.GetActionProfileActions()
	if len(actions) == 0 {
		return invalid("the action set is empty")
	}
	size := 0
	e.Random = set.ActionSelectionMode == p4v1.ActionProfileActionSet_RANDOM
	e.Actions = make([]pipeline.WeightedAction, len(actions))
	for i, one := range actions {
		w, err := p.weightedAction(tr, one)
		if err != nil {
			return within(fmt.Sprintf("action %d of the set", i), err)
		}
		e.Actions[i] = w
		size += p.share(w.Weight)
	}
	if p.maxGroupSize > 0 && size > p.maxGroupSize {
		return invalid("the action set's size is %d, the max_group_size of the P4Info %d", size, p.maxGroupSize)
	}
	return nil
}

func (p *profile) weightedAction(tr *translator, one *p4v1.ActionProfileAction) (w pipeline.WeightedAction, err error) {
	a, err := p.action(one.GetAction())
	if err != nil {
		return w, err
	}
	params, err := tr.parameters(a, one.Action)
	if err != nil {
		return w, err
	}
	w.Action, w.Params = a.name, make([][]byte, len(params))
	for i, value := range params {
		w.Params[i] = slices.Clone(value)
	}
	if w.Weight, err = p.weight(one.Weight); err != nil {
		return w, err
	}
	w.WatchPort, err = p.forwarding.watchPort(one.GetWatchPort(), deprecatedWatch(one))
	return w, err
}

// checkSemantics accepts the selector's own semantics, by default or by name;
// there are no others for single groups.
func (p *profile) checkSemantics(set *p4v1.ActionProfileActionSet) error {
	own := p4v1.ActionProfileActionSet_SUM_OF_WEIGHTS
	if p.countsMembers {
		own = p4v1.ActionProfileActionSet_SUM_OF_MEMBERS
	}
	switch mode, semantics := set.GetActionSelectionMode(), set.GetSizeSemantics(); {
	case p4v1.ActionProfileActionSet_ActionSelectionMode_name[int32(mode)] == "":
		return invalid("action_selection_mode %d is not known", mode)
	case semantics != p4v1.ActionProfileActionSet_DEFAULT_SIZE_DETERMINED_BY_ACTION_SELECTOR && semantics != own:
		return status.Errorf(codes.Unimplemented, "size_semantics %v: the P4Info says %v", semantics, own)
	}
	return nil
}

// indirectMessage renders what an entry of a table with an action profile does.
func (t *table) indirectMessage(e *pipeline.Entry) *p4v1.TableAction {
	switch {
	case e.Member != 0:
		return &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileMemberId{ActionProfileMemberId: e.Member}}
	case e.Group != 0:
		return &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileGroupId{ActionProfileGroupId: e.Group}}
	case e.Actions == nil:
		return nil
	}
	set := &p4v1.ActionProfileActionSet{}
	s := semanticsIn(e.Metadata)
	set.ActionSelectionMode, set.SizeSemantics = s.mode, s.size
	for _, w := range e.Actions {
		one := &p4v1.ActionProfileAction{Action: t.profile.message(w.Action, w.Params), Weight: int32(w.Weight)}
		if t.profile.weightsDisallowed {
			one.Weight = 0
		}
		if w.WatchPort != nil {
			one.WatchKind = &p4v1.ActionProfileAction_WatchPort{WatchPort: canonicalUint32(*w.WatchPort)}
		}
		set.ActionProfileActions = append(set.ActionProfileActions, one)
	}
	return &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileActionSet{ActionProfileActionSet: set}}
}

func (p *profile) message(name string, params [][]byte) *p4v1.Action {
	for i := range p.actions {
		if p.actions[i].name == name {
			return p.actions[i].message(params)
		}
	}
	return nil
}

func (f *Forwarding) readMembers(out *reply, q *p4v1.ActionProfileMember) error {
	profiles, err := f.queried(q.GetActionProfileId(), q.GetMemberId())
	if err != nil {
		return err
	}
	found := false
	for _, p := range profiles {
		p.cells.EachMember(func(id uint32, name string, params [][]byte) bool {
			if q.GetMemberId() == 0 || q.MemberId == id {
				found = true
				out.add(&p4v1.Entity{Entity: &p4v1.Entity_ActionProfileMember{ActionProfileMember: &p4v1.ActionProfileMember{
					ActionProfileId: p.id, MemberId: id, Action: p.message(name, params),
				}}})
			}
			return true
		})
	}
	if q.GetMemberId() != 0 && !found {
		return status.Errorf(codes.NotFound, "member %d does not exist", q.MemberId)
	}
	return nil
}

func (f *Forwarding) readProfileGroups(out *reply, q *p4v1.ActionProfileGroup) error {
	profiles, err := f.queried(q.GetActionProfileId(), q.GetGroupId())
	if err != nil {
		return err
	}
	if id := q.GetGroupId(); id != 0 {
		g := profiles[0].groups[id]
		if g == nil {
			return status.Errorf(codes.NotFound, "group %d does not exist", id)
		}
		out.add(profileGroupEntity(g))
		return nil
	}
	for _, p := range profiles {
		for _, id := range slices.Sorted(maps.Keys(p.groups)) {
			out.add(profileGroupEntity(p.groups[id]))
		}
	}
	return nil
}

func profileGroupEntity(g *p4v1.ActionProfileGroup) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_ActionProfileGroup{ActionProfileGroup: g}}
}

// queried returns the profiles that a query means: all where id is 0.
func (f *Forwarding) queried(id, element uint32) ([]*profile, error) {
	if id == 0 {
		if element != 0 {
			return nil, invalid("action_profile_id is 0: a query for one member or group needs it")
		}
		return f.profiles, nil
	}
	p := f.profile(id)
	if p == nil {
		return nil, invalid("no action profile has id %d", id)
	}
	return []*profile{p}, nil
}
