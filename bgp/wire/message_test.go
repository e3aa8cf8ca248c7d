package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

func read(b []byte, limit int) (Type, []byte, error) {
	return ReadMessage(bufio.NewReader(bytes.NewReader(b)), make([]byte, 64), limit)
}

// header is that of a message, with a length that need not be true.
func header(typ Type, length int) []byte {
	h := AppendMessage(nil, typ, nil)
	h[16], h[17] = byte(length>>8), byte(length)
	return h
}

// RFC 4271 section 6.1; RFC 8654 section 4 for what is longer than 4096.
func TestHeaderThatIsWrongIsANotification(t *testing.T) {
	mark := header(KeepaliveType, 19)
	mark[3] = 0xfe
	for name, c := range map[string]struct {
		header  []byte
		limit   int
		subcode uint8
		data    []byte
	}{
		"marker":             {mark, MaxMessage, NotSynchronized, nil},
		"length 18":          {header(UpdateType, 18), MaxMessage, BadMessageLength, []byte{0, 18}},
		"length 4097":        {header(UpdateType, 4097), MaxMessage, BadMessageLength, []byte{16, 1}},
		"OPEN of 28":         {header(OpenType, 28), MaxMessage, BadMessageLength, []byte{0, 28}},
		"OPEN of 4097":       {header(OpenType, 4097), MaxExtended, BadMessageLength, []byte{16, 1}},
		"UPDATE of 22":       {header(UpdateType, 22), MaxMessage, BadMessageLength, []byte{0, 22}},
		"NOTIFICATION of 20": {header(NotificationType, 20), MaxMessage, BadMessageLength, []byte{0, 20}},
		"KEEPALIVE of 20":    {header(KeepaliveType, 20), MaxExtended, BadMessageLength, []byte{0, 20}},
		"type 0":             {header(0, 19), MaxMessage, BadMessageType, []byte{0}},
		"type 6":             {header(6, 30), MaxMessage, BadMessageType, []byte{6}},
		"type 255":           {header(255, 5000), MaxExtended, BadMessageType, []byte{255}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := read(c.header, c.limit)
			var n *Notification
			if !errors.As(err, &n) || n.Code != HeaderError || n.Subcode != c.subcode || !bytes.Equal(n.Data, c.data) {
				t.Errorf("%+v, want 1/%d with % x", err, c.subcode, c.data)
			}
		})
	}
}

// RFC 4271 section 4, RFC 8654 section 4.
func TestMessageIsReadUpToTheLengthThatBothSidesHave(t *testing.T) {
	for _, c := range []struct {
		typ          Type
		body, limit  int
		longerThanIs bool
	}{
		{OpenType, 10, MaxMessage, false}, {OpenType, 4077, MaxExtended, false}, {UpdateType, 4, MaxMessage, false},
		{UpdateType, 4077, MaxMessage, false}, {UpdateType, 4078, MaxExtended, false}, {UpdateType, 65516, MaxExtended, true},
		{NotificationType, 2, MaxMessage, false}, {NotificationType, 65516, MaxExtended, false},
		{KeepaliveType, 0, MaxMessage, false}, {RouteRefreshType, 4, MaxMessage, false}, {RouteRefreshType, 0, MaxMessage, false},
	} {
		want := bytes.Repeat([]byte{7}, c.body)
		stream := AppendMessage(AppendMessage(nil, c.typ, want), KeepaliveType, nil)
		r := bufio.NewReader(bytes.NewReader(stream))
		typ, got, err := ReadMessage(r, nil, c.limit)
		if err != nil || typ != c.typ || !bytes.Equal(got, want) {
			t.Errorf("%v of %d: %v, %d bytes, %v", c.typ, c.body, typ, len(got), err)
		}
		if typ, got, err := ReadMessage(r, nil, c.limit); typ != KeepaliveType || len(got) != 0 || err != nil {
			t.Errorf("%v of %d: then %v, %v", c.typ, c.body, typ, err)
		}
		if _, _, err := ReadMessage(r, nil, c.limit); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v of %d: at the end %v", c.typ, c.body, err)
		}
	}
}

