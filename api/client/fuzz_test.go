package client

import "testing"

// FuzzParse reads anything as a file of objects: it is refused with a line, or
// each object can be written and read again as the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "---\n---\n", "hello", "[]", "- {kind: bridge, id: blue, spec: {vlan_id: 10, vni: 1, vtep_ip_prefix: 10.0.0.1/32}}",
		"kind: neighbor\nid: 2001:db8::1\nspec:\n  remote_as: 1\n  hold_time: 9s\n  families: [evpn]\n", "&a\nkind: *a\n",
		"{kind: port, id: x, spec: {mac_address: 02:00:00:00:00:01, ptype: trunk, logical_bridges: [a, {b: c}]}}", "? [a]\n: b\n", "!!set {a}",
		"<<: {kind: bridge}\nid: x\n", "kind: static-mac\nid: |\n  x\nspec: ~\n", "- {kind: svi, id: g, spec: {gw_ip_prefix: 2001:db8::/64, enable_bgp: true}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		objects, err := Parse("fuzz", b)
		if err != nil {
			return
		}
		for _, o := range objects {
			if o.ID == "" || o.Kind == nil || o.line < 1 {
				t.Errorf("%+v of %q", o, b)
			}
			_ = o.tree()
		}
	})
}
