// Package ether holds the one MAC address type that every part of p4evpn uses.
// It knows nothing of where an address comes from or goes to.
package ether

import (
	"bytes"
	"fmt"
)

// MAC is a 48-bit Ethernet address. It is comparable, so that it can be a map
// key or part of one, which net.HardwareAddr cannot.
type MAC [6]byte

// Broadcast is ff:ff:ff:ff:ff:ff.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ParseMAC reads the colon form, "02:00:00:00:00:01", in either case. Other
// forms are refused: one spelling keeps configurations and output comparable.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	if len(s) != 17 {
		return m, fmt.Errorf("MAC address %q: want six pairs of hexadecimal digits joined by colons", s)
	}
	for i := range m {
		hi, ok1 := nibble(s[3*i])
		lo, ok2 := nibble(s[3*i+1])
		if !ok1 || !ok2 || (i < 5 && s[3*i+2] != ':') {
			return MAC{}, fmt.Errorf("MAC address %q: want six pairs of hexadecimal digits joined by colons", s)
		}
		m[i] = hi<<4 | lo
	}
	return m, nil
}

func nibble(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// FromBytes copies a six-byte slice, such as a net.HardwareAddr.
func FromBytes(b []byte) (MAC, error) {
	if len(b) != 6 {
		return MAC{}, fmt.Errorf("MAC address of %d bytes: want 6", len(b))
	}
	return MAC(b), nil
}

// String gives the colon form in lower case.
func (m MAC) String() string {
	const hex = "0123456789abcdef"
	b := make([]byte, 0, 17)
	for i, o := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hex[o>>4], hex[o&15])
	}
	return string(b)
}

// IsZero reports whether all bits are zero, which no station may have.
func (m MAC) IsZero() bool { return m == MAC{} }

// IsMulticast reports whether the group bit is set; broadcast is multicast too.
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// Compare orders addresses by their bytes.
func (m MAC) Compare(o MAC) int { return bytes.Compare(m[:], o[:]) }

// MarshalText gives the colon form.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what ParseMAC does.
func (m *MAC) UnmarshalText(b []byte) error {
	v, err := ParseMAC(string(b))
	if err == nil {
		*m = v
	}
	return err
}
