package packet

import "strings"

// Flags are what neighbour discovery says of an IPv6 address beside who has it (RFC 4861
// section 4.4). Of an IPv4 address nothing is ever known. Zero is that nobody said anything.
//
// Who answers for a host has to know whether it is a router: hosts that are told that their
// router is none drop it (RFC 4861 section 7.2.5). Whether an advertisement overrides is
// known less often, since one without the MAC says nothing of it; until then it does, as
// RFC 9047 section 3.2 has it.
type Flags uint8

// The bits of Flags.
const (
	FlagsKnown        Flags = 1 << iota // whether it is a router is known: FlagRouter says so
	FlagRouter                          // it is a router
	FlagOverride                        // its advertisements override; set wherever FlagsKnown is, unless it said no
	FlagOverrideKnown                   // FlagOverride is what was said, not the default
)

// Known reports whether the address may be answered for.
func (f Flags) Known() bool { return f&FlagsKnown != 0 }

// Router reports whether the address is known to be a router's.
func (f Flags) Router() bool { return f&FlagRouter != 0 }

// Override reports whether advertisements of the address override what is cached, as those
// of all but anycast addresses do.
func (f Flags) Override() bool { return f&FlagOverride != 0 || f&FlagOverrideKnown == 0 }

// With gives the flags after more was heard of the same address at the same MAC: what was
// said last stands, and what was not said stays.
func (f Flags) With(heard Flags) Flags {
	if heard.Known() {
		f = f&^FlagRouter | heard&(FlagsKnown|FlagRouter)
	}
	if heard&FlagOverrideKnown != 0 {
		f = f&^FlagOverride | heard&(FlagOverrideKnown|FlagOverride)
	}
	if f.Known() && f&FlagOverrideKnown == 0 {
		f |= FlagOverride
	}
	return f
}

// String is the form for people: "router, override", "host, no override"; "unknown" for none.
func (f Flags) String() string {
	if !f.Known() {
		return "unknown"
	}
	words := []string{"host", "override"}
	if f.Router() {
		words[0] = "router"
	}
	if !f.Override() {
		words[1] = "no override"
	}
	return strings.Join(words, ", ")
}
