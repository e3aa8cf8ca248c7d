package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/reconcile"
	"github.com/p4evpn/p4evpn/p4"
)

var _ intent.StatusSource = (*Controller)(nil)

// statusWait bounds how long a call of Status waits for the loop.
const statusWait = 2 * time.Second

// Status tells what became of objects: up only when the target acknowledged
// every entry that the object itself asks for. Entries that follow from routes
// and learned MACs of a bridge show in its component "pipeline" when the target
// refuses them, and leave the bridge up.
func (c *Controller) Status(ctx context.Context, refs ...intent.Ref) []intent.Status {
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	out := make([]intent.Status, len(refs))
	sessions := c.sessions(refs)
	err := c.askUpToDate(ctx, func(l *loop) {
		refusals := l.refusals()
		for i, ref := range refs {
			switch ref.Kind {
			case intent.KindSpeaker:
				out[i] = l.speakerStatus()
			case intent.KindNeighbor:
				out[i] = sessions[ref.ID]
			default:
				out[i] = l.status(ref, refusals)
			}
		}
	})
	if err != nil {
		return make([]intent.Status, len(refs))
	}
	return out
}

func (l *loop) status(ref intent.Ref, without map[subject]refusals) intent.Status {
	var sum summary
	switch ref.Kind {
	case intent.KindLogicalBridge:
		b := l.byID[ref.ID]
		if b == nil {
			return intent.Status{}
		}
		out := l.bridgeSummary(b, without).status()
		if b.localVTEP.IsValid() {
			out.Components = append(out.Components, l.bgpComponent(advertKey{bridge: b.Index}))
		}
		return out
	case intent.KindBridgePort:
		bp := l.bridgePorts[ref.ID]
		if bp == nil {
			return intent.Status{}
		}
		sum = l.portSummary(bp)
	case intent.KindVRF:
		if v := l.vrfByID[ref.ID]; v != nil {
			return l.vrfStatus(v, without)
		}
		return intent.Status{}
	case intent.KindSVI:
		if s := l.svis[ref.ID]; s != nil {
			return l.sviStatus(s, without)
		}
		return intent.Status{}
	case intent.KindInstance:
		sum = l.instanceSummary(ref.ID)
	case intent.KindStaticMAC:
		o, ok := l.staticMACNamed(ref.ID)
		if !ok {
			return intent.Status{}
		}
		sum = l.staticMACSummary(o)
	default:
		return intent.Status{}
	}
	return sum.status()
}

// summary is how far an object came.
type summary struct {
	unmet   string // why it cannot be realised now: the intent's own part
	pending string // what the target has not acknowledged yet
	refused string // what the target said of the object's own entries
	partly  string // what it said of entries that follow from routes and hosts
	limited string // what limit is reached: what is new waits
	link    string // why frames do not pass the port
}

func (s summary) up() bool {
	return s.unmet == "" && s.pending == "" && s.refused == "" && s.link == ""
}

// reason is the one to tell an operator first.
func (s summary) reason() string {
	for _, r := range []string{s.unmet, s.refused, s.link, s.pending, s.partly, s.limited} {
		if r != "" {
			return r
		}
	}
	return ""
}

func (s summary) status() intent.Status {
	out := intent.Status{Oper: intent.StatusDown}
	if s.up() {
		out.Oper = intent.StatusUp
	}
	in := intent.Component{Name: "intent", Status: intent.ComponentSuccess}
	if s.unmet != "" {
		in.Status, in.Details = intent.ComponentError, details(s.unmet)
	}
	pipeline := intent.Component{Name: "pipeline", Status: intent.ComponentSuccess}
	switch {
	case s.refused != "":
		pipeline.Status, pipeline.Details = intent.ComponentError, details(s.refused)
	case s.pending != "":
		pipeline.Status, pipeline.Details = intent.ComponentPending, details(s.pending)
	case s.partly != "":
		pipeline.Status, pipeline.Details = intent.ComponentError, details(s.partly)
	case s.unmet != "":
		pipeline.Status = intent.ComponentPending
	}
	out.Components = []intent.Component{in, pipeline}
	if s.limited != "" {
		out.Components = append(out.Components,
			intent.Component{Name: "limits", Status: intent.ComponentError, Details: details(s.limited)})
	}
	if s.link != "" {
		out.Components = append(out.Components,
			intent.Component{Name: "link", Status: intent.ComponentError, Details: details(s.link)})
	}
	return out
}

func details(reason string) string {
	b, err := json.Marshal(map[string]string{"reason": reason})
	if err != nil {
		return `{"reason":"not printable"}`
	}
	return string(b)
}

