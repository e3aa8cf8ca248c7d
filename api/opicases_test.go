package api

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// opiKind is a kind of objects as the cases below have it, beside "other" of the same kind.
type opiKind struct{ kind, plural, field, alias, id, spec string }

const (
	opiMAC    = `"mac_address": "ZLgzTIhP"`
	opiPrefix = `{"addr": {"af": "IP_AF_INET", "v4_addr": 167772162}, "len": 24}`
	opiHost   = "//network.opiproject.org/"
)

var opiKinds = []opiKind{
	{"LogicalBridge", "LogicalBridges", "logical_bridge", "bridges", "opi-bridge9",
		`{"vlan_id": 22, "vni": 11, "vtep_ip_prefix": ` + opiPrefix + `}`},
	{"BridgePort", "BridgePorts", "bridge_port", "ports", "opi-port8",
		`{` + opiMAC + `, "ptype": "BRIDGE_PORT_TYPE_TRUNK", "logical_bridges": ["` + opiHost + `bridges/opi-bridge9"]}`},
	{"Vrf", "Vrfs", "vrf", "vrfs", "opi-vrf8",
		`{"vni": 1000, "loopback_ip_prefix": ` + opiPrefix + `, "vtep_ip_prefix": ` + opiPrefix + `}`},
	{"Svi", "Svis", "svi", "svis", "opi-svi8", `{"vrf": "` + opiHost + `vrfs/opi-vrf8", "logical_bridge": "` + opiHost +
		`bridges/opi-bridge9", ` + opiMAC + `, "gw_ip_prefix": [` + opiPrefix + `]}`},
}

// opiCase is a case of the reference bridge's own tests of its API, or one beside them.
type opiCase struct {
	of     string // a kind, "" for each
	what   string
	method string // "Create{K}": {K} is the kind, {Ks} several, {f} the field, {N} the collection in names
	sent   string // the request; {id} and {spec} are the kind's
	ours   codes.Code
	theirs codes.Code
	why    string
}

const (
	plain        = "a plain error"
	leadsNowhere = "a plain error; a reference leads nowhere"
)

