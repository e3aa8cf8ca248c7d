package web

import (
	"fmt"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// drawing is boxes and lines, in units of its own.
type drawing struct {
	Label         string
	Width, Height int
	Heads         []note
	Lines         []line
	Boxes         []box
}

type line struct {
	Class          string
	X1, Y1, X2, Y2 int
}

type note struct {
	X, Y int
	Text string
}

// box is a thing with its name, its health, and notes below.
type box struct {
	X, Y, Width, Height int
	Class, Name, Href   string
	State               *span
	Notes               []note
}

// TextX, NameY and EndX are where its texts are.
func (b box) TextX() int { return b.X + 8 }

// NameY is the line of its name.
func (b box) NameY() int { return b.Y + 17 }

// EndX is where what stands at the right ends.
func (b box) EndX() int { return b.X + b.Width - 8 }

// note adds a line of text.
func (b *box) note(text string) {
	if text != "" {
		b.Notes = append(b.Notes, note{b.X + 8, b.Y + 33 + 14*len(b.Notes), text})
	}
}

// Where the columns of the overview's drawing are, and how high a box is with what is below.
const (
	drawnWidth = 1010
	drawnHigh  = 46
	drawnStep  = 58
	drawnTop   = 40
	drawnMost  = 8 // of a column
)

// column is where boxes of one kind stand.
type column struct{ x, width int }

var (
	portColumn    = column{14, 210}
	gatewayColumn = column{290, 130}
	uplinkColumn  = column{490, 210}
	farColumn     = column{775, 220}
)

// draw shows ports, gateway, uplinks, VTEPs and peers, each with its health and rates.
func (s sight) draw() *drawing {
	d := &drawing{Label: "Gateway, ports, uplinks, VTEPs and BGP peers", Width: drawnWidth}
	left := d.boxes(portColumn, "Tenant ports", drawnTop, s.portBoxes(p4evpnv1.PortKind_PORT_KIND_BRIDGE), "/ports")
	uplinks := s.portBoxes(p4evpnv1.PortKind_PORT_KIND_UPLINK)
	middle := d.boxes(uplinkColumn, "Uplinks", drawnTop, uplinks, "/ports")
	far := d.boxes(farColumn, "VTEPs", drawnTop, s.vtepBoxes(), "/vteps")
	below := max(middle, far) + 30
	peers := d.boxes(farColumn, "BGP peers", below, s.peerBoxes(), "/neighbors")
	d.Height = max(left, peers, drawnTop+drawnStep)

	g := box{X: gatewayColumn.x, Y: drawnTop - 10, Width: gatewayColumn.width, Height: d.Height - drawnTop,
		Class: "self", Name: "gateway"}
	g.note("bridges " + count(uint64(len(s.bridges))))
	g.note("VRFs " + count(uint64(len(s.vrfs))))
	d.join(portColumn, gatewayColumn, drawnTop)
	d.join(gatewayColumn, uplinkColumn, drawnTop)
	d.paths(s, uplinks)
	d.peers(below)
	d.Boxes = append(d.Boxes, g)
	return d
}

// boxes puts boxes below each other, and tells where the next one would be.
func (d *drawing) boxes(at column, head string, y int, boxes []box, more string) int {
	d.Heads = append(d.Heads, note{at.x, y - 14, fmt.Sprintf("%s (%d)", head, len(boxes))})
	for i, b := range boxes {
		if i == drawnMost && len(boxes) > drawnMost+1 {
			b = box{Name: fmt.Sprintf("and %d more", len(boxes)-drawnMost), Href: more, Class: "more"}
		}
		b.X, b.Y, b.Width, b.Height = at.x, y, at.width, drawnHigh
		for j := range b.Notes {
			b.Notes[j].X, b.Notes[j].Y = b.X+8, b.Y+33+14*j
		}
		d.Boxes = append(d.Boxes, b)
		if y += drawnStep; b.Class == "more" {
			break
		}
	}
	return y
}

// join draws a level line to each box of the column that is not the gateway's.
func (d *drawing) join(left, right column, from int) {
	for _, b := range d.Boxes {
		if b.Y >= from && (b.X == left.x || b.X == right.x) && b.X != gatewayColumn.x {
			y := b.Y + drawnHigh/2
			d.Lines = append(d.Lines, line{b.Class, left.x + left.width, y, right.x, y})
		}
	}
}

// paths draws a line from an uplink to each VTEP that is reached by it.
func (d *drawing) paths(s sight, uplinks []box) {
	at := map[string]box{}
	for _, b := range d.Boxes {
		at[b.Href] = b
	}
	byDevice := map[string]string{} // the uplink that a netdev is of
	for i, p := range s.uplinks() {
		byDevice[p.GetNetdev()], byDevice[portName(p)] = uplinks[i].Href, uplinks[i].Href
		for _, h := range s.ports {
			if portName(h) == portName(p)+"-host" {
				byDevice[h.GetNetdev()] = uplinks[i].Href
			}
		}
	}
	for _, v := range s.vteps {
		to, ok := at[one("vteps", v.GetAddress())]
		for _, p := range v.GetPaths() {
			if from, known := at[byDevice[p.GetUplink()]]; known && ok {
				d.Lines = append(d.Lines, line{to.Class, from.X + from.Width, from.Y + drawnHigh/2, to.X, to.Y + drawnHigh/2})
			}
		}
	}
}

// peers draws a line to each peer, below all uplinks.
func (d *drawing) peers(below int) {
	for _, b := range d.Boxes {
		if b.X == farColumn.x && b.Y >= below {
			y := b.Y + drawnHigh/2
			d.Lines = append(d.Lines, line{b.Class, gatewayColumn.x + gatewayColumn.width, y, b.X, y})
		}
	}
}

func (s sight) uplinks() (all []*p4evpnv1.Port) {
	for _, p := range s.ports {
		if p.GetKind() == p4evpnv1.PortKind_PORT_KIND_UPLINK {
			all = append(all, p)
		}
	}
	return all
}

func (s sight) portBoxes(kind p4evpnv1.PortKind) (boxes []box) {
	for _, p := range s.ports {
		if p.GetKind() == kind {
			b := healthy(clip(portName(p), 18), one("ports", portName(p)), state(p.GetState()))
			b.note(s.flows[p.GetName()].line())
			boxes = append(boxes, b)
		}
	}
	return boxes
}

func (s sight) vtepBoxes() (boxes []box) {
	for _, v := range s.vteps {
		b := healthy(clip(v.GetAddress(), 20), one("vteps", v.GetAddress()), state(v.GetState()))
		b.note(fmt.Sprintf("paths %d, bridges %d", len(v.GetPaths()), len(v.GetBridges())))
		boxes = append(boxes, b)
	}
	return boxes
}

func (s sight) peerBoxes() (boxes []box) {
	for _, n := range s.sessions {
		st := sessionState(n)
		b := healthy(clip(n.GetAddress(), 16), one("neighbors", n.GetAddress()), st)
		b.note(fmt.Sprintf("AS %d, routes %s", n.GetAs(), count(n.GetReceived())))
		boxes = append(boxes, b)
	}
	return boxes
}

// sessionState is a session's health: one that is shut down here is not expected to be there.
func sessionState(n *p4evpnv1.Session) span {
	word := client.Word(n.GetState())
	switch {
	case n.GetState() == p4evpnv1.SessionState_SESSION_STATE_ESTABLISHED:
		return span{Text: word, Class: "st up"}
	case n.GetShutdown():
		return span{Text: "shut down", Class: "st"}
	}
	return span{Text: word, Class: "st down"}
}

// healthy is a box of the colour of its health.
func healthy(name, href string, st span) box {
	class := ""
	if len(st.Class) > len("st ") {
		class = st.Class[len("st "):]
	}
	return box{Name: name, Href: href, Class: class, State: &span{Text: st.Text, Class: class}}
}

// clip shortens a text for a box.
func clip(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}
