package web

import "regexp"

// Texts name what something comes from in these words; see the explanations of package
// controller. Of several that fit the first one counts.
var names = regexp.MustCompile(`configuration has bridge port (?P<port>\S+)` +
	`|bridge port (?P<object>[^\s,;:)]+)` +
	`|bridge (?P<bridge>[a-z][a-z0-9-]{3,62})\b` +
	`|uplink (?P<uplink>[^\s,;:)]+)` +
	`|VRF (?P<vrf>[a-z][a-z0-9-]{3,62})\b` +
	`|SVI (?P<svi>[a-z][a-z0-9-]{3,62})\b` +
	`|VTEP (?P<vtep>[0-9a-f]+[.:][0-9a-f.:]*[0-9a-f])` +
	`|peer (?P<peer>[0-9a-f]+[.:][0-9a-f.:]*[0-9a-f])` +
	`|route (?P<route>\[\d\]:\S*[\]])` +
	`|\b(?P<mac>[0-9a-f]{2}(?::[0-9a-f]{2}){5})\b`)

// leadsTo are the pages of what the groups of names find.
var leadsTo = map[string]func(string) string{
	"port": in("ports"), "object": in("objects"), "bridge": in("bridges"), "uplink": in("ports"), "vrf": in("vrfs"),
	"svi": in("svis"), "vtep": in("vteps"), "peer": in("neighbors"), "mac": in("macs"),
	"route": func(key string) string { return with("/routes", "q", key) },
}

func in(kind string) func(string) string { return func(id string) string { return one(kind, id) } }

// linked is a text in which what it names leads there. The class is that of all of it.
func linked(text, class string) (c cell) {
	at := 0
	for _, m := range names.FindAllStringSubmatchIndex(text, -1) {
		for i, group := range names.SubexpNames() {
			if group == "" || m[2*i] < 0 {
				continue
			}
			from, to := m[2*i], m[2*i+1]
			if from > at {
				c = append(c, span{Text: text[at:from], Class: class})
			}
			c = append(c, span{Text: text[from:to], Href: leadsTo[group](text[from:to]), Class: class})
			at = to
		}
	}
	if at < len(text) {
		c = append(c, span{Text: text[at:], Class: class})
	}
	return c
}
