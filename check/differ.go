package check

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// try sends one frame, unless it was sent.
func (p *pass) try(pr *probe) {
	b := pr.arrival.bytes(&pr.frame)
	var h maphash.Hash
	h.SetSeed(p.seed)
	_, _ = h.Write(binary.BigEndian.AppendUint16(nil, pr.port))
	_, _ = h.Write(b)
	if p.tried[h.Sum64()] {
		return
	}
	p.tried[h.Sum64()] = true
	p.Frames++
	want := p.oracle.expect(pr.arrival, pr.frame)
	got := p.observe(pr.port, b)
	missing, more, differs := compare(&want, &got)
	if !differs {
		return
	}
	d := view.CheckDifference{
		Object: pr.object, Bridge: pr.bridge, VRF: pr.vrf, Frame: b, Port: p.portName(pr.port), Arrives: p.arrives(pr),
		Expected: p.oracle.wantText(&want, missing), Rule: want.rule, Actual: p.oracle.gotText(&got, more),
	}
	if d.Expected == d.Actual {
		d.Actual += fmt.Sprintf(", with other bytes: %x", more[0].frame)
	}
	key := fmt.Sprintf("%d %x %s %s", pr.port, b, d.Expected, d.Actual)
	p.keys[key] = true
	switch {
	case p.before != nil && !p.before[key]:
		delete(p.keys, key) // something is under way
	case len(p.Differences) >= maxDifferences:
		p.More++
	default:
		d.Steps = p.steps(p.shadow.Trace(uint32(pr.port), b))
		p.resetDrops()
		p.Differences = append(p.Differences, d)
	}
}

// resetDrops forgets what was dropped.
func (p *pass) resetDrops() {
	for _, drops := range p.drops {
		for reason := range drops.Size() {
			_ = drops.Write(reason, 0, 0) // the index is its own
		}
	}
}

func (p *pass) portName(n uint16) string {
	at := p.oracle.ports[n]
	switch {
	case at == nil:
		return fmt.Sprint(n)
	case at.HostPort == n:
		return at.Name + "-host"
	}
	return at.Name
}

// arrives says what the frame is and where it comes from.
func (p *pass) arrives(pr *probe) string {
	from := "port " + p.portName(pr.port)
	switch {
	case pr.vxlan():
		from = fmt.Sprintf("VTEP %v to %v with VNI %d", pr.vtep, pr.local, pr.vni)
	case pr.tag != 0:
		from += fmt.Sprintf(" with tag %d", pr.tag)
	}
	return fmt.Sprintf("from %s: %s", from, describe(string(pr.frame.bytes(0))))
}

// because is a step whose entry the gateway may explain.
type because struct {
	difference, step int
	entry            p4.Entry
}

// steps are the tables that a frame met, and what it hit. What the target has otherwise than
// the gateway wrote it says so.
func (p *pass) steps(a *pipeline.Account) (out []view.CheckStep) {
	for i := range a.Steps {
		s := &a.Steps[i]
		step := view.CheckStep{Text: s.String()}
		var keys []p4.Key
		switch {
		case s.Kind == pipeline.StepReplicate && s.Name == "multicast":
			keys = []p4.Key{p4.Group{ID: uint16(s.Group)}.Key()}
		case s.Kind == pipeline.StepReplicate:
			keys = []p4.Key{p4.CloneSession{ID: s.Group}.Key()}
		case s.Kind == pipeline.StepTable && len(s.Key) > 0:
			keys = p.keysOf(s)
		default:
			continue
		}
		if e, hit := p.hit(s, keys); hit {
			step.Entry, step.Text = e.String(), e.String()
			p.because = append(p.because, because{len(p.Differences), len(out), e})
			keys = append(keys, chosenAmong(e)...)
		}
		for _, k := range keys {
			is, has := p.held[k]
			was, told := p.ack[k]
			switch {
			case has && !told:
				step.Odd = fmt.Sprintf("the gateway did not write %v", is)
			case told && (!has || is != was):
				step.Odd = fmt.Sprintf("the gateway wrote %v", was)
			}
		}
		out = append(out, step)
	}
	return out
}

// chosenAmong are the group that an entry refers to, and what flows choose among in it.
func chosenAmong(e p4.Entry) []p4.Key {
	var group p4.Typed
	switch d, _ := p4.Decode(e); d := d.(type) {
	case p4.Flows:
		group = p4.UplinkGroup{ID: d.Group}
	case p4.Multipath:
		group = p4.NextHopGroup{ID: d.Group}
	default:
		return nil
	}
	return append(group.Refs(), group.Key())
}

// hit is the entry that a step hit.
func (p *pass) hit(s *pipeline.Step, keys []p4.Key) (p4.Entry, bool) {
	if s.Kind == pipeline.StepReplicate {
		e, has := p.held[keys[0]]
		return e, has
	}
	entity := p.shadow.Hit(s)
	if entity == nil || entity.GetTableEntry().GetIsConst() {
		return p4.Entry{}, false
	}
	e, err := p4.FromEntity(entity)
	return e, err == nil
}

// keysOf are those of the entries that a step may have met.
func (p *pass) keysOf(s *pipeline.Step) []p4.Key {
	values := map[string][]byte{}
	for _, f := range s.Key {
		digits := strings.TrimPrefix(f.Value, "0x")
		if len(digits)%2 == 1 {
			digits = "0" + digits
		}
		v, err := hex.DecodeString(digits)
		if err != nil {
			return nil
		}
		values[f.Name] = v
	}
	keys, few, err := p4.Lookups(s.Name, values)
	if err != nil || few {
		return keys
	}
	for _, all := range []map[p4.Key]p4.Entry{p.held, p.ack} {
		for k := range all {
			if k.Table() == s.Name {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// explain has the gateway say what the entries come from.
func (c *Checker) explain(ctx context.Context, p *pass) error {
	if len(p.because) == 0 || c.cfg.Why == nil {
		return nil
	}
	entries := make([]p4.Entry, len(p.because))
	for i, b := range p.because {
		entries[i] = b.entry
	}
	why, err := c.cfg.Why(ctx, entries)
	if err != nil {
		return err
	}
	for i, b := range p.because {
		if step := &p.Differences[b.difference].Steps[b.step]; step.Odd == "" {
			step.Why = why[i]
		}
	}
	return nil
}
