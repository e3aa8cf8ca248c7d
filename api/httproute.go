package api

import (
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// httpRoute is how a method is called over REST.
type httpRoute struct {
	verb string
	// pattern is as google.api.http has it: "/v1/{name=vrfs/*}".
	pattern string
	// body is the request's field that the body is, "*" for the request itself, "" for no body.
	body   string
	method protoreflect.MethodDescriptor
	own    bool // of p4evpn.v1: what is generated for the OPI API serves the rest
}

// ownPrefix is where the services of p4evpn.v1 are.
const ownPrefix = "/p4evpn/v1/"

// ownCollections are the services of standard methods, by name.
var ownCollections = map[string]naming{
	"SpeakerService": speakerNaming, "NeighborService": neighborNaming, "InstanceService": instanceNaming,
	"StaticMacService": staticMACNaming, "PortService": targetPortNaming,
}

// ownMethods are the other methods of p4evpn.v1 that REST has: verb, path and body. A backup
// is for gRPC alone.
var ownMethods = map[string][3]string{
	"View.ListBridges":           {"GET", "view/bridges"},
	"View.ListFDB":               {"GET", "view/fdb"},
	"View.ListVTEPs":             {"GET", "view/vteps"},
	"View.ListRoutes":            {"GET", "view/routes"},
	"View.ListSessions":          {"GET", "view/sessions"},
	"View.ListEntries":           {"GET", "view/entries"},
	"View.ListVRFs":              {"GET", "view/vrfs"},
	"View.ListSVIs":              {"GET", "view/svis"},
	"View.ListHosts":             {"GET", "view/hosts"},
	"View.ListPrefixes":          {"GET", "view/prefixes"},
	"View.ListUnderlayRoutes":    {"GET", "view/underlayRoutes"},
	"View.LookupRoute":           {"GET", "view/lookup"},
	"View.ListDrops":             {"GET", "view/drops"},
	"Events.WatchEvents":         {"GET", "view/events"},
	"Duplicates.ClearDuplicate":  {"POST", "duplicates:clear", "*"},
	"Target.Audit":               {"POST", "target:audit", "*"},
	"Tokens.CreateToken":         {"POST", "tokens", "*"},
	"Checking.CheckTarget":       {"GET", "view/check"},
	"Checking.CheckTargetRead":   {"POST", "target:check", "*"},
	"Tracing.TraceFrame":         {"GET", "view/trace"},
	"Tracing.TraceFrameOnTarget": {"POST", "target:trace", "*"},
}

// routesOf gives the routes of the services with these names.
func routesOf(services []string) (routes []httpRoute) {
	slices.Sort(services)
	for _, name := range services {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		service, ok := d.(protoreflect.ServiceDescriptor)
		if err != nil || !ok {
			continue
		}
		for i := range service.Methods().Len() {
			if r, ok := routeOf(service.Methods().Get(i)); ok {
				routes = append(routes, r)
			}
		}
	}
	return routes
}

func routeOf(m protoreflect.MethodDescriptor) (httpRoute, bool) {
	if m.ParentFile().Package() == "p4evpn.v1" {
		return ownRoute(m)
	}
	rule, ok := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	if !ok || rule == nil {
		return httpRoute{}, false
	}
	r := httpRoute{method: m, body: rule.GetBody()}
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		r.verb, r.pattern = "GET", p.Get
	case *annotations.HttpRule_Post:
		r.verb, r.pattern = "POST", p.Post
	case *annotations.HttpRule_Patch:
		r.verb, r.pattern = "PATCH", p.Patch
	case *annotations.HttpRule_Delete:
		r.verb, r.pattern = "DELETE", p.Delete
	}
	return r, r.verb != ""
}

// ownRoute gives a method of p4evpn.v1 the place that one of the OPI API would have.
func ownRoute(m protoreflect.MethodDescriptor) (httpRoute, bool) {
	service, name := string(m.Parent().Name()), string(m.Name())
	if r, ok := ownMethods[service+"."+name]; ok {
		return httpRoute{verb: r[0], pattern: ownPrefix + r[1], body: r[2], method: m, own: true}, true
	}
	n, ok := ownCollections[service]
	if !ok {
		return httpRoute{}, false
	}
	one := ownPrefix + "{name=" + n.collection + "/*}"
	r := httpRoute{method: m, own: true}
	switch {
	case strings.HasPrefix(name, "Create"):
		r.verb, r.pattern, r.body = "POST", ownPrefix+n.collection, n.field
	case strings.HasPrefix(name, "List"):
		r.verb, r.pattern = "GET", ownPrefix+n.collection
	case strings.HasPrefix(name, "Get"):
		r.verb, r.pattern = "GET", one
	case strings.HasPrefix(name, "Update"):
		r.verb, r.pattern, r.body = "PATCH", ownPrefix+"{"+n.field+".name="+n.collection+"/*}", n.field
	case strings.HasPrefix(name, "Delete"):
		r.verb, r.pattern = "DELETE", one
	}
	return r, r.verb != ""
}

// full is the method's name as gRPC has it.
func (r httpRoute) full() string {
	return "/" + string(r.method.Parent().FullName()) + "/" + string(r.method.Name())
}

// path is the pattern with {id} for the part that varies, and the request's field that the
// pattern fills in, "" if there is none.
func (r httpRoute) path() (path, field string) {
	before, rest, ok := strings.Cut(r.pattern, "{")
	if !ok {
		return r.pattern, ""
	}
	inside, after, _ := strings.Cut(rest, "}")
	field, form, _ := strings.Cut(inside, "=")
	return before + strings.Replace(form, "*", "{id}", 1) + after, field
}

// matches reports whether a request's path is one of the route.
func (r httpRoute) matches(path string) bool {
	mine, _ := r.path()
	want, got := strings.Split(mine, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, got, func(w, g string) bool { return w == g || w == "{id}" })
}

// allowed are the methods that a path takes, for the header Allow; a HEAD is a GET.
func allowed(routes []httpRoute, path string) string {
	var verbs []string
	for _, r := range routes {
		if r.matches(path) {
			verbs = append(verbs, r.verb)
			if r.verb == "GET" {
				verbs = append(verbs, "HEAD")
			}
		}
	}
	slices.Sort(verbs)
	return strings.Join(slices.Compact(verbs), ", ")
}
