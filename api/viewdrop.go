package api

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// maxOver bounds the time over which drops are counted: the call lasts as long.
const maxOver = time.Minute

func (s *viewService) ListDrops(r *p4evpnv1.ListDropsRequest,
	out grpc.ServerStreamingServer[p4evpnv1.ListDropsResponse]) error {
	bridge, err := existing(s.store, bridgeNaming, "bridge", r.GetBridge(), (*intent.Tx).Bridges)
	if err != nil {
		return err
	}
	q := view.DropQuery{Port: r.GetPort(), Bridge: bridge, Over: r.GetOver().AsDuration()}
	switch {
	case r.GetOver() != nil && (r.GetOver().CheckValid() != nil || q.Over < 0 || q.Over > maxOver):
		return badField("over", fmt.Sprintf("%v: want a time of at most %v", q.Over, maxOver))
	case q.Port != "" && q.Bridge != "":
		return badField("bridge", "the target counts drops by port and by bridge, not by both: leave out one")
	}
	rows, err := s.view.Drops(out.Context(), q)
	switch {
	case errors.Is(err, view.ErrUnknown):
		return badField("port", err.Error())
	case err != nil:
		return failed(err)
	}
	return stream(rows, out, dropRow, func(p []*p4evpnv1.Drop) *p4evpnv1.ListDropsResponse {
		return &p4evpnv1.ListDropsResponse{Drops: p}
	})
}

func dropRow(d view.Drop) *p4evpnv1.Drop {
	m := &p4evpnv1.Drop{Reason: d.Reason, Means: d.Means, Stage: d.Stage, Dropped: dropped(d.Dropped),
		Ports: dropsOf(d.Ports), Bridges: dropsOf(d.Bridges)}
	if s := d.Sample; s != nil {
		m.Sample = &p4evpnv1.DropSample{Port: utf8(s.Port), Time: timestamppb.New(s.Time), Frame: s.Frame}
	}
	return m
}

func dropped(d view.Dropped) *p4evpnv1.Dropped {
	return &p4evpnv1.Dropped{Packets: d.Packets, Bytes: d.Bytes, Rate: d.Rate}
}

func dropsOf(parts []view.DropsOf) (rows []*p4evpnv1.DropsOf) {
	for _, p := range parts {
		rows = append(rows, &p4evpnv1.DropsOf{Name: utf8(p.Name), Dropped: dropped(p.Dropped)})
	}
	return rows
}
