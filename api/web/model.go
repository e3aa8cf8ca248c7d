package web

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// page is what a page says, above which the layout is. Forms stay as they are while the rest
// is shown anew.
type page struct {
	Title    string
	Up       []span // the pages that it belongs to
	Forms    []form
	Sections []section
	Still    bool          // it shows a moment, and is not to be shown anew
	Every    time.Duration // how often it is shown anew where nothing changed; 0: afterAll
}

// section is one part of a page; what is empty is left out.
type section struct {
	Title   string
	Text    string
	Facts   []fact
	Drawing *drawing
	Account *account
	Table   *table
	Pre     string // as it is, for who opens it
}

type fact struct {
	Name  string
	Value cell
}

type table struct {
	Caption string
	Columns []string
	Rows    [][]cell
	Empty   string // what is said in place of no rows
	Pager   *pager
}

// cell is a piece of text, in spans.
type cell []span

// span is text, with a class of the stylesheet and somewhere to go.
type span struct{ Text, Href, Class string }

type form struct {
	Label  string
	Action string
	Fields []field
	Submit string
}

type field struct {
	Name, Label, Value string
	Hint               string
	Short              bool     // a number
	Options            []string // to choose from; none: text
}

// pager says which of all rows there are.
type pager struct {
	From, To, All  int
	Previous, Next string // where the others are
}

// add adds a row: of texts, numbers, enums, states and cells.
func (t *table) add(cells ...any) {
	row := make([]cell, len(cells))
	for i, c := range cells {
		row[i] = toCell(c)
	}
	t.Rows = append(t.Rows, row)
}

func toCell(c any) cell {
	switch c := c.(type) {
	case cell:
		return c
	case p4evpnv1.State:
		return cell{state(c)}
	case protoreflect.Enum:
		return cell{{Text: client.Word(c)}}
	case bool:
		if c {
			return cell{{Text: "yes"}}
		}
		return cell{{Text: "no"}}
	case uint32, uint64, int:
		return cell{{Text: fmt.Sprint(c), Class: "num"}}
	case string:
		if c == "" {
			return nil
		}
		return cell{{Text: c}}
	}
	return cell{{Text: fmt.Sprint(c)}}
}

// state is health, by word and colour.
func state(s p4evpnv1.State) span {
	switch s {
	case p4evpnv1.State_STATE_UP:
		return span{Text: "up", Class: "st up"}
	case p4evpnv1.State_STATE_DOWN:
		return span{Text: "down", Class: "st down"}
	case p4evpnv1.State_STATE_PENDING:
		return span{Text: "pending", Class: "st pending"}
	}
	return span{Text: "unknown", Class: "st"}
}

// why is a reason, which may be long.
func why(text string) cell {
	if text == "" {
		return nil
	}
	return cell{{Text: text, Class: "because"}}
}

// number is one where 0 says nothing.
func number(n uint32) cell {
	if n == 0 {
		return nil
	}
	return toCell(n)
}

// mono is text to be compared sign by sign: an address, a name.
func mono(text string) cell {
	if text == "" {
		return nil
	}
	return cell{{Text: text, Class: "mono"}}
}

// ref is such text that leads to one thing of a kind.
func ref(kind, id string) cell { return refTo(id, one(kind, id)) }

func refTo(text, href string) cell {
	if text == "" {
		return nil
	}
	return cell{{Text: text, Href: href, Class: "mono"}}
}

// refs are several of them.
func refs(kind string, ids []string) (c cell) {
	for _, id := range ids {
		c = c.and(ref(kind, id))
	}
	return c
}

// and puts another cell behind.
func (c cell) and(more cell) cell {
	if len(c) > 0 && len(more) > 0 {
		c = append(c, span{Text: " "})
	}
	return append(c, more...)
}

// one is where one thing of a kind is shown.
func one(kind, id string) string { return "/" + kind + "/" + url.PathEscape(id) }

// with is a path with parameters, in pairs; those without a value are left out.
func with(path string, pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

// pageRows is how many rows a page has.
const pageRows = 100

// cut gives the rows of the page that is asked for.
func cut[T any](q *query, rows []T) ([]T, *pager) {
	pages := max(1, (len(rows)+pageRows-1)/pageRows)
	at := min(q.page(), pages)
	from := (at - 1) * pageRows
	p := &pager{From: from + 1, To: min(from+pageRows, len(rows)), All: len(rows)}
	if len(rows) == 0 {
		p.From = 0
	}
	link := func(n int) string {
		pairs := []string{}
		for name, values := range q.values {
			if name != "page" {
				pairs = append(pairs, name, values[0])
			}
		}
		return with(q.path, append(pairs, "page", strconv.Itoa(n))...)
	}
	if at > 1 {
		p.Previous = link(at - 1)
	}
	if at < pages {
		p.Next = link(at + 1)
	}
	return rows[from:p.To], p
}

// age is a time for people: the two greatest units of it.
func age(d *durationpb.Duration) string {
	if d == nil {
		return ""
	}
	return short(d.AsDuration())
}

func short(d time.Duration) string {
	d = d.Round(time.Second)
	switch h := int(d.Hours()); {
	case h >= 48:
		return fmt.Sprintf("%dd %dh", h/24, h%24)
	case h >= 1:
		return fmt.Sprintf("%dh %dm", h, int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}

// count groups the digits of a number.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// rate is bits or packets a second, with three digits.
func rate(perSecond float64, unit string) string {
	for _, prefix := range []string{"", "k", "M", "G"} {
		if perSecond < 1000 {
			if perSecond < 10 && prefix != "" {
				return fmt.Sprintf("%.1f %s%s", perSecond, prefix, unit)
			}
			return fmt.Sprintf("%.0f %s%s", perSecond, prefix, unit)
		}
		perSecond /= 1000
	}
	return fmt.Sprintf("%.1f T%s", perSecond, unit)
}
