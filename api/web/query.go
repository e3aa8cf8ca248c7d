package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc"
)

// query is what a page is asked for.
type query struct {
	ctx    context.Context
	pages  *Pages
	path   string         // of the page
	id     string         // of the thing that it is about
	values url.Values     // parameters that the page knows, one value each
	memo   map[string]any // answers by the request; nil: none is remembered
}

// maxParameter bounds what is taken of a parameter, in bytes.
const maxParameter = 4096

// maxPage bounds the pages that may be asked for.
const maxPage = 1 << 20

// known keeps of the parameters of a request those of the page, and of each the first value,
// as text. Whatever else is there says nothing.
func known(values url.Values, names []string) url.Values {
	out := url.Values{}
	for _, name := range names {
		v := strings.TrimSpace(values.Get(name))
		if v == "" || len(v) > maxParameter || !utf8.ValidString(v) {
			continue
		}
		out.Set(name, v)
	}
	return out
}

func (q *query) get(name string) string { return q.values.Get(name) }

// page is the number of the page of rows, from 1.
func (q *query) page() int {
	n, err := strconv.Atoi(q.get("page"))
	if err != nil || n < 1 || n > maxPage {
		return 1
	}
	return n
}

// rows calls a method that answers with a stream of parts, and gives the rows of all, which
// are not to be changed.
func rows[Request, Part, Row any](q *query,
	call func(context.Context, *Request, ...grpc.CallOption) (grpc.ServerStreamingClient[Part], error), r *Request,
	of func(*Part) []Row) ([]Row, error) {
	key := fmt.Sprintf("%T %v", r, r)
	if q.memo != nil {
		if all, ok := q.memo[key]; ok {
			return all.([]Row), nil
		}
	}
	all, err := gather(q, call, r, of)
	if err == nil && q.memo != nil {
		q.memo[key] = all
	}
	return all, err
}

func gather[Request, Part, Row any](q *query,
	call func(context.Context, *Request, ...grpc.CallOption) (grpc.ServerStreamingClient[Part], error), r *Request,
	of func(*Part) []Row) ([]Row, error) {
	stream, err := call(q.ctx, r)
	if err != nil {
		return nil, err
	}
	var all []Row
	for {
		part, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		case all == nil:
			all = of(part)
		default:
			all = append(all, of(part)...)
		}
	}
}

// where gives the rows that fit.
func where[Row any](all []Row, fits func(Row) bool) (found []Row) {
	for _, r := range all {
		if fits(r) {
			found = append(found, r)
		}
	}
	return found
}

// matches reports whether a text that somebody looks for is in one of the others, whatever
// the case of its letters.
func matches(what string, texts ...string) bool {
	if what == "" {
		return true
	}
	what = strings.ToLower(what)
	for _, t := range texts {
		if strings.Contains(strings.ToLower(t), what) {
			return true
		}
	}
	return false
}

// search is the form that looks through the rows of a page, which may have other fields.
func (q *query) search(label, hint string, others ...field) []form {
	f := form{Label: label, Action: q.path, Submit: "Search",
		Fields: append([]field{{Name: "q", Label: "Search", Value: q.get("q"), Hint: hint}}, others...)}
	return []form{f}
}
