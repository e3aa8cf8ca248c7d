package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// packetSizes are lengths of inner frames without FCS.
var packetSizes = []int{64, 512, 1400}

const (
	manyFlows    = 10_000
	fewStations  = 10
	manyStations = 100_000
	writeRate    = 10_000 // entries a second
)

// cell is what one rate is of.
type cell struct {
	size, flows, stations int
	writing               bool // while entries are written at writeRate
}

// usual is the cell of a size that the others are compared with.
func usual(size int) cell { return cell{size: size, flows: manyFlows, stations: fewStations} }

// packetCells are all cells of a case, those with few stations first. Only
// some are measured without -full: each size, and each other thing by itself
// with the smallest frames.
func packetCells(full bool) []cell {
	var cells []cell
	for _, stations := range []int{fewStations, manyStations} {
		for _, size := range packetSizes {
			for _, flows := range []int{manyFlows, 1} {
				if full || stations == fewStations && flows == manyFlows || size == packetSizes[0] &&
					(stations == fewStations || flows == manyFlows) {
					cells = append(cells, cell{size: size, flows: flows, stations: stations})
				}
			}
		}
		if stations == fewStations {
			quiet := usual(packetSizes[0])
			quiet.writing = true
			cells = append(cells, quiet)
		}
	}
	return cells
}

// in names the cell of a case, as in l2_64 or l2_64_1flow_100k.
func (k cell) in(c *packetCase) string {
	name := fmt.Sprintf("%s_%d", c.name, k.size)
	if k.flows == 1 {
		name += "_1flow"
	}
	if k.stations == manyStations {
		name += "_100k"
	}
	if k.writing {
		name += "_writing"
	}
	return name
}

// plain is the cell whose upper marks are this one's too: what only reads and
// writes has no entries.
func (k cell) plain() cell { return cell{size: k.size, flows: k.flows, stations: fewStations} }

// packetFigures is a figure for each case, asked for by any of its cells.
func packetFigures() []figure {
	var all []figure
	for i := range packetCases {
		c := &packetCases[i]
		f := figure{names: []string{"switch_" + c.name + "_vs_bmv2", "switch_" + c.name + "_100k_vs_10",
			"switch_" + c.name + "_writing_vs_quiet"}}
		for _, k := range packetCells(true) {
			f.names = append(f.names, "switch_"+k.in(c))
			f.names = append(f.names, "switch_"+k.in(c)+"_vs_bmv2", "switch_"+k.in(c)+"_vs_forwarder")
		}
		f.measure = func(ctx context.Context, b *bench) ([]value, error) { return measurePackets(ctx, b, c) }
		all = append(all, f)
	}
	return all
}

// chosenCells are those of a case that one of the wanted values needs.
func chosenCells(b *bench, c *packetCase) []cell {
	chosen := map[cell]bool{}
	for _, k := range packetCells(b.full) {
		name := "switch_" + k.in(c)
		if b.wanted(name) || b.wanted(name+"_vs_bmv2") || b.wanted(name+"_vs_forwarder") {
			chosen[k], chosen[k.plain()] = true, true
		}
	}
	first := usual(packetSizes[0])
	many, writing := first, first
	many.stations, writing.writing = manyStations, true
	chosen[first] = chosen[first] || b.wanted("switch_"+c.name+"_vs_bmv2")
	for name, k := range map[string]cell{"_100k_vs_10": many, "_writing_vs_quiet": writing} {
		if b.wanted("switch_" + c.name + name) {
			chosen[first], chosen[k] = true, true
		}
	}
	return slices.DeleteFunc(packetCells(b.full), func(k cell) bool { return !chosen[k] })
}

// measurement is what was found out about one cell of one switch.
type measurement struct {
	speed
	p50, p99 float64 // seconds that a single frame takes
}

type measurements map[cell]measurement

// measurePackets sends the frames of a case through the embedded switch, BMv2,
// a forwarder that only reads and writes, and Linux, one after the other, over
// the same cables, and finds for each the highest rate without loss.
func measurePackets(ctx context.Context, b *bench, c *packetCase) ([]value, error) {
	return b.withRig(func(r *rig) ([]value, error) { return r.packets(ctx, c) })
}

