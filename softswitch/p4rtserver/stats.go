package p4rtserver

import "sync/atomic"

// Stats counts since the server was made.
type Stats struct {
	Writes, Updates, FailedUpdates uint64
	Reads                          uint64

	DigestLists, Digests uint64 // sent
	DigestsDropped       uint64 // no primary client, it does not read, or too many unacknowledged
	PacketIns            uint64 // sent
	PacketInsDropped     uint64 // no primary client, it does not read, or no packet_in header in the frame
	PacketOuts           uint64
	PacketOutsRefused    uint64
	IdleEntries          uint64 // notified
	IdleEntriesDropped   uint64
	Streams              int64  // open now
	StreamsEvicted       uint64 // ended since there was another that came later, or was to be primary
	ReadsRefused         uint64 // of clients that are not primary, since others were reading
	PipelineCommits      uint64
	// ReconcileDropped is how much state did not fit a pipeline that was to keep it:
	// entries, members, groups, cells of arrays.
	ReconcileDropped uint64
}

type counters struct {
	writes, updates, failedUpdates       atomic.Uint64
	reads                                atomic.Uint64
	digestLists, digests, digestsDropped atomic.Uint64
	packetIns, packetInsDropped          atomic.Uint64
	packetOuts, packetOutsRefused        atomic.Uint64
	idle, idleDropped                    atomic.Uint64
	streams                              atomic.Int64
	evicted, readsRefused                atomic.Uint64
	commits, dropped                     atomic.Uint64
}

// Stats returns the server's counters. It may be called at any time.
func (s *Server) Stats() Stats {
	c := &s.counters
	return Stats{
		Writes: c.writes.Load(), Updates: c.updates.Load(), FailedUpdates: c.failedUpdates.Load(),
		Reads:       c.reads.Load(),
		DigestLists: c.digestLists.Load(), Digests: c.digests.Load(), DigestsDropped: c.digestsDropped.Load(),
		PacketIns: c.packetIns.Load(), PacketInsDropped: c.packetInsDropped.Load(),
		PacketOuts: c.packetOuts.Load(), PacketOutsRefused: c.packetOutsRefused.Load(),
		IdleEntries: c.idle.Load(), IdleEntriesDropped: c.idleDropped.Load(),
		Streams: c.streams.Load(), StreamsEvicted: c.evicted.Load(), ReadsRefused: c.readsRefused.Load(),
		PipelineCommits:  c.commits.Load(),
		ReconcileDropped: c.dropped.Load(),
	}
}
