package web

import (
	"encoding/hex"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// dropsEvery is how often the drops are shown anew: to tell them by port and bridge is more
// work for a target than to count.
const dropsEvery = 5 * time.Second

// drops shows why frames were dropped: of all, of a port, or of a bridge.
func drops(q *query) (*page, error) {
	p := &page{Title: "Drops", Every: dropsEvery, Forms: []form{{Label: "Drops of a port or a bridge", Action: "/drops",
		Submit: "Show", Fields: []field{{Name: "port", Label: "Of port", Value: q.get("port"), Hint: "all"},
			{Name: "bridge", Label: "or in bridge", Value: q.get("bridge"), Hint: "all"}}}}}
	all, err := rows(q, q.pages.view.ListDrops, &p4evpnv1.ListDropsRequest{Port: q.get("port"), Bridge: q.get("bridge")},
		(*p4evpnv1.ListDropsResponse).GetDrops)
	if c := status.Code(err); c == codes.InvalidArgument || c == codes.NotFound {
		p.Sections = []section{{Text: status.Convert(err).Message() + "."}}
		return p, nil
	} else if err != nil {
		return nil, err
	}
	p.Sections = []section{{Table: q.reasons(all)}}
	if q.narrowed() {
		return p, nil
	}
	ports, err := q.allPorts()
	if err != nil {
		return nil, err
	}
	p.Sections = append(p.Sections, section{Table: dropsAtPorts(ports)})
	return p, nil
}

// narrowed reports whether drops of a part of the target alone are asked for.
func (q *query) narrowed() bool { return q.get("port") != "" || q.get("bridge") != "" }

// reasons shows drops by reason, with rates where they are of the whole target.
func (q *query) reasons(all []*p4evpnv1.Drop) *table {
	counters := map[string]uint64{}
	for _, d := range all {
		counters[d.GetStage()+d.GetReason()] = d.GetDropped().GetPackets()
	}
	rates := map[string]float64{}
	if !q.narrowed() {
		rates = q.pages.dropped.take(counters, time.Now())
	}
	t := &table{Caption: "Why frames were dropped, since the program was loaded", Empty: "Nothing was dropped.",
		Columns: []string{"Reason", "Frames", "Rate", "It means", "Stage", "Came by", "In bridges", "Such as"}}
	for _, d := range all {
		var perSecond cell
		if r, ok := rates[d.GetStage()+d.GetReason()]; ok {
			perSecond = cell{{Text: rate(r, "/s"), Class: "num"}}
		}
		t.add(mono(d.GetReason()), dropped(d.GetDropped().GetPackets()), perSecond, why(d.GetMeans()), d.GetStage(),
			parts("ports", d.GetPorts()), parts("bridges", d.GetBridges()), sampled(d.GetSample()))
	}
	return t
}

// parts are ports or bridges that have a part in it, those with the most first.
func parts(kind string, of []*p4evpnv1.DropsOf) (c cell) {
	const most = 4
	for i, p := range of {
		if i == most {
			return c.and(cell{{Text: "and more"}})
		}
		c = c.and(ref(kind, p.GetName())).and(cell{{Text: count(p.GetDropped().GetPackets()), Class: "num"}})
	}
	return c
}

// sampled leads to what becomes of a sample.
func sampled(s *p4evpnv1.DropSample) cell {
	if s == nil {
		return nil
	}
	return refTo(s.GetTime().AsTime().UTC().Format("15:04:05.000"),
		with("/trace", "port", s.GetPort(), "frame", hex.EncodeToString(s.GetFrame())))
}

// dropsAtPorts shows what ports count besides.
func dropsAtPorts(all []*p4evpnv1.Port) *table {
	t := &table{Caption: "Dropped at ports since the program was loaded", Empty: "There are no ports.",
		Columns: []string{"Port", "Source guard", "Storm: broadcast", "Storm: multicast", "Storm: unknown unicast",
			"Errors in", "Errors out", "Of frames in"}}
	for _, p := range all {
		c := p.GetCounters()
		t.add(ref("ports", portName(p)), dropped(c.GetSpoofed()), dropped(c.GetStormBroadcast()),
			dropped(c.GetStormMulticast()), dropped(c.GetStormUnknownUnicast()), dropped(c.GetErrorsIn()),
			dropped(c.GetErrorsOut()), cell{{Text: count(c.GetPacketsIn()), Class: "num"}})
	}
	return t
}

func dropped(n uint64) cell {
	if n == 0 {
		return cell{{Text: "0", Class: "num"}}
	}
	return cell{{Text: count(n), Class: "st down num"}}
}
