package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/p4evpn/p4evpn/bgp"
)

// The error codes (RFC 4271 section 4.5, RFC 7313, RFC 9687).
const (
	HeaderError       = 1
	OpenError         = 2
	UpdateError       = 3
	HoldTimerExpired  = 4
	StateMachineError = 5
	Cease             = 6
	RouteRefreshError = 7
	SendHoldTimer     = 8
)

// Subcodes of HeaderError (RFC 4271 section 6.1).
const (
	NotSynchronized  = 1
	BadMessageLength = 2
	BadMessageType   = 3
)

// Subcodes of OpenError (RFC 4271 section 6.2, RFC 5492 section 5, RFC 9234 section 4.2).
const (
	UnsupportedVersion    = 1
	BadPeerAS             = 2
	BadIdentifier         = 3
	UnsupportedParameter  = 4
	UnacceptableHoldTime  = 6
	UnsupportedCapability = 7
	RoleMismatch          = 11
)

// Subcodes of UpdateError (RFC 4271 section 6.3).
const (
	MalformedAttributeList = 1
	UnrecognizedWellKnown  = 2
	MissingWellKnown       = 3
	AttributeFlagsError    = 4
	AttributeLengthError   = 5
	InvalidOrigin          = 6
	InvalidNextHop         = 8
	OptionalAttributeError = 9
	InvalidNetworkField    = 10
	MalformedASPath        = 11
)

// Subcodes of StateMachineError (RFC 6608 section 3): the state in which a message came
// that may not.
const (
	InOpenSent    = 1
	InOpenConfirm = 2
	InEstablished = 3
)

// Subcodes of Cease (RFC 4486 section 3, RFC 8538 section 3, RFC 9384 section 2).
const (
	MaximumPrefixes      = 1
	AdminShutdown        = 2
	PeerDeconfigured     = 3
	AdminReset           = 4
	ConnectionRejected   = 5
	OtherConfiguration   = 6
	CollisionResolution  = 7
	OutOfResources       = 8
	hardReset            = 9
	BFDDown              = 10
	InvalidMessageLength = 1 // of RouteRefreshError (RFC 7313 section 5)
)

var codeNames = []string{
	1: "message header error", "OPEN message error", "UPDATE message error", "hold timer expired",
	"state machine error", "cease", "ROUTE-REFRESH message error", "send hold timer expired",
}

var subcodeNames = [][]string{
	HeaderError: {1: "connection not synchronised", "bad message length", "bad message type"},
	OpenError: {1: "unsupported version number", "bad peer AS", "bad BGP identifier",
		"unsupported optional parameter", "authentication failure", "unacceptable hold time",
		"unsupported capability", 11: "role mismatch"},
	UpdateError: {1: "malformed attribute list", "unrecognised well-known attribute",
		"missing well-known attribute", "attribute flags error", "attribute length error", "invalid ORIGIN",
		"AS routing loop", "invalid NEXT_HOP", "optional attribute error", "invalid network field",
		"malformed AS_PATH"},
	StateMachineError: {1: "unexpected message in OpenSent", "unexpected message in OpenConfirm",
		"unexpected message in Established"},
	Cease: {1: "maximum number of prefixes reached", "administrative shutdown", "peer de-configured",
		"administrative reset", "connection rejected", "other configuration change",
		"connection collision resolution", "out of resources", "hard reset", "BFD down"},
	RouteRefreshError: {1: "invalid message length"},
	SendHoldTimer:     {},
}

// Notification is what ends a session. It is an error with the text of its codes.
type Notification struct {
	Code, Subcode uint8
	Data          []byte
	// Hard is that it came, or goes, as a hard reset (RFC 8538 section 3), which ends
	// the session and no routes are kept.
	Hard bool
}

// ParseNotification reads the body of a NOTIFICATION message. A hard reset gives what it
// wraps, with Hard set. What is too short to be one is 0/0.
func ParseNotification(body []byte) *Notification {
	n := &Notification{}
	if len(body) < 2 {
		return n
	}
	n.Code, n.Subcode, body = body[0], body[1], body[2:]
	if n.Code == Cease && n.Subcode == hardReset {
		n.Hard = true
		if len(body) >= 2 {
			n.Code, n.Subcode, body = body[0], body[1], body[2:]
		}
	}
	n.Data = append(n.Data, body...)
	return n
}

// Append appends the body.
func (n *Notification) Append(b []byte) []byte {
	if n.Hard && (n.Code != Cease || n.Subcode != hardReset) {
		b = append(b, Cease, hardReset)
	}
	return append(append(b, n.Code, n.Subcode), n.Data...)
}

func (n *Notification) Error() string {
	var b strings.Builder
	name := ""
	if int(n.Code) < len(codeNames) {
		name = codeNames[n.Code]
	}
	if name == "" {
		name = "unknown error"
	}
	b.WriteString(name)
	if int(n.Code) < len(subcodeNames) && int(n.Subcode) < len(subcodeNames[n.Code]) {
		if s := subcodeNames[n.Code][n.Subcode]; s != "" {
			b.WriteString(": " + s)
		}
	}
	fmt.Fprintf(&b, " (%d/%d)", n.Code, n.Subcode)
	if n.Hard {
		b.WriteString(", hard reset")
	}
	if text := n.Text(); text != "" {
		fmt.Fprintf(&b, ": %q", text)
	}
	return b.String()
}

// Text is what the operator of the other side says (RFC 9003 section 2) of an
// administrative shutdown or reset, empty if that is nothing. It is untrusted, and valid
// UTF-8 in any case.
func (n *Notification) Text() string {
	if n.Code != Cease || n.Subcode != AdminShutdown && n.Subcode != AdminReset || len(n.Data) == 0 {
		return ""
	}
	text := n.Data[1:]
	if size := int(n.Data[0]); size < len(text) {
		text = text[:size]
	}
	return strings.ToValidUTF8(string(text), "\ufffd")
}

// Shutdown is the Cease with a text for the operator of the other side (RFC 9003 section
// 2): subcode is AdminShutdown or AdminReset. The text is cut to 255 bytes, between two
// characters.
func Shutdown(subcode uint8, text string) *Notification {
	text = strings.ToValidUTF8(text, "\ufffd")
	for end := min(len(text), 255); ; end-- {
		if end == len(text) || utf8.RuneStart(text[end]) {
			text = text[:end]
			break
		}
	}
	n := &Notification{Code: Cease, Subcode: subcode}
	if text != "" {
		n.Data = append([]byte{byte(len(text))}, text...)
	}
	return n
}

// TooManyPrefixes is the Cease for more routes of a family than limit (RFC 4486
// section 4).
func TooManyPrefixes(f bgp.Family, limit uint32) *Notification {
	family := FamilyOf(f)
	data := append(binary.BigEndian.AppendUint16(nil, family.AFI), family.SAFI)
	return &Notification{Code: Cease, Subcode: MaximumPrefixes, Data: binary.BigEndian.AppendUint32(data, limit)}
}
