package p4rttest

import (
	"os"
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

func small(tb testing.TB) *p4configv1.P4Info {
	tb.Helper()
	text, err := os.ReadFile("../testdata/small.p4info.txtpb")
	if err != nil {
		tb.Fatal(err)
	}
	info := &p4configv1.P4Info{}
	if err := prototext.Unmarshal(text, info); err != nil {
		tb.Fatal(err)
	}
	return info
}

// parse reads an update in text form.
func parse(tb testing.TB, text string) *p4v1.Update {
	tb.Helper()
	u := &p4v1.Update{}
	if err := prototext.Unmarshal([]byte(text), u); err != nil {
		tb.Fatalf("%v in %s", err, text)
	}
	return u
}

const (
	nexthop = `type: INSERT entity { table_entry { table_id: 33554433 match { field_id: 1 exact { value: "\x01" } }
		action { action { action_id: 16777217 params { param_id: 1 value: "\x01\xff" } params { param_id: 2 value: "\x02" } } } } }`
	route = `type: INSERT entity { table_entry { table_id: 33554434 match { field_id: 1 exact { value: "\x01" } }
		match { field_id: 2 lpm { value: "\x0a\x00\x00\x00" prefix_len: 8 } }
		action { action { action_id: 16777219 params { param_id: 1 value: "\x00" } } } } }`
	source = `type: INSERT entity { table_entry { table_id: 33554435 match { field_id: 1 exact { value: "\x01" } }
		action { action { action_id: 16777218 } } idle_timeout_ns: 1 } }`
	trap = `type: INSERT entity { table_entry { table_id: 33554436 priority: 1
		match { field_id: 1 ternary { value: "\x08\x06" mask: "\xff\xff" } } action { action { action_id: 16777218 } } } }`
	group = `type: INSERT entity { packet_replication_engine_entry { multicast_group_entry { multicast_group_id: 1
		replicas { port: "\x01" instance: 1 } replicas { port: "\x01" instance: 2 } replicas { port: "\x02" instance: 1 } } } }`
	session = `type: INSERT entity { packet_replication_engine_entry { clone_session_entry { session_id: 1
		replicas { port: "\x01\xfe" instance: 1 } } } }`
	digest = `type: INSERT entity { digest_entry { digest_id: 385875969
		config { max_timeout_ns: 1 max_list_size: 2 ack_timeout_ns: 1 } } }`
)

func TestUpdateIsCheckedAgainstTheP4Info(t *testing.T) {
	sch, err := newSchema(small(t))
	if err != nil {
		t.Fatal(err)
	}
	table := func(u *p4v1.Update) *p4v1.TableEntry { return u.GetEntity().GetTableEntry() }
	params := func(u *p4v1.Update) []*p4v1.Action_Param { return table(u).GetAction().GetAction().GetParams() }
	mc := func(u *p4v1.Update) *p4v1.MulticastGroupEntry {
		return u.GetEntity().GetPacketReplicationEngineEntry().GetMulticastGroupEntry()
	}
	for name, c := range map[string]struct {
		text   string
		change func(u *p4v1.Update)
		want   codes.Code
	}{
		"exact":           {nexthop, nil, codes.OK},
		"lpm":             {route, nil, codes.OK},
		"ageing":          {source, nil, codes.OK},
		"ternary":         {trap, nil, codes.OK},
		"group":           {group, nil, codes.OK},
		"session":         {session, nil, codes.OK},
		"digest":          {digest, nil, codes.OK},
		"lpm left out":    {route, func(u *p4v1.Update) { table(u).Match = table(u).Match[:1] }, codes.OK},
		"all don't care":  {trap, func(u *p4v1.Update) { table(u).Match = nil }, codes.OK},
		"delete by key":   {nexthop, func(u *p4v1.Update) { u.Type = p4v1.Update_DELETE; table(u).Action = nil }, codes.OK},
		"default set":     {nexthop, func(u *p4v1.Update) { asDefault(u, 16777218) }, codes.OK},
		"default reset":   {nexthop, func(u *p4v1.Update) { asDefault(u, 0) }, codes.OK},
		"list of one":     {digest, func(u *p4v1.Update) { d := u.GetEntity().GetDigestEntry().Config; d.MaxListSize, d.MaxTimeoutNs = 1, 0 }, codes.OK},
		"no type":         {nexthop, func(u *p4v1.Update) { u.Type = 0 }, codes.InvalidArgument},
		"no entity":       {nexthop, func(u *p4v1.Update) { u.Entity = nil }, codes.Unimplemented},
		"unknown table":   {nexthop, func(u *p4v1.Update) { table(u).TableId++; table(u).TableId = 1 }, codes.InvalidArgument},
		"missing field":   {nexthop, func(u *p4v1.Update) { table(u).Match = nil }, codes.InvalidArgument},
		"unknown field":   {nexthop, func(u *p4v1.Update) { table(u).Match[0].FieldId = 9 }, codes.InvalidArgument},
		"field twice":     {nexthop, func(u *p4v1.Update) { table(u).Match = append(table(u).Match, table(u).Match[0]) }, codes.InvalidArgument},
		"wrong kind":      {route, func(u *p4v1.Update) { table(u).Match[1].FieldMatchType = table(u).Match[0].FieldMatchType }, codes.InvalidArgument},
		"leading zero":    {nexthop, func(u *p4v1.Update) { table(u).Match[0].GetExact().Value = []byte{0, 1} }, codes.InvalidArgument},
		"empty value":     {nexthop, func(u *p4v1.Update) { table(u).Match[0].GetExact().Value = nil }, codes.InvalidArgument},
		"too wide":        {nexthop, func(u *p4v1.Update) { params(u)[0].Value = []byte{2, 0} }, codes.InvalidArgument},
		"prefix length 0": {route, func(u *p4v1.Update) { table(u).Match[1].GetLpm().PrefixLen = 0 }, codes.InvalidArgument},
		"prefix length 33": {route, func(u *p4v1.Update) {
			table(u).Match[1].GetLpm().PrefixLen = 33
		}, codes.InvalidArgument},
		"host bits":         {route, func(u *p4v1.Update) { table(u).Match[1].GetLpm().PrefixLen = 6 }, codes.InvalidArgument},
		"priority on exact": {nexthop, func(u *p4v1.Update) { table(u).Priority = 1 }, codes.InvalidArgument},
		"no priority":       {trap, func(u *p4v1.Update) { table(u).Priority = 0 }, codes.InvalidArgument},
		"mask 0":            {trap, func(u *p4v1.Update) { m := table(u).Match[0].GetTernary(); m.Value, m.Mask = []byte{0}, []byte{0} }, codes.InvalidArgument},
		"bits off mask":     {trap, func(u *p4v1.Update) { table(u).Match[0].GetTernary().Mask = []byte{0xff} }, codes.InvalidArgument},
		"no action":         {nexthop, func(u *p4v1.Update) { table(u).Action = nil }, codes.InvalidArgument},
		"other's action":    {nexthop, func(u *p4v1.Update) { table(u).GetAction().GetAction().ActionId = 16777219 }, codes.InvalidArgument},
		"default only":      {nexthop, func(u *p4v1.Update) { a := table(u).GetAction().GetAction(); a.ActionId, a.Params = 16777218, nil }, codes.PermissionDenied},
		"missing param":     {nexthop, func(u *p4v1.Update) { a := table(u).GetAction().GetAction(); a.Params = a.Params[:1] }, codes.InvalidArgument},
		"unknown param":     {nexthop, func(u *p4v1.Update) { params(u)[0].ParamId = 7 }, codes.InvalidArgument},
		"param twice":       {nexthop, func(u *p4v1.Update) { params(u)[0].ParamId = 2 }, codes.InvalidArgument},
		"not ageing":        {nexthop, func(u *p4v1.Update) { table(u).IdleTimeoutNs = 1 }, codes.InvalidArgument},
		"negative timeout":  {source, func(u *p4v1.Update) { table(u).IdleTimeoutNs = -1 }, codes.InvalidArgument},
		"default inserted":  {nexthop, func(u *p4v1.Update) { asDefault(u, 0); u.Type = p4v1.Update_INSERT }, codes.InvalidArgument},
		"default with key": {nexthop, func(u *p4v1.Update) {
			asDefault(u, 0)
			table(u).Priority = 1
		}, codes.InvalidArgument},
		"group 0":           {group, func(u *p4v1.Update) { mc(u).MulticastGroupId = 0 }, codes.InvalidArgument},
		"group too high":    {group, func(u *p4v1.Update) { mc(u).MulticastGroupId = 32768 }, codes.OutOfRange},
		"replica twice":     {group, func(u *p4v1.Update) { mc(u).Replicas[0].Instance = 2 }, codes.InvalidArgument},
		"replica to 0":      {group, func(u *p4v1.Update) { mc(u).Replicas[0].PortKind.(*p4v1.Replica_Port).Port = []byte{0} }, codes.InvalidArgument},
		"replica to 511":    {group, func(u *p4v1.Update) { mc(u).Replicas[0].PortKind.(*p4v1.Replica_Port).Port = []byte{1, 0xff} }, codes.InvalidArgument},
		"replica nowhere":   {group, func(u *p4v1.Update) { mc(u).Replicas[0].PortKind = nil }, codes.InvalidArgument},
		"instance too high": {group, func(u *p4v1.Update) { mc(u).Replicas[0].Instance = 65536 }, codes.InvalidArgument},
		"session 0": {session, func(u *p4v1.Update) {
			u.GetEntity().GetPacketReplicationEngineEntry().GetCloneSessionEntry().SessionId = 0
		}, codes.InvalidArgument},
		"digest modified":    {digest, func(u *p4v1.Update) { u.Type = p4v1.Update_MODIFY }, codes.InvalidArgument},
		"digest unknown":     {digest, func(u *p4v1.Update) { u.GetEntity().GetDigestEntry().DigestId++ }, codes.InvalidArgument},
		"digest without ack": {digest, func(u *p4v1.Update) { u.GetEntity().GetDigestEntry().Config.AckTimeoutNs = 0 }, codes.InvalidArgument},
		"digest never":       {digest, func(u *p4v1.Update) { u.GetEntity().GetDigestEntry().Config.MaxTimeoutNs = 0 }, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			u := parse(t, c.text)
			if c.change != nil {
				c.change(u)
			}
			if err := sch.check(u); status.Code(err) != c.want {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// asDefault makes u set the default entry of its table, or reset it.
func asDefault(u *p4v1.Update, action uint32) {
	u.Type = p4v1.Update_MODIFY
	t := u.GetEntity().GetTableEntry()
	t.Match, t.IsDefaultAction, t.Action = nil, true, nil
	if action != 0 {
		t.Action = &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: &p4v1.Action{ActionId: action}}}
	}
}

func TestStateRefusesWhatDoesNotFitIt(t *testing.T) {
	sch, err := newSchema(small(t))
	if err != nil {
		t.Fatal(err)
	}
	s := &State{entries: map[string]*p4v1.Entity{}, tables: map[uint32]int{}}
	step := func(u *p4v1.Update, typ p4v1.Update_Type, want codes.Code) {
		t.Helper()
		u = proto.CloneOf(u)
		u.Type = typ
		err := s.check(u, sch)
		if status.Code(err) != want {
			t.Errorf("%v of %s: %v, want %v", typ, Identity(u.GetEntity()), err, want)
		}
		if err == nil {
			s.apply(u)
		}
	}
	for _, text := range []string{nexthop, route, trap, group, session, digest} {
		u := parse(t, text)
		step(u, p4v1.Update_MODIFY, codes.NotFound)
		step(u, p4v1.Update_DELETE, codes.NotFound)
		step(u, p4v1.Update_INSERT, codes.OK)
		step(u, p4v1.Update_INSERT, codes.AlreadyExists)
		step(u, p4v1.Update_MODIFY, codes.OK)
		step(u, p4v1.Update_DELETE, codes.OK)
		step(u, p4v1.Update_DELETE, codes.NotFound)
	}
	for i := range byte(5) { // the table has 4 places
		u := parse(t, source)
		u.GetEntity().GetTableEntry().Match[0].GetExact().Value = []byte{i}
		want := codes.OK
		if i == 4 {
			want = codes.Unknown // as BMv2 says it
		}
		step(u, p4v1.Update_INSERT, want)
	}
	if s.Len() != 4 {
		t.Errorf("%d entries, want 4", s.Len())
	}
}

func TestIdentityIgnoresTheOrderOfMatchFields(t *testing.T) {
	a, b := parse(t, route).GetEntity(), parse(t, route).GetEntity()
	m := b.GetTableEntry().GetMatch()
	m[0], m[1] = m[1], m[0]
	b.GetTableEntry().Action = nil
	if Identity(a) != Identity(b) {
		t.Errorf("%q and %q", Identity(a), Identity(b))
	}
	b.GetTableEntry().GetMatch()[0].GetLpm().PrefixLen++
	if Identity(a) == Identity(b) {
		t.Errorf("another prefix length is %q too", Identity(b))
	}
}
