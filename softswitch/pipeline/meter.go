package pipeline

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// Colours of a meter (RFC 2698).
const (
	green  = 0
	yellow = 1
	red    = 2
)

// MeterConfig is a two-rate three-colour meter's configuration, in bytes or
// packets (a second for the rates).
type MeterConfig struct {
	CIR, CBurst, PIR, PBurst int64
}

// Meter is a meter array, or a table's direct meter.
type Meter struct {
	name  string
	bytes bool
	start time.Time
	cells []meterCell
}

// meterCell is colour-blind trTCM. Each bucket is kept as the time at which
// it will be full again, so that taking tokens is one compare-and-swap.
type meterCell struct {
	rates  atomic.Pointer[meterRates] // nil: everything is green
	peak   atomic.Int64               // ns since the meter's start
	commit atomic.Int64
}

type meterRates struct {
	config       MeterConfig
	peak, commit bucket
}

// bucket is a token bucket in units of time.
type bucket struct {
	unit  float64 // ns that a token takes to come
	depth float64 // ns that fill the bucket
}

func newBucket(rate, burst int64) bucket {
	if rate <= 0 {
		return bucket{unit: math.Inf(1)}
	}
	unit := 1e9 / float64(rate)
	return bucket{unit: unit, depth: unit * float64(burst)}
}

func newMeter(p *Pipeline, s *bmv2json.Meter) *Meter {
	m := &Meter{name: s.Name, bytes: s.Type == "bytes", start: p.start}
	if !s.Direct {
		m.cells = make([]meterCell, s.Size)
	}
	return m
}

// direct makes the cell of a table entry.
func (m *Meter) direct() *meterCell { return new(meterCell) }

// take removes n tokens if they are there.
func (b *bucket) take(full *atomic.Int64, now int64, n float64) bool {
	for {
		at := full.Load()
		next := float64(max(at, now)-now) + n*b.unit
		if !(next <= b.depth) {
			return false
		}
		if full.CompareAndSwap(at, now+int64(next)) {
			return true
		}
	}
}

// color meters the packet.
func (m *Meter) color(w *Worker, c *meterCell) uint64 {
	r := c.rates.Load()
	if r == nil {
		return green
	}
	n := 1.0
	if m.bytes {
		n = float64(w.ingressLength)
	}
	now := int64(time.Since(m.start))
	if !r.peak.take(&c.peak, now, n) {
		return red
	}
	if !r.commit.take(&c.commit, now, n) {
		return yellow
	}
	return green
}

// execute meters the packet with one cell; false for an index outside.
func (m *Meter) execute(w *Worker, index uint64) (uint64, bool) {
	if index >= uint64(len(m.cells)) {
		return 0, false
	}
	return m.color(w, &m.cells[index]), true
}

// Meter returns the indirect or direct meter of that name, or nil.
func (p *Pipeline) Meter(name string) *Meter {
	for _, m := range p.meters {
		if m.name == name {
			return m
		}
	}
	return nil
}

// Meters lists the meters in the order of the JSON.
func (p *Pipeline) Meters() []*Meter { return p.meters }

// Name is the JSON's full name, as in P4Info.
func (m *Meter) Name() string { return m.name }

// Size is the number of cells; 0 for a direct meter.
func (m *Meter) Size() int { return len(m.cells) }

// Config returns a cell's configuration; false if it has none.
func (m *Meter) Config(index int) (MeterConfig, bool) {
	if index < 0 || index >= len(m.cells) {
		return MeterConfig{}, false
	}
	return m.cells[index].config()
}

func (c *meterCell) config() (MeterConfig, bool) {
	if r := c.rates.Load(); r != nil {
		return r.config, true
	}
	return MeterConfig{}, false
}

// SetConfig configures a cell; nil makes everything green again. Errors:
// ErrInvalid.
func (m *Meter) SetConfig(index int, config *MeterConfig) error {
	if index < 0 || index >= len(m.cells) {
		return fmt.Errorf("meter %s: index %d is not in 0..%d: %w", m.name, index, len(m.cells)-1, ErrInvalid)
	}
	if err := m.cells[index].configure(config); err != nil {
		return fmt.Errorf("meter %s: %w", m.name, err)
	}
	return nil
}

func (c *meterCell) configure(config *MeterConfig) error {
	if err := config.Check(); err != nil {
		return err
	}
	c.set(config)
	return nil
}

// Check says what is wrong with a configuration; nil is right. Errors:
// ErrInvalid.
func (c *MeterConfig) Check() error {
	if c != nil && (c.CIR < 0 || c.PIR < c.CIR || c.CBurst < 0 || c.PBurst < 0) {
		return fmt.Errorf("rates %+v: negative, or the peak is below the committed rate: %w", *c, ErrInvalid)
	}
	return nil
}

// set configures the cell; its buckets are full then, unless it had this
// configuration already.
func (c *meterCell) set(config *MeterConfig) {
	if config == nil {
		c.rates.Store(nil)
		return
	}
	if old := c.rates.Load(); old != nil && old.config == *config {
		return
	}
	c.peak.Store(0)
	c.commit.Store(0)
	c.rates.Store(&meterRates{config: *config,
		peak: newBucket(config.PIR, config.PBurst), commit: newBucket(config.CIR, config.CBurst)})
}
