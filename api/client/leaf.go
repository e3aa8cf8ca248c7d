package client

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	netpb "github.com/opiproject/opi-api/network/opinetcommon/v1alpha1/gen/go"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/p4evpn/p4evpn/ether"
)

// The values of fields as people write them: a prefix as 10.0.0.1/24, a MAC with
// colons, a duration as 90s, an enum by its short name, a reference by its id.

// isLeaf reports whether values of a field are written in one word.
func isLeaf(f protoreflect.FieldDescriptor) bool {
	if f.Kind() != protoreflect.MessageKind {
		return true
	}
	switch f.Message().FullName() {
	case "opi_api.network.opinetcommon.v1alpha1.IPPrefix", "google.protobuf.Duration", "google.protobuf.Timestamp":
		return true
	}
	return false
}

// wants says what values a field takes, for help and errors.
func wants(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.MessageKind:
		if f.Message().FullName() == "google.protobuf.Duration" {
			return "a duration such as 90s"
		}
		return "an address with its length, such as 10.0.0.1/24"
	case protoreflect.EnumKind:
		return strings.Join(enumNames(f.Enum())[1:], " or ")
	case protoreflect.BytesKind:
		return "a MAC address such as 02:00:00:00:00:01"
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.StringKind:
		if _, ok := references[f.Name()]; ok {
			return "an id"
		}
		return "text"
	}
	return "a number"
}

// parseLeaf reads one value.
func parseLeaf(f protoreflect.FieldDescriptor, s string) (protoreflect.Value, error) {
	bad := fmt.Errorf("%s: %q: want %s", f.Name(), clip(s), wants(f))
	switch f.Kind() {
	case protoreflect.MessageKind:
		return parseMessage(f, s, bad)
	case protoreflect.EnumKind:
		n, ok := parseEnum(f.Enum(), s)
		if !ok {
			return protoreflect.Value{}, bad
		}
		return protoreflect.ValueOfEnum(n), nil
	case protoreflect.BytesKind:
		m, err := ether.ParseMAC(s)
		if err != nil {
			return protoreflect.Value{}, bad
		}
		return protoreflect.ValueOfBytes(m[:]), nil
	case protoreflect.BoolKind:
		if s != "true" && s != "false" {
			return protoreflect.Value{}, bad
		}
		return protoreflect.ValueOfBool(s == "true"), nil
	case protoreflect.Uint32Kind:
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return protoreflect.Value{}, fmt.Errorf("%s: %q: want a number from 0 to %d", f.Name(), clip(s),
				uint32(math.MaxUint32))
		}
		return protoreflect.ValueOfUint32(uint32(n)), nil
	case protoreflect.StringKind:
		if collection, ok := references[f.Name()]; ok && !strings.Contains(s, "/") {
			s = collection + "/" + s
		}
		return protoreflect.ValueOfString(s), nil
	}
	return protoreflect.Value{}, fmt.Errorf("%s: values of %v cannot be given", f.Name(), f.Kind())
}

func parseMessage(f protoreflect.FieldDescriptor, s string, bad error) (protoreflect.Value, error) {
	if f.Message().FullName() == "google.protobuf.Duration" {
		d, err := time.ParseDuration(s)
		if err != nil {
			return protoreflect.Value{}, bad
		}
		return protoreflect.ValueOfMessage(durationpb.New(d).ProtoReflect()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return protoreflect.Value{}, bad
	}
	m := &netpb.IPPrefix{Len: int32(p.Bits()), Addr: &netpb.IPAddress{}}
	if a := p.Addr(); a.Is4() {
		b := a.As4()
		m.Addr.Af = netpb.IpAf_IP_AF_INET
		m.Addr.V4OrV6 = &netpb.IPAddress_V4Addr{V4Addr: uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])}
	} else {
		m.Addr.Af = netpb.IpAf_IP_AF_INET6
		m.Addr.V4OrV6 = &netpb.IPAddress_V6Addr{V6Addr: a.AsSlice()}
	}
	return protoreflect.ValueOfMessage(m.ProtoReflect()), nil
}

// formatLeaf writes one value: a string, a number or a bool.
func formatLeaf(f protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch f.Kind() {
	case protoreflect.MessageKind:
		switch m := v.Message().Interface().(type) {
		case *durationpb.Duration:
			return m.AsDuration().String()
		case *timestamppb.Timestamp:
			return m.AsTime().Format(time.RFC3339Nano)
		case *netpb.IPPrefix:
			return formatPrefix(m)
		}
	case protoreflect.EnumKind:
		return enumWord(f.Enum(), v.Enum())
	case protoreflect.BytesKind:
		if m, err := ether.FromBytes(v.Bytes()); err == nil {
			return m.String()
		}
		return fmt.Sprintf("%x", v.Bytes())
	case protoreflect.StringKind:
		if collection, ok := references[f.Name()]; ok {
			return strings.TrimPrefix(v.String(), collection+"/")
		}
		return v.String()
	}
	return v.Interface()
}

func formatPrefix(m *netpb.IPPrefix) string {
	var a netip.Addr
	switch addr := m.GetAddr().GetV4OrV6().(type) {
	case *netpb.IPAddress_V4Addr:
		n := addr.V4Addr
		a = netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	case *netpb.IPAddress_V6Addr:
		a, _ = netip.AddrFromSlice(addr.V6Addr)
	}
	return netip.PrefixFrom(a, int(m.GetLen())).String()
}

// Word is an enum's value as people write it: STATE_UP is up. One that is
// unspecified is "", one that this client does not know is its number.
func Word(e protoreflect.Enum) string { return enumWord(e.Descriptor(), e.Number()) }

func enumWord(e protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	if n == 0 {
		return ""
	}
	if d := e.Values().ByNumber(n); d != nil {
		return enumNames(e)[d.Index()]
	}
	return strconv.Itoa(int(n))
}

// parseEnum is the way back, so that what a newer gateway gives can be given back.
func parseEnum(e protoreflect.EnumDescriptor, s string) (protoreflect.EnumNumber, bool) {
	for i, name := range enumNames(e) {
		if i > 0 && name == strings.ToLower(s) {
			return e.Values().Get(i).Number(), true
		}
	}
	n, err := strconv.ParseInt(s, 10, 32)
	number := protoreflect.EnumNumber(n)
	return number, err == nil && e.Values().ByNumber(number) == nil
}

// enumNames are the values' names without what they have in common, in lower
// case: BRIDGE_PORT_TYPE_ACCESS is access.
func enumNames(e protoreflect.EnumDescriptor) []string {
	names := make([]string, e.Values().Len())
	prefix := string(e.Values().Get(0).Name())
	for i := range names {
		names[i] = string(e.Values().Get(i).Name())
		for !strings.HasPrefix(names[i], prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	prefix = prefix[:strings.LastIndex(prefix, "_")+1]
	for i := range names {
		names[i] = strings.ToLower(strings.TrimPrefix(names[i], prefix))
	}
	return names
}
