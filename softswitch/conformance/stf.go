package main

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// command is one line of an STF file.
type command struct {
	line int
	text string
	verb string   // lower case
	args []string // the words behind it
}

// script is an STF file in phases: the configuration commands of a phase come
// before its packets.
type script struct {
	phases []phase
	expect map[uint32]*expectation
	ports  []uint32 // in order of appearance
}

type phase struct {
	configure []command
	steps     []command // packet, check_counter, no others
}

// expectation is what must come out of a port, in order.
type expectation struct {
	any     bool
	packets []string // hex digits, * for any, a final $ for an exact length
}

// parseSTF reads a file. Verbs that BMv2's runner ignores are dropped.
func parseSTF(text string) (*script, error) {
	s := &script{phases: []phase{{}}, expect: map[uint32]*expectation{}}
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		c := command{line: n + 1, text: strings.TrimSpace(line), verb: strings.ToLower(words[0]), args: words[1:]}
		if err := s.add(c); err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", c.line, c.text, err)
		}
	}
	return s, nil
}

func (s *script) add(c command) error {
	last := &s.phases[len(s.phases)-1]
	switch c.verb {
	case "wait", "no_packet":
	case "expect":
		return s.addExpect(c)
	case "packet":
		if _, err := s.port(c); err != nil {
			return err
		}
		if _, err := c.data(); err != nil {
			return err
		}
		last.steps = append(last.steps, c)
	case "check_counter":
		last.steps = append(last.steps, c)
	default:
		if len(last.steps) > 0 {
			s.phases = append(s.phases, phase{})
			last = &s.phases[len(s.phases)-1]
		}
		last.configure = append(last.configure, c)
	}
	return nil
}

func (s *script) addExpect(c command) error {
	port, err := s.port(c)
	if err != nil {
		return err
	}
	e := s.expect[port]
	if e == nil {
		e = new(expectation)
		s.expect[port] = e
	}
	if pattern := strings.ToLower(strings.Join(c.args[1:], "")); pattern != "" {
		e.packets = append(e.packets, pattern)
	} else {
		e.any = true
	}
	return nil
}

// port is the first argument of packet and expect.
func (s *script) port(c command) (uint32, error) {
	if len(c.args) == 0 {
		return 0, fmt.Errorf("no port")
	}
	n, err := strconv.ParseUint(c.args[0], 10, 16)
	if err != nil {
		return 0, fmt.Errorf("port: %w", err)
	}
	port := uint32(n)
	for _, p := range s.ports {
		if p == port {
			return port, nil
		}
	}
	s.ports = append(s.ports, port)
	return port, nil
}

// data is the frame of a packet command.
func (c command) data() ([]byte, error) { return hex.DecodeString(strings.Join(c.args[1:], "")) }

func (c command) portNumber() uint32 {
	n, _ := strconv.ParseUint(c.args[0], 10, 16) // parseSTF has checked it
	return uint32(n)
}

// check compares what came out with what must; frames at ports that the file
// does not mention are not looked at, as there is nobody to see them.
func (s *script) check(got map[uint32][]string) error {
	for _, port := range s.ports {
		want := s.expect[port]
		if want == nil {
			want = new(expectation)
		}
		if want.any {
			continue
		}
		if len(got[port]) != len(want.packets) {
			return fmt.Errorf("port %d: %d packets where %d are expected", port, len(got[port]), len(want.packets))
		}
		for i, pattern := range want.packets {
			if !matches(got[port][i], pattern) {
				return fmt.Errorf("port %d: packet %d is %s where %s is expected", port, i+1, got[port][i], pattern)
			}
		}
	}
	return nil
}

func matches(packet, pattern string) bool {
	pattern, exact := strings.CutSuffix(pattern, "$")
	if len(packet) < len(pattern) || exact && len(packet) > len(pattern) {
		return false
	}
	for i := range len(pattern) {
		if pattern[i] != '*' && pattern[i] != packet[i] {
			return false
		}
	}
	return true
}

// call is an add or setdefault command, not yet resolved.
type call struct {
	table, action, label string
	priority             int
	hasPriority          bool
	keys, args           [][2]string // name and value
}

// add TABLE [PRIORITY] KEY:VALUE... ACTION(NAME:VALUE, ...) [= LABEL]
var (
	callRE = regexp.MustCompile(`^\S+\s+(\S+)\s*(.*?)\s*("[^"]+"|[A-Za-z_.$][\w.$]*)\s*\(([^()]*)\)\s*(?:=\s*(\w+))?$`)
	keyRE  = regexp.MustCompile(`("[^"]+"|[^\s:]+)\s*:\s*(\S+)|(\d+)`)
)

func parseCall(text string) (*call, error) {
	m := callRE.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("not of the form TABLE KEY:VALUE... ACTION(...)")
	}
	unquote := func(s string) string { return strings.Trim(s, `"`) }
	c := &call{table: unquote(m[1]), action: unquote(m[3]), label: m[5]}
	for _, k := range keyRE.FindAllStringSubmatch(m[2], -1) {
		if k[3] == "" {
			c.keys = append(c.keys, [2]string{unquote(k[1]), k[2]})
			continue
		}
		c.hasPriority = true
		c.priority, _ = strconv.Atoi(k[3])
	}
	for _, a := range strings.Split(m[4], ",") {
		if a = strings.TrimSpace(a); a == "" {
			continue
		}
		name, value, ok := strings.Cut(a, ":")
		if !ok {
			return nil, fmt.Errorf("argument %q is not NAME:VALUE", a)
		}
		c.args = append(c.args, [2]string{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	return c, nil
}
