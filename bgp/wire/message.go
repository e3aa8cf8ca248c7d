package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Type is the type of a message (RFC 4271 section 4.1, RFC 2918).
type Type uint8

// The types of message.
const (
	OpenType         Type = 1
	UpdateType       Type = 2
	NotificationType Type = 3
	KeepaliveType    Type = 4
	RouteRefreshType Type = 5
)

func (t Type) String() string {
	switch t {
	case OpenType:
		return "OPEN"
	case UpdateType:
		return "UPDATE"
	case NotificationType:
		return "NOTIFICATION"
	case KeepaliveType:
		return "KEEPALIVE"
	case RouteRefreshType:
		return "ROUTE-REFRESH"
	}
	return fmt.Sprintf("message of type %d", uint8(t))
}

// HeaderLength is that of a message's header. MaxMessage is how long a message may be,
// with its header, and MaxExtended where both sides have RFC 8654.
const (
	HeaderLength = 19
	MaxMessage   = 4096
	MaxExtended  = 65535
)

// ReadMessage reads one message of at most limit bytes, which is MaxMessage or
// MaxExtended. The body is in buf where that is long enough, and then valid until the
// next call. A header that RFC 4271 section 6.1 refuses is a *Notification; an end
// before the first byte is io.EOF, one inside a message io.ErrUnexpectedEOF.
func ReadMessage(r *bufio.Reader, buf []byte, limit int) (Type, []byte, error) {
	if cap(buf) < HeaderLength {
		buf = make([]byte, MaxMessage)
	}
	buf = buf[:cap(buf)]
	if _, err := io.ReadFull(r, buf[:HeaderLength]); err != nil {
		return 0, nil, err
	}
	typ, n, bad := parseHeader((*[HeaderLength]byte)(buf), limit)
	if bad != nil {
		return 0, nil, bad
	}
	if n > len(buf) {
		buf = make([]byte, n)
	}
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return typ, buf[:n], nil
}

// parseHeader gives the type and the length of the body.
func parseHeader(h *[HeaderLength]byte, limit int) (Type, int, *Notification) {
	for _, b := range h[:16] {
		if b != 0xff {
			return 0, 0, &Notification{Code: HeaderError, Subcode: NotSynchronized}
		}
	}
	typ, n := Type(h[18]), int(binary.BigEndian.Uint16(h[16:]))
	least := HeaderLength
	switch typ {
	case OpenType: // RFC 8654 section 4 extends neither this nor KEEPALIVE
		least, limit = HeaderLength+openLength, min(limit, MaxMessage)
	case UpdateType:
		least += 4
	case NotificationType:
		least += 2
	case KeepaliveType:
		limit = HeaderLength
	case RouteRefreshType: // RFC 7313 section 5 has an error of its own for its length
	default:
		if n >= least && n <= limit {
			return 0, 0, &Notification{Code: HeaderError, Subcode: BadMessageType, Data: []byte{h[18]}}
		}
	}
	if n < least || n > limit {
		return 0, 0, &Notification{Code: HeaderError, Subcode: BadMessageLength, Data: []byte{h[16], h[17]}}
	}
	return typ, n - HeaderLength, nil
}

// AppendMessage appends a message with the body. The body is at most MaxExtended less
// HeaderLength bytes long.
func AppendMessage(b []byte, typ Type, body []byte) []byte {
	for range 16 {
		b = append(b, 0xff)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(HeaderLength+len(body)))
	return append(append(b, byte(typ)), body...)
}

// Subtype is that of a ROUTE-REFRESH message (RFC 7313 section 3.2).
type Subtype uint8

// The subtypes: a request, and the two that frame the answer to one.
const (
	Request Subtype = iota
	BeginningOfRouteRefresh
	EndOfRouteRefresh
)

// RouteRefresh is a ROUTE-REFRESH message (RFC 2918 section 3), without outbound route
// filters. One with a subtype that is not known is to be ignored (RFC 7313 section 5).
type RouteRefresh struct {
	Family  Family
	Subtype Subtype
}

// ParseRouteRefresh reads the body of a ROUTE-REFRESH message. What RFC 7313 section 5
// refuses is a *Notification with the whole message.
func ParseRouteRefresh(body []byte) (RouteRefresh, error) {
	// A request may have filters behind it (RFC 5291 section 4).
	if len(body) < 4 || len(body) > 4 && (body[2] == 1 || body[2] == 2) {
		return RouteRefresh{}, &Notification{Code: RouteRefreshError, Subcode: InvalidMessageLength,
			Data: AppendMessage(nil, RouteRefreshType, body)}
	}
	return RouteRefresh{
		Family:  Family{AFI: binary.BigEndian.Uint16(body), SAFI: body[3]},
		Subtype: Subtype(body[2]),
	}, nil
}

// Append appends the body.
func (r RouteRefresh) Append(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, r.Family.AFI), byte(r.Subtype), r.Family.SAFI)
}
