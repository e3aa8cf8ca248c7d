package api

import (
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/p4evpn/p4evpn/internal/socket"
)

// What begins a role that is given to users and groups of this machine. No subject of a
// certificate begins so: an attribute's type has no colon.
const (
	userPrefix  = "user:"
	groupPrefix = "group:"
)

// ownGroup has the Unix sockets of the API.
const ownGroup = "p4evpn"

// localRoles are those of who comes over a Unix socket.
type localRoles struct{ users, groups map[uint32]Role }

// newRoles tells the roles of users and groups from those of certificates. Where none is
// given to users or groups the group p4evpn operates the gateway, if there is one.
func newRoles(given map[string]Role) (certificates map[string]Role, local localRoles, err error) {
	certificates = map[string]Role{}
	local = localRoles{map[uint32]Role{}, map[uint32]Role{}}
	by := map[string]string{}
	for _, subject := range slices.Sorted(maps.Keys(given)) {
		kind := userPrefix
		name, is := strings.CutPrefix(subject, kind)
		if !is {
			kind = groupPrefix
			name, is = strings.CutPrefix(subject, kind)
		}
		if !is {
			certificates[subject] = given[subject]
			continue
		}
		id, err := number(kind, name)
		if err != nil {
			return nil, local, fmt.Errorf("API: role of %q: %w", subject, err)
		}
		if other, twice := by[fmt.Sprint(kind, id)]; twice {
			return nil, local, fmt.Errorf("API: %q and %q are one subject with two roles: leave one out", other, subject)
		}
		by[fmt.Sprint(kind, id)] = subject
		if kind == userPrefix {
			local.users[id] = given[subject]
		} else {
			local.groups[id] = given[subject]
		}
	}
	if len(by) == 0 {
		if id, err := number(groupPrefix, ownGroup); err == nil {
			local.groups[id] = RoleOperator
		}
	}
	return certificates, local, nil
}

// number is the id of a user or group, which may be given by its name.
func number(kind, name string) (uint32, error) {
	text := name
	if _, err := strconv.ParseUint(name, 10, 32); err != nil {
		if kind == userPrefix {
			u, err := user.Lookup(name)
			if err != nil {
				return 0, err
			}
			text = u.Uid
		} else {
			g, err := user.LookupGroup(name)
			if err != nil {
				return 0, err
			}
			text = g.Gid
		}
	}
	id, err := strconv.ParseUint(text, 10, 32)
	return uint32(id), err
}

// of gives the role of a user. Root and the gateway's own user operate it, whatever was
// given: they can change its files as well. A user's own role counts before those of the
// groups; who is in several has the most that one of them may.
func (l localRoles) of(p socket.Peer) Role {
	if p.UID == 0 || int(p.UID) == os.Geteuid() {
		return RoleOperator
	}
	if r, ok := l.users[p.UID]; ok {
		return r
	}
	var best Role
	for gid, r := range l.groups {
		if p.In(gid) && best != RoleOperator {
			best = r
		}
	}
	return best
}