var opiCases = []opiCase{
	{"", "an id with capitals", "Create{K}", `{"{f}": {"spec": {spec}}, "{f}_id": "CapitalLettersNotAllowed"}`,
		codes.InvalidArgument, codes.Unknown, plain},
	{"", "no object", "Create{K}", `{"{f}_id": "{id}"}`, codes.InvalidArgument, codes.Unknown, plain},
	{"", "an empty spec", "Create{K}", `{"{f}": {"spec": {}}, "{f}_id": "opi-other"}`, codes.InvalidArgument,
		codes.Unknown, plain},
	{"", "an object that is there", "Create{K}", `{"{f}": {"spec": {spec}}, "{f}_id": "{id}"}`, codes.OK, codes.OK, ""},
	{"LogicalBridge", "VLAN 4096", "Create{K}", `{"{f}": {"spec": {"vlan_id": 4096}}, "{f}_id": "opi-other"}`,
		codes.InvalidArgument, codes.InvalidArgument, ""},
	{"LogicalBridge", "VLAN 4095", "Create{K}", `{"{f}": {"spec": {"vlan_id": 4095}}, "{f}_id": "opi-other"}`,
		codes.InvalidArgument, codes.OK, "reserved (IEEE 802.1Q)"},
	{"LogicalBridge", "no VNI", "Create{K}", `{"{f}": {"spec": {"vlan_id": 23}}, "{f}_id": "opi-other"}`, codes.OK,
		codes.OK, ""},
	{"LogicalBridge", "a different one with the id", "Create{K}", `{"{f}": {"spec": {"vlan_id": 23}}, "{f}_id": "{id}"}`,
		codes.AlreadyExists, codes.OK, "they give the old one back: AIP-133, ALREADY_EXISTS"},
	{"Vrf", "no VNI", "Create{K}", `{"{f}": {"spec": {"loopback_ip_prefix": ` + opiPrefix + `}}, "{f}_id": "opi-other"}`,
		codes.OK, codes.OK, ""},
	{"BridgePort", "no type", "Create{K}", `{"{f}": {"spec": {` + opiMAC + `}}, "{f}_id": "opi-other"}`,
		codes.InvalidArgument, codes.Unknown, plain},
	{"BridgePort", "an access port of three bridges", "Create{K}", `{"{f}": {"spec": {` + opiMAC +
		`, "ptype": "BRIDGE_PORT_TYPE_ACCESS", "logical_bridges": ["Japan", "Australia", "Germany"]}}, "{f}_id": "opi-other"}`,
		codes.InvalidArgument, codes.InvalidArgument, ""},
	{"BridgePort", "bridges by words that are no names", "Create{K}", `{"{f}": {"spec": {` + opiMAC +
		`, "ptype": "BRIDGE_PORT_TYPE_TRUNK", "logical_bridges": ["Japan"]}}, "{f}_id": "opi-other"}`,
		codes.InvalidArgument, codes.Unknown, plain + "; and a name is `logicalBridges/{id}` (AIP-122)"},
	{"BridgePort", "bridges that are not there", "Create{K}", `{"{f}": {"spec": {` + opiMAC +
		`, "ptype": "BRIDGE_PORT_TYPE_TRUNK", "logical_bridges": ["` + opiHost + `bridges/japan"]}}, "{f}_id": "opi-other"}`,
		codes.NotFound, codes.Unknown, leadsNowhere},
	{"Svi", "no bridge", "Create{K}", `{"{f}": {"spec": {"vrf": "` + opiHost + `vrfs/opi-vrf8"}}, "{f}_id": "opi-other"}`,
		codes.InvalidArgument, codes.Unknown, plain},
	{"Svi", "no MAC", "Create{K}", `{"{f}": {"spec": {"vrf": "` + opiHost + `vrfs/opi-vrf8", "logical_bridge": "` +
		opiHost + `bridges/opi-bridge9", "gw_ip_prefix": [` + opiPrefix + `]}}, "{f}_id": "opi-other"}`,
		codes.InvalidArgument, codes.Unknown, plain},
	{"Svi", "no gateway", "Create{K}", `{"{f}": {"spec": {"vrf": "` + opiHost + `vrfs/opi-vrf8", "logical_bridge": "` +
		opiHost + `bridges/opi-bridge9", ` + opiMAC + `}}, "{f}_id": "opi-other"}`,
		codes.InvalidArgument, codes.Unknown, plain},
	{"Svi", "a bridge's name that is none", "Create{K}", sviCase(opiHost+"vrfs/opi-vrf8", "-ABC-DEF", ""),
		codes.InvalidArgument, codes.InvalidArgument, ""},
	{"Svi", "a VRF's name that is none", "Create{K}", sviCase("-ABC-DEF", opiHost+"bridges/opi-bridge9", ""),
		codes.InvalidArgument, codes.InvalidArgument, ""},
	{"Svi", "a bridge that is not there", "Create{K}", sviCase(opiHost+"vrfs/opi-vrf8", opiHost+"bridges/unknown-bridge", ""),
		codes.NotFound, codes.Unknown, leadsNowhere},
	{"Svi", "a VRF that is not there", "Create{K}", sviCase(opiHost+"vrfs/unknown-vrf", opiHost+"bridges/opi-bridge9", ""),
		codes.NotFound, codes.Unknown, leadsNowhere},
	{"Svi", "remote_as without enable_bgp", "Create{K}", sviCase(opiHost+"vrfs/opi-vrf8", opiHost+"bridges/opi-bridge9",
		`, "remote_as": 65000`), codes.InvalidArgument, codes.InvalidArgument, ""},
	{"", "one that is not there", "Delete{K}", `{"name": "{N}unknown-id"}`, codes.NotFound, codes.NotFound, ""},
	{"", "the same with allow_missing", "Delete{K}", `{"name": "{N}unknown-id", "allow_missing": true}`, codes.OK, codes.OK,
		""},
	{"", "a name that is none", "Delete{K}", `{"name": "{N}-ABC-DEF"}`, codes.InvalidArgument, codes.Unknown, plain},
	{"Svi", "one that is there", "Delete{K}", `{"name": "{N}{id}"}`, codes.OK, codes.OK, ""},
	{"BridgePort", "one that is there", "Delete{K}", `{"name": "{N}{id}"}`, codes.OK, codes.OK, ""},
	{"LogicalBridge", "one that others refer to", "Delete{K}", `{"name": "{N}{id}"}`, codes.FailedPrecondition, codes.Unknown,
		plain},
	{"", wholeAndMore, "Update{K}", `{"{f}": {"name": "{N}{id}", "spec": {spec}}}`,
		codes.InvalidArgument, codes.Unknown, plain},
	{"", "one that is not there", "Update{K}", `{"{f}": {"name": "{N}unknown-id", "spec": {spec}}}`, codes.NotFound,
		codes.NotFound, ""},
	{"", "one that is there", "Get{K}", `{"name": "{N}{id}"}`, codes.OK, codes.OK, ""},
	{"", "one that is not there", "Get{K}", `{"name": "{N}unknown-id"}`, codes.NotFound, codes.NotFound, ""},
	{"", "an id alone", "Get{K}", `{"name": "unknown-id"}`, codes.InvalidArgument, codes.NotFound,
		"it is no name of the kind (AIP-122): INVALID_ARGUMENT says what one looks like"},
	{"", "a name that is none", "Get{K}", `{"name": "-ABC-DEF"}`, codes.InvalidArgument, codes.Unknown, plain},
	{"", "all", "List{Ks}", `{}`, codes.OK, codes.OK, ""},
	{"", "a page of -10", "List{Ks}", `{"page_size": -10}`, codes.InvalidArgument, codes.InvalidArgument, ""},
	{"", "a token that nobody gave", "List{Ks}", `{"page_token": "unknown-pagination-token"}`, codes.InvalidArgument,
		codes.NotFound, "AIP-158: INVALID_ARGUMENT"},
	{"", "a page of 1000", "List{Ks}", `{"page_size": 1000}`, codes.OK, codes.OK, ""},
	{"", "a page of 1", "List{Ks}", `{"page_size": 1}`, codes.OK, codes.OK, ""},
}