// check adds what the target says of an entry that the object asks for.
func (s *summary) check(l *loop, k entry) {
	want := l.Desired(k)
	if want == nil {
		return
	}
	e := want.Entry()
	if have, ok := l.target.Value(e.Key); ok && have == e.Value {
		return
	}
	if f := l.target.Failure(e.Key); f != nil && s.refused == "" {
		s.refused = fmt.Sprintf("%v: %s", e.Key, l.target.Why(f))
	} else if s.pending == "" {
		s.pending = fmt.Sprintf("%v is not acknowledged yet", e.Key)
	}
}

// checkPort adds why the target does not use a port, if that is so.
func (s *summary) checkPort(l *loop, number uint16) {
	if reason, ok := l.refusedPorts[uint32(number)]; ok {
		s.refused = "the target refuses the port: " + reason
	}
	s.link = l.whyDown(number)
}

// checkTarget adds why nothing is written at all, if that is so.
func (s *summary) checkTarget(l *loop) {
	if !l.target.Ready() && s.refused == "" {
		s.pending = l.target.Reason()
	}
}

func (l *loop) bridgeSummary(b *bridge, without map[subject]refusals) summary {
	s := summary{unmet: l.whyUnstretched(b.VNI, b.VTEP, b.localVTEP)}
	if b.localVTEP.IsValid() {
		s.check(l, p4.VNI{Local: b.localVTEP, VNI: b.VNI})
		s.check(l, p4.LocalVTEP{Address: b.localVTEP})
	}
	s.check(l, p4.Group{ID: b.Index})
	s.checkTarget(l)
	of := without[subject{ofBridge, b.Index}]
	s.partly, s.limited = of.partly, together(l.bridgeLimited(b), of.limited)
	return s
}

// subject is what an entry concerns that it does not itself ask for.
type subject struct {
	kind  subjectKind
	index uint16
}

type subjectKind uint8

// The kinds of subject. A gateway has its bridge's index.
const (
	ofBridge subjectKind = iota
	ofVRF
	ofGateway
)

// refusals are what a subject is without: what the target refused, and what waits for room.
type refusals struct{ partly, limited string }

// refusals says of each subject which entries that follow from its routes and
// hosts are not on the target.
func (l *loop) refusals() map[subject]refusals {
	found := map[subject]*refusal{}
	for _, f := range l.target.Failures() {
		for _, s := range l.concerned(f.What) {
			if found[s] == nil {
				found[s] = &refusal{}
			}
			found[s].add(f)
		}
	}
	out := make(map[subject]refusals, len(found))
	for s, r := range found {
		out[s] = refusals{partly: r.text(l)}
	}
	for s, text := range l.roomWanted() {
		out[s] = refusals{partly: out[s].partly, limited: text}
	}
	return out
}

// concerned are those whose routes and hosts an entry follows from.
func (l *loop) concerned(k entry) []subject {
	if t := k.Type(); t < p4.Types {
		return l.tables[t].concerns(l, k)
	}
	return nil
}

// refusal counts entries that are not on the target; what the target itself said
// of one comes before what waits.
type refusal struct {
	n     int
	first *reconcile.Failure
}

func (r *refusal) add(f *reconcile.Failure) {
	r.n++
	if r.first == nil || !r.first.Refused() && f.Refused() {
		r.first = f
	}
}

func (r *refusal) text(l *loop) string {
	return fmt.Sprintf("%d entries are not on the target, such as %v: %s", r.n, r.first.What.Key(), l.target.Why(r.first))
}

// floodedBy are the bridges that flood over a tunnel, which may be nil.
func (t *tunnel) floodedBy() []subject {
	if t == nil {
		return nil
	}
	var all []subject
	for b := range t.floods {
		all = append(all, subject{ofBridge, b.Index})
	}
	return all
}

// reachedBy are the bridges that flood to a VTEP and the VRFs that route to it.
func (l *loop) reachedBy(vtep netip.Addr) []subject {
	var all []subject
	if r := l.remoteVTEPs[vtep]; r != nil {
		for _, t := range r.tunnels {
			all = append(all, t.floodedBy()...)
		}
	}
	for _, v := range l.vrfs {
		if v.routesTo(vtep) {
			all = append(all, subject{ofVRF, v.Index})
		}
	}
	return all
}

func (l *loop) portSummary(bp *bridgePort) summary {
	s := summary{unmet: bp.reason}
	if bp.port == nil {
		return s
	}
	s.limited = l.portLimited(bp.port)
	s.checkPort(l, bp.port.Number)
	s.check(l, p4.BridgePort{Port: bp.port.Number})
	for _, m := range bp.members {
		s.check(l, p4.Member{Port: bp.port.Number, VLAN: m.vlan})
		s.check(l, p4.EgressVLAN{Port: bp.port.Number, Bridge: m.bridge})
	}
	s.checkTarget(l)
	return s
}
