package api

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/internal/journal"
)

// eventService is p4evpn.v1.Events.
type eventService struct {
	p4evpnv1.UnimplementedEventsServer
	log *journal.Log
}

// eventsAtOnce bounds what is held for a watcher that does not read.
const eventsAtOnce = 100

// WatchEvents holds nothing for a watcher but the id of what it was given last and what is on
// its way: one that does not read misses what goes meanwhile, and is told how much.
func (s *eventService) WatchEvents(r *p4evpnv1.WatchEventsRequest,
	out grpc.ServerStreamingServer[p4evpnv1.WatchEventsResponse]) error {
	for i, k := range r.GetKinds() {
		if !slices.Contains(events.Kinds(), events.Kind(k)) {
			return badField(fmt.Sprintf("kinds[%d]", i), fmt.Sprintf("%q: want some of %v", k, events.Kinds()))
		}
	}
	var since time.Time
	if r.GetSince() != nil {
		if err := r.GetSince().CheckValid(); err != nil {
			return badField("since", err.Error())
		}
		since = r.GetSince().AsTime()
	}
	after, watched := r.GetAfter(), r.GetAfter() != 0
	if after > s.log.Last() { // of events that were lost
		after, watched = 0, false
	}
	for first := true; ; first = false {
		found, more := s.log.Some(after, eventsAtOnce)
		last, missed := len(found) < eventsAtOnce, uint64(0)
		if len(found) > 0 {
			if watched {
				missed = found[0].ID - after - 1
			}
			after, watched = found[len(found)-1].ID, true
		}
		found = slices.DeleteFunc(found, func(e journal.Event) bool {
			return e.Time.Before(since) || len(r.GetKinds()) > 0 && !slices.Contains(r.GetKinds(), string(e.Kind))
		})
		if first || len(found) > 0 || missed > 0 {
			if err := sendEvents(found, missed, out); err != nil {
				return err
			}
		}
		switch {
		case !last:
			continue
		case !r.GetFollow():
			return nil
		}
		select {
		case <-more:
		case <-out.Context().Done():
			return failed(out.Context().Err())
		}
	}
}

// sendEvents sends events in messages of bounded size; how many are missed goes with the first.
func sendEvents(found []journal.Event, missed uint64,
	out grpc.ServerStreamingServer[p4evpnv1.WatchEventsResponse]) error {
	return stream(found, out, eventRow, func(rows []*p4evpnv1.Event) *p4evpnv1.WatchEventsResponse {
		m := &p4evpnv1.WatchEventsResponse{Events: rows, Missed: missed}
		missed = 0
		return m
	})
}

func eventRow(e journal.Event) *p4evpnv1.Event {
	m := &p4evpnv1.Event{Id: e.ID, Time: timestamppb.New(e.Time), Kind: string(e.Kind), Level: e.Level, Text: utf8(e.Text)}
	if len(e.Attributes) > 0 {
		m.Attributes = map[string]string{}
	}
	for k, v := range e.Attributes {
		m.Attributes[utf8(k)] = utf8(v)
	}
	return m
}
