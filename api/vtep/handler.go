package vtep

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// Handler serves /vtep.
type Handler struct {
	// Store is where everything is kept, View what is known of sessions, ports
	// and hosts.
	Store *intent.Store
	View  view.View
	// VTEP is our address where a bridge names none, and so the next hop of its
	// clients.
	VTEP netip.Addr
	// OVN is the target's port, by its name, behind which the stations of logical switches
	// are; "" = it is not known.
	OVN string
}

// method answers one method of one path: with a value for the body, or an error.
type method func(h *Handler, r *http.Request) (any, error)

var paths = map[string]map[string]method{
	"/vtep/speakers": {"POST": (*Handler).addSpeaker, "GET": (*Handler).getSpeaker,
		"DELETE": (*Handler).deleteSpeaker},
	"/vtep/neighbors":                    {"POST": (*Handler).addNeighbor, "GET": (*Handler).getNeighbors},
	"/vtep/neighbors/{address}":          {"GET": (*Handler).getNeighbor, "DELETE": (*Handler).deleteNeighbor},
	"/vtep/networks":                     {"POST": (*Handler).addNetwork, "GET": (*Handler).getNetworks},
	"/vtep/networks/{vni}":               {"GET": (*Handler).getNetwork, "DELETE": (*Handler).deleteNetwork},
	"/vtep/networks/{vni}/clients":       {"POST": (*Handler).addClient},
	"/vtep/networks/{vni}/clients/{mac}": {"DELETE": (*Handler).deleteClient},
}

// NewMux gives the paths to a mux of their own, in which everything else is 404.
func NewMux(h *Handler) http.Handler {
	mux := http.NewServeMux()
	for path, methods := range paths {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			verb := r.Method
			if verb == http.MethodHead { // net/http leaves the body out
				verb = http.MethodGet
			}
			do, ok := methods[verb]
			if !ok {
				w.Header().Set("Allow", allow(methods))
				WriteError(w, http.StatusMethodNotAllowed, fmt.Sprintf("%.20q cannot be used at %.80q", r.Method, r.URL.Path))
				return
			}
			body, err := do(h, r)
			if err != nil {
				WriteError(w, statusOf(err), err.Error())
				return
			}
			writeJSON(w, http.StatusOK, body)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, http.StatusNotFound,
			fmt.Sprintf("there is nothing at %.80q: want /vtep/speakers, /vtep/neighbors or /vtep/networks", r.URL.Path))
	})
	return mux
}

// allow are the methods that a path takes; whoever takes a GET takes a HEAD.
func allow(methods map[string]method) string {
	all := slices.Collect(maps.Keys(methods))
	if methods[http.MethodGet] != nil {
		all = append(all, http.MethodHead)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// problem is an error that says its HTTP status.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

func problemf(status int, format string, args ...any) error {
	return &problem{status, fmt.Sprintf(format, args...)}
}

// statusOf is the HTTP status of an error.
func statusOf(err error) int {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p.status
	case errors.Is(err, intent.Invalid):
		return http.StatusBadRequest
	case errors.Is(err, intent.NotFound):
		return http.StatusNotFound
	case errors.Is(err, intent.Exists), errors.Is(err, intent.Conflict), errors.Is(err, intent.Exhausted):
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}

// created says of a create that found its object there what to do.
func created(err error, format string, args ...any) error {
	if errors.Is(err, intent.Exists) {
		return problemf(http.StatusConflict, "there is "+format+" already: delete it first", args...)
	}
	return err
}

// WriteError answers with an error as the originals do: {"error", "status"}.
func WriteError(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, map[string]any{"error": strings.ToValidUTF8(text, "?"), "status": status})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client went
}

// number and datapathID are integers as the originals take them: a JSON number, or a
// string such as "10" or "0xa".
type (
	number     uint32
	datapathID uint64
)

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := whole(b, math.MaxUint32)
	*n = number(v)
	return err
}

func (d *datapathID) UnmarshalJSON(b []byte) error {
	v, err := whole(b, math.MaxUint64)
	*d = datapathID(v)
	return err
}

func whole(b []byte, most uint64) (uint64, error) {
	text := string(b)
	if len(b) > 1 && b[0] == '"' {
		if err := json.Unmarshal(b, &text); err != nil {
			return 0, err
		}
	}
	v, err := strconv.ParseUint(text, 0, 64)
	if err != nil || v > most {
		return 0, fmt.Errorf("%.40q: want a whole number from 0 to %d", text, most)
	}
	return v, nil
}

// read fills in what a request's body asks for. Fields that the originals do not
// have are mistakes.
func read(r *http.Request, into any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil && dec.Decode(&struct{}{}) != io.EOF {
		err = errors.New("there is more than one value")
	}
	switch {
	case errors.Is(err, io.EOF):
		return problemf(http.StatusBadRequest, "the request has no body: want a JSON object")
	case err != nil:
		return problemf(http.StatusBadRequest, "the request's body: %v", err)
	}
	return nil
}

// need says which of the fields of a request's body are missing.
func need(fields map[string]bool) error {
	var missing []string
	for name, given := range fields {
		if !given {
			missing = append(missing, name)
		}
	}
	if missing == nil {
		return nil
	}
	slices.Sort(missing)
	return problemf(http.StatusBadRequest, "%s not specified", strings.Join(missing, ", "))
}