func TestMessageThatIsCutOffIsAnError(t *testing.T) {
	whole := AppendMessage(nil, UpdateType, body(nil, nil, nil))
	for n := 1; n < len(whole); n++ {
		if _, _, err := read(whole[:n], MaxMessage); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestReadingMessagesAllocatesNothing(t *testing.T) {
	stream := bytes.Repeat(AppendMessage(nil, UpdateType, announced(given(external()), two())), 100)
	src := bytes.NewReader(stream)
	r, buf := bufio.NewReader(src), make([]byte, MaxMessage)
	allocs := testing.AllocsPerRun(10, func() {
		src.Reset(stream)
		r.Reset(src)
		for range 100 {
			if _, _, err := ReadMessage(r, buf, MaxMessage); err != nil {
				t.Fatal(err)
			}
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations for 100 messages", allocs)
	}
}

// RFC 2918 section 3, RFC 7313 sections 3.2 and 5, RFC 5291 section 4.
func TestRouteRefreshIsRead(t *testing.T) {
	want := RouteRefresh{EVPN, BeginningOfRouteRefresh}
	if got, err := ParseRouteRefresh(want.Append(nil)); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	filters := []byte{0, 1, 0, 1, 2, 128, 0, 0}
	if got, err := ParseRouteRefresh(filters); err != nil || got != (RouteRefresh{IPv4Unicast, Request}) {
		t.Errorf("with filters: %+v, %v", got, err)
	}
	if got, err := ParseRouteRefresh([]byte{0, 1, 9, 1, 0}); err != nil || got.Subtype != 9 {
		t.Errorf("of subtype 9: %+v, %v", got, err)
	}
	for _, bad := range [][]byte{{}, {0, 1, 0}, {0, 25, 1, 70, 0}, {0, 25, 2, 70, 0}} {
		_, err := ParseRouteRefresh(bad)
		var n *Notification
		if !errors.As(err, &n) || n.Code != RouteRefreshError || n.Subcode != InvalidMessageLength ||
			!bytes.Equal(n.Data, AppendMessage(nil, RouteRefreshType, bad)) {
			t.Errorf("% x: %v", bad, err)
		}
	}
}

// RFC 4271 section 4.5 and the registry that it began.
func TestNotificationSaysWhatItsCodesMean(t *testing.T) {
	for want, n := range map[string]*Notification{
		"message header error: bad message length (1/2)":                {Code: 1, Subcode: 2},
		"OPEN message error: bad peer AS (2/2)":                         {Code: 2, Subcode: 2},
		"OPEN message error: role mismatch (2/11)":                      {Code: 2, Subcode: 11},
		"UPDATE message error: malformed AS_PATH (3/11)":                {Code: 3, Subcode: 11},
		"hold timer expired (4/0)":                                      {Code: 4},
		"state machine error: unexpected message in OpenSent (5/1)":     {Code: 5, Subcode: 1},
		"cease: maximum number of prefixes reached (6/1)":               {Code: 6, Subcode: 1},
		"cease: connection collision resolution (6/7)":                  {Code: 6, Subcode: 7},
		"cease: BFD down (6/10)":                                        {Code: 6, Subcode: 10},
		"cease (6/99)":                                                  {Code: 6, Subcode: 99},
		"ROUTE-REFRESH message error: invalid message length (7/1)":     {Code: 7, Subcode: 1},
		"send hold timer expired (8/0)":                                 {Code: 8},
		"unknown error (0/0)":                                           {},
		"unknown error (200/200)":                                       {Code: 200, Subcode: 200},
		`cease: administrative shutdown (6/2): "back at 7"`:             Shutdown(AdminShutdown, "back at 7"),
		`cease: administrative reset (6/4), hard reset: "a\nb"`:         {Code: 6, Subcode: 4, Hard: true, Data: []byte("\x03a\nb")},
		"cease: hard reset (6/9), hard reset":                           {Code: 6, Subcode: 9, Hard: true},
		"UPDATE message error: unrecognised well-known attribute (3/2)": {Code: 3, Subcode: 2, Data: []byte("\x02ab")},
	} {
		if got := n.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// RFC 9003 section 2.
func TestShutdownCarriesATextInBothDirections(t *testing.T) {
	long := strings.Repeat("ä", 200)
	for text, want := range map[string]string{
		"": "", "maintenance": "maintenance", "für heute Schluß": "für heute Schluß", "a\xffb": "a\ufffdb",
		long: long[:254], // not half a character
	} {
		n := Shutdown(AdminShutdown, text)
		if n.Code != Cease || n.Subcode != AdminShutdown || len(n.Data) > 256 || (len(n.Data) > 0) != (text != "") {
			t.Fatalf("%q: %+v", text, n)
		}
		if got := ParseNotification(n.Append(nil)).Text(); got != want {
			t.Errorf("%q arrives as %q", text, got)
		}
	}
	for _, c := range []struct {
		data []byte
		want string
	}{
		{nil, ""}, {[]byte{0}, ""}, {[]byte{200, 'h', 'i'}, "hi"}, {[]byte{2, 'h', 'i', 'x'}, "hi"}, {[]byte{2, 0xc3, 0x28}, "\ufffd("},
	} {
		if got := (&Notification{Code: Cease, Subcode: AdminReset, Data: c.data}).Text(); got != c.want {
			t.Errorf("% x: %q, want %q", c.data, got, c.want)
		}
	}
	if got := (&Notification{Code: UpdateError, Subcode: 2, Data: []byte("\x02hi")}).Text(); got != "" {
		t.Errorf("of another code: %q", got)
	}
}

// RFC 8538 section 3.
func TestHardResetIsWhatItWraps(t *testing.T) {
	n := ParseNotification([]byte{6, 9, 6, 4, 2, 'h', 'i'})
	if n.Code != Cease || n.Subcode != AdminReset || !n.Hard || n.Text() != "hi" {
		t.Errorf("%+v", n)
	}
	if b := n.Append(nil); !bytes.Equal(b, []byte{6, 9, 6, 4, 2, 'h', 'i'}) {
		t.Errorf("% x", b)
	}
	for _, b := range [][]byte{{6, 9}, {6, 9, 6}, {4, 0}, {6, 2, 0}} {
		n := ParseNotification(b)
		if n.Hard != (b[1] == 9) || !bytes.Equal(n.Append(nil), b) {
			t.Errorf("% x: %+v", b, n)
		}
	}
	if n := ParseNotification([]byte{6}); n.Code != 0 {
		t.Errorf("of one byte: %+v", n)
	}
}

// RFC 4486 section 4.
func TestTooManyPrefixesSaysOfWhichFamilyAndHowMany(t *testing.T) {
	if b := TooManyPrefixes(bgp.EVPN, 250000).Append(nil); !bytes.Equal(b, []byte{6, 1, 0, 25, 70, 0, 3, 0xd0, 0x90}) {
		t.Errorf("% x", b)
	}
}

// good is an OPEN with one of each capability.
func good() Open {
	return Open{AS: 4200000000, HoldTime: 90, ID: leaf, Families: []Family{EVPN, IPv4Unicast, RTConstraint}, AS4: true,
		RouteRefresh: true, EnhancedRefresh: true, ExtendedMessage: true,
		GracefulRestart: &GracefulRestart{Restarting: true, Notification: true, Time: 4095,
			Families: []Preserved{{EVPN, true}, {IPv4Unicast, false}}},
		LongLived: []LongLived{{EVPN, true, 1<<24 - 1}, {IPv4Unicast, false, 7}},
		Unknown:   []Capability{{73, []byte("leaf")}, {200, []byte{}}},
	}
}

func withOptions(options ...byte) []byte {
	return slices.Concat([]byte{4, 0xfd, 0xea, 0, 90, 10, 0, 0, 2, byte(len(options))}, options)
}

func parameter(caps ...byte) []byte { return append([]byte{2, byte(len(caps))}, caps...) }
