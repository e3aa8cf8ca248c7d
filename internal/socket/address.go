package socket

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Address is where to listen.
type Address struct {
	Network string // "tcp" or "unix"
	Where   string // host:port, or a path
}

// Parse reads "host:port", "unix:PATH", and the same with "tcp://" and "unix://".
func Parse(text string) (Address, error) {
	a := Address{"tcp", text}
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		a = Address{scheme, rest}
	} else if path, ok := strings.CutPrefix(text, "unix:"); ok { // gRPC's shorter form
		a = Address{"unix", path}
	}
	switch {
	case a.Network == "unix" && a.Where != "" && !strings.ContainsRune(a.Where, 0):
		return a, nil
	case a.Network == "tcp":
		if _, _, err := net.SplitHostPort(a.Where); err == nil {
			return a, nil
		}
	}
	return a, fmt.Errorf("address %q: want host:port or unix:PATH", text)
}

func (a Address) String() string {
	if a.Unix() {
		return "unix:" + a.Where
	}
	return a.Where
}

// Unix reports whether it is a path.
func (a Address) Unix() bool { return a.Network == "unix" }

// Loopback reports whether it is one of this machine's own, by its name or number. A Unix
// socket is none.
func (a Address) Loopback() bool {
	host, _, err := net.SplitHostPort(a.Where)
	if a.Unix() || err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
