package p4rt_test

import (
	"maps"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
)

// other is what a target sends that says a JSON object.
func other(tb testing.TB, object string) *anypb.Any {
	tb.Helper()
	var s structpb.Struct
	err := protojson.Unmarshal([]byte(object), &s)
	if err != nil {
		tb.Fatal(err)
	}
	return packed(tb, &s)
}

func packed(tb testing.TB, m proto.Message) *anypb.Any {
	tb.Helper()
	a, err := anypb.New(m)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func TestMessagesOfTheArchitectureAreUnderstoodOrCountedAndNeverHurt(t *testing.T) {
	const structURL = "type.googleapis.com/google.protobuf.Struct"
	for name, m := range map[string]*anypb.Any{
		"nothing":                            {},
		"another type":                       packed(t, &p4v1.PacketIn{Payload: []byte{1}}),
		"an unknown type":                    {TypeUrl: "type.googleapis.com/vendor.Thing", Value: []byte{1, 2, 3}},
		"a damaged struct":                   {TypeUrl: structURL, Value: []byte{0xff}},
		"an empty struct":                    {TypeUrl: structURL},
		"another word":                       other(t, `{"fans": {"1": "slow"}}`),
		"no object":                          other(t, `{"refused_ports": "3"}`),
		"null":                               other(t, `{"refused_ports": null}`),
		"a port by name":                     other(t, `{"refused_ports": {"eth0": "x"}}`),
		"a negative port":                    other(t, `{"refused_ports": {"-1": "x"}}`),
		"a port of 33 bits":                  other(t, `{"refused_ports": {"4294967296": "x"}}`),
		"no object of those that are down":   other(t, `{"refused_ports": {}, "down_ports": []}`),
		"a port that is down, by a fraction": other(t, `{"down_ports": {"1.5": "x"}}`),
	} {
		t.Run(name, func(t *testing.T) {
			c, s := up(t, p4rttest.Config{})
			s.SendOther(m)
			s.SendOther(other(t, `{"refused_ports": {"3": "an address", "4294967295": 7}, "down_ports": {"4": "off"}, "news": []}`))
			states := next[p4rt.PortStates](t, c)
			if want := (map[uint32]string{4: "off"}); !maps.Equal(states.Down, want) {
				t.Errorf("ports that are down %v, want %v", states.Down, want)
			}
			got := states.Refused
			if want := (map[uint32]string{3: "an address", 4294967295: ""}); !maps.Equal(got, want) {
				t.Errorf("refused ports %v, want %v", got, want)
			}
			if n := testutil.ToFloat64(gauge(t, c, "p4evpn_p4rt_stream_messages_ignored_total")); n != 1 {
				t.Errorf("%v messages counted as ignored, want 1", n)
			}
		})
	}
}

func TestOfTheRefusedPortsThatWaitTheLatestAreKept(t *testing.T) {
	const size = 4
	c, s := up(t, p4rttest.Config{}, func(cfg *p4rt.Config) { cfg.QueueSize = size })
	for range 10 * size {
		s.SendOther(other(t, `{"refused_ports": {"1": "x"}}`))
	}
	s.SendOther(other(t, `{"refused_ports": {}}`))
	s.SendPacketIn(&p4v1.PacketIn{})
	received := func() float64 { return testutil.ToFloat64(gauge(t, c, "p4evpn_p4rt_events_total", "packet_in")) }
	s.WaitFor("the packet", func() bool { return received() == 1 })
	// One may have been in the hand of the deliverer since the beginning.
	got := next[p4rt.PortStates](t, c)
	if len(got.Refused) > 0 {
		got = next[p4rt.PortStates](t, c)
	}
	if got.Refused == nil || len(got.Refused) > 0 {
		t.Errorf("refused ports %v, want none", got.Refused)
	}
	next[p4rt.PacketIn](t, c)
}

// FuzzOther gives the client messages of the architecture with any content.
func FuzzOther(f *testing.F) {
	for _, m := range []*anypb.Any{
		other(f, `{"refused_ports": {"3": "an address"}}`), other(f, `{"down_ports": {"3": {}}}`), other(f, `{"refused_ports": [[{}]]}`), packed(f,
			&p4v1.PacketIn{}),
	} {
		f.Add(m.TypeUrl, m.Value)
	}
	c, s := up(f, p4rttest.Config{})
	sentinel := other(f, `{"refused_ports": {"77": "the end"}}`)
	f.Fuzz(func(t *testing.T, typeURL string, value []byte) {
		m := &anypb.Any{TypeUrl: typeURL, Value: value}
		if _, err := proto.Marshal(m); err != nil {
			t.Skip("no message: " + err.Error())
		}
		s.SendOther(m)
		s.SendOther(sentinel)
		for next[p4rt.PortStates](t, c).Refused[77] != "the end" {
		}
	})
}
