package alert

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/internal/events"
)

// placesOver is the time over which it is counted where frames come from that are dropped.
const placesOver = time.Second

// drops are what is dropped, as it was counted last.
type drops struct {
	of    Drops
	limit float64 // frames a second of one reason
	log   *slog.Logger

	counted map[reason]uint64 // nil = not yet
	at      time.Time
	over    map[reason]bool // reasons that are over the limit, and were told
}

// reason is why frames are dropped.
type reason struct{ stage, name string }

// look compares what was dropped with what had been when it looked last. Who is over the limit
// is so until it is below half of it: rates about the limit are one event.
func (d *drops) look(ctx context.Context, now time.Time) {
	rows, err := d.of.Drops(ctx, view.DropQuery{Totals: true})
	if err != nil {
		return // the target is away, which is an event by itself
	}
	counted := map[reason]uint64{}
	means := map[reason]string{}
	for _, r := range rows {
		counted[reason{r.Stage, r.Reason}] = r.Packets
		means[reason{r.Stage, r.Reason}] = r.Means
	}
	before, took := d.counted, now.Sub(d.at).Seconds()
	d.counted, d.at = counted, now
	if before == nil || took <= 0 {
		return
	}
	for r := range d.over { // of a target that was loaded anew
		counted[r] += 0
	}
	for r := range counted {
		was := before[r]
		if was > counted[r] { // the target was loaded anew
			was = 0
		}
		switch rate := float64(counted[r]-was) / took; {
		case rate >= d.limit && !d.over[r]:
			d.over[r] = true
			d.begin(ctx, r, rate, means[r])
		case rate < d.limit/2 && d.over[r]:
			delete(d.over, r)
			d.log.LogAttrs(ctx, slog.LevelInfo, "frames are not dropped so fast any more", events.Drops.Attr(),
				slog.String("reason", r.name), slog.String("stage", r.stage), perSecond(rate))
		}
	}
}

// begin tells that a reason is over the limit, and where its frames come from now.
func (d *drops) begin(ctx context.Context, r reason, rate float64, means string) {
	attrs := []slog.Attr{events.Drops.Attr(), slog.String("reason", r.name), slog.String("stage", r.stage),
		perSecond(rate), slog.String("means", means)}
	rows, _ := d.of.Drops(ctx, view.DropQuery{Over: placesOver})
	for _, row := range rows {
		if row.Stage != r.stage || row.Reason != r.name {
			continue
		}
		if len(row.Ports) > 0 {
			attrs = append(attrs, slog.String("port", row.Ports[0].Name))
		}
		if len(row.Bridges) > 0 {
			attrs = append(attrs, slog.String("bridge", row.Bridges[0].Name))
		}
	}
	d.log.LogAttrs(ctx, slog.LevelWarn, "many frames are dropped: see p4evpn why drop", attrs...)
}

func perSecond(rate float64) slog.Attr {
	return slog.String("frames_per_second", fmt.Sprintf("%.0f", rate))
}