func (r *rig) packets(ctx context.Context, c *packetCase) (_ []value, err error) {
	r.c = c
	cells := chosenCells(r.bench, c)
	marks := slices.DeleteFunc(slices.Clone(cells), func(k cell) bool { return k != k.plain() })
	v := packetValues{c: c, cells: cells}
	if v.ours, err = r.programmed(ctx, embedded, cells); err != nil {
		return nil, err
	}
	v.theirs, err = r.programmed(ctx, bmv2, cells)
	if reason, ok := skipped(err); ok {
		v.absent = reason
	} else if err != nil {
		return nil, err
	}
	var failed [2]error
	v.forwarder, failed[0] = r.forwarder(ctx, marks)
	v.linux, failed[1] = r.linux(ctx, marks)
	return v.all(), errors.Join(failed[:]...)
}

// packetValues makes the values of a case.
type packetValues struct {
	c                              *packetCase
	cells                          []cell
	ours, theirs, forwarder, linux measurements
	absent                         string // why there is no BMv2
}

func (v *packetValues) all() []value {
	var out []value
	for _, k := range v.cells {
		out = append(out, v.ratios(k)...)
	}
	first := usual(packetSizes[0])
	for _, other := range []struct {
		name string
		cell cell
	}{
		{"_100k_vs_10", cell{first.size, first.flows, manyStations, false}},
		{"_writing_vs_quiet", cell{first.size, first.flows, first.stations, true}},
	} {
		if m, ok := v.ours[other.cell]; ok && v.ours[first].rate > 0 {
			out = append(out, value{name: "switch_" + v.c.name + other.name, number: m.rate / v.ours[first].rate, unit: "ratio",
				goal: atLeast(0.8), against: fmt.Sprintf("switch_%s to switch_%s", other.cell.in(v.c), first.in(v.c))})
		}
	}
	for _, s := range []struct {
		name, what string
		found      measurements
	}{
		{"switch", "", v.ours}, {"bmv2", ": " + bmv2Program(), v.theirs},
		{"forwarder", ": it only reads and writes the frames", v.forwarder}, {"linux", ": bridge and VXLAN device", v.linux},
	} {
		for _, k := range v.cells {
			if m, ok := s.found[k]; ok {
				out = append(out, m.values(s.name+"_"+k.in(v.c), s.what)...)
			}
		}
	}
	return out
}

// ratios compare the embedded switch with the others in one cell.
func (v *packetValues) ratios(k cell) []value {
	name := k.in(v.c)
	ours, theirs := v.ours[k], v.theirs[k]
	against := fmt.Sprintf("BMv2, same JSON and entries: switch_%s to bmv2_%s", name, name)
	ratio := value{name: "switch_" + name + "_vs_bmv2", number: ours.rate / theirs.rate, unit: "ratio", goal: atLeast(10),
		against: against, missing: v.absent}
	mark, marked := v.forwarder[k.plain()]
	if marked && v.absent == "" {
		if lower := 0.6 * mark.rate / theirs.rate; lower < 10 {
			ratio.goal = atLeast(lower)
			ratio.against += ", or 60 % of the forwarder"
		}
	}
	var out []value
	if k == usual(packetSizes[0]) {
		out = append(out, value{name: "switch_" + v.c.name + "_vs_bmv2", number: ratio.number, unit: "ratio",
			goal: atLeast(1), against: against, missing: v.absent})
	}
	out = append(out, ratio, value{name: "switch_" + name + "_cpu_vs_bmv2", number: theirs.cpu / ours.cpu, unit: "ratio",
		against: "processor time of a frame, BMv2's to ours", missing: v.absent})
	if marked {
		out = append(out, value{name: "switch_" + name + "_vs_forwarder", number: ours.rate / mark.rate, unit: "ratio",
			against: "a process that only reads and writes the frames"})
	}
	return out
}

func (m measurement) values(name, what string) []value {
	rate := value{name: name, number: m.rate, unit: "frames/s",
		against: fmt.Sprintf("received with at most %.1f %% loss, veth to veth", 100*lossAllowed) + what}
	if m.all {
		rate.against += ", all that the generator sends"
	}
	out := []value{rate}
	if m.cpu > 0 {
		out = append(out, value{name: name + "_cpu", number: 1e6 * m.cpu, unit: "us",
			against: "processor time of the switch for a frame"})
	}
	const how = "from sending one frame to receiving it, one at a time"
	return append(out,
		value{name: name + "_p50", number: 1e6 * m.p50, unit: "us", against: how},
		value{name: name + "_p99", number: 1e6 * m.p99, unit: "us", against: how})
}