// wholeAndMore is a case of a mask that protobuf's JSON cannot say.
const wholeAndMore = "a mask of `*` and more"

func sviCase(vrf, bridge, more string) string {
	return `{"{f}": {"spec": {"vrf": "` + vrf + `", "logical_bridge": "` + bridge + `", ` + opiMAC + `, "gw_ip_prefix": [` +
		opiPrefix + `]` + more + `}}, "{f}_id": "opi-other"}`
}

func (k opiKind) fill(s string) string {
	return strings.NewReplacer("{Ks}", k.plural, "{K}", k.kind, "{f}", k.field, "{N}", opiHost+k.alias+"/", "{id}", k.id,
		"{spec}", k.spec).Replace(s)
}

// invoke calls a method of the OPI API with a request in JSON.
func (g *gateway) invoke(t *testing.T, k opiKind, method, request string, paths ...string) error {
	t.Helper()
	for _, s := range opiServices() {
		if s.Name() != protoreflect.Name(k.kind+"Service") {
			continue
		}
		m := s.Methods().ByName(protoreflect.Name(method))
		in, err := newMessage(m.Input())
		if err != nil {
			t.Fatal(err)
		}
		out, err := newMessage(m.Output())
		if err == nil {
			err = protojson.Unmarshal([]byte(request), in)
		}
		if err != nil {
			t.Fatalf("%s %s: %v", method, request, err)
		}
		if paths != nil {
			in.ProtoReflect().Set(in.ProtoReflect().Descriptor().Fields().ByName("update_mask"),
				protoreflect.ValueOfMessage(mask(paths...).ProtoReflect()))
		}
		return g.conn.Invoke(t.Context(), "/"+string(s.FullName())+"/"+method, in, out)
	}
	t.Fatal(k.kind)
	return nil
}

// The reference bridge's own cases, with the codes that they have there and here.
func TestTheReferenceBridgesCasesGetTheCodesOfAIP(t *testing.T) {
	for _, c := range opiCases {
		for _, k := range opiKinds {
			if c.of != "" && c.of != k.kind {
				continue
			}
			g := newGateway(t)
			for _, other := range opiKinds {
				if err := g.invoke(t, other, "Create"+other.kind, other.fill(`{"{f}": {"spec": {spec}}, "{f}_id": "{id}"}`)); err != nil {
					t.Fatal(err)
				}
			}
			before := frozen(t, g.store)
			var paths []string
			if c.what == wholeAndMore {
				paths = []string{"*", "author"}
			}
			err := g.invoke(t, k, k.fill(c.method), k.fill(c.sent), paths...)
			if got := status.Code(err); got != c.ours {
				t.Errorf("%s, %s: %v, want %v", k.fill(c.method), c.what, err, c.ours)
			}
			if c.ours != codes.OK && !reflect.DeepEqual(before, frozen(t, g.store)) {
				t.Errorf("%s, %s was refused and changed something", k.fill(c.method), c.what)
			}
		}
		if (c.ours != c.theirs) != (c.why != "") {
			t.Errorf("%s, %s: a difference wants a reason, and nothing else does", c.method, c.what)
		}
	}
}

// docs/api.md has the cases as a table.
func TestTheDocsHaveTheReferenceBridgesCases(t *testing.T) {
	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	name := func(c codes.Code) string {
		return map[codes.Code]string{codes.OK: "OK", codes.InvalidArgument: "INVALID_ARGUMENT", codes.Unknown: "UNKNOWN",
			codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "ALREADY_EXISTS",
			codes.FailedPrecondition: "FAILED_PRECONDITION"}[c]
	}
	var table strings.Builder
	for _, c := range opiCases {
		call := opiKind{kind: c.of}.fill(c.method)
		theirs := name(c.theirs)
		if c.theirs == c.ours {
			theirs = ""
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", call, c.what, name(c.ours), theirs, c.why)
	}
	if !strings.Contains(string(page), table.String()) {
		t.Errorf("docs/api.md wants this table:\n%s", &table)
	}
}
