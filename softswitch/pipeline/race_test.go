package pipeline

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
)

// Workers forward while every kind of configuration changes. What must hold
// throughout: entries that nobody touches are hit by every packet.
func TestConfigurationChangesWhilePacketsRun(t *testing.T) {
	e := newEVPN(t)
	e.insert("bridge.source", exact("0a", macA, "01"), "bridge.known")
	var stop atomic.Bool
	var workers, writers sync.WaitGroup
	known := ether(macB, macA, "88b5")
	flood := ether("ffffffffffff", macA, "0806")
	for range 2 {
		workers.Go(func() {
			w := e.NewWorker(discard{})
			for !stop.Load() {
				w.Reset()
				w.Process(1, known)
				if len(w.Out) != 1 || w.Out[0].Port != 2 {
					t.Errorf("a known destination gave %d packets", len(w.Out))
					return
				}
				w.Process(1, flood)
				w.Process(4, known)
			}
		})
	}
	for seed := range 2 {
		writers.Go(func() { churn(t, e, byte(seed)) })
	}
	writers.Wait()
	stop.Store(true)
	workers.Wait()
	if n := e.Table("bridge.fdb").Len(); n != 2 {
		t.Errorf("%d entries are left, want 2", n)
	}
}

// churn inserts, modifies, reads and deletes entries of its own.
func churn(t *testing.T, e *evpn, seed byte) {
	fdb, peers, traps := e.Table("bridge.fdb"), e.Table("vxlan.peer"), e.Table("punt.trap")
	check := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	for i := range 3000 {
		mac := make([]byte, 6)
		mac[0], mac[1] = 4, seed
		binary.BigEndian.PutUint32(mac[2:], uint32(i%97))
		entry := &Entry{Match: []Match{{Value: []byte{10}}, {Value: mac}}, Action: "bridge.to_port", Params: [][]byte{{1}}}
		check(fdb.Insert(entry))
		entry.Params[0][0] = 3
		check(fdb.Modify(entry))
		if i%3 == 0 {
			fdb.Each(func(Entry) bool { return true })
			fdb.Expired(func(Entry) bool { return true })
		}
		check(fdb.Delete(entry))
		prefix := &Entry{Match: []Match{{Value: []byte{10, seed, byte(i), 0}, PrefixLen: 24 + i%8}}, Action: "vxlan.accept"}
		prefix.Match[0].Value[3] = 0
		if i%8 == 0 && i%256 == 0 && seed == 0 {
			continue // 10.0.0.0/24 is in the table already
		}
		check(peers.Insert(prefix))
		check(peers.Delete(prefix))
		trap := &Entry{Match: []Match{{Any: true}, {Value: []byte{0x12, seed}, Mask: []byte{0xff, 0xff}}, {Any: true},
			{Any: true}, {Any: true}},
			Priority: int32(1 + i%50), Action: "punt.copy", Params: [][]byte{{1}}}
		check(traps.Insert(trap))
		check(traps.Delete(trap))
		check(e.SetGroup(10, []Replica{{2, 1}, {3, uint16(i)}}))
		check(e.SetSession(1, Session{Replicas: []Replica{{Port: uint32(i % 500)}}}))
		e.Tick(int64(i))
	}
}
