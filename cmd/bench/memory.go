package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch/shadow"
)

const memoryEntries = 100_000

// measureMemory gives what an entry of the embedded switch takes: the growth of
// the heap of a switch without ports, after garbage is gone, its hash tables'
// spare room included.
func measureMemory(context.Context, *bench) ([]value, error) {
	tables := []struct {
		name, table, what string
		entry             func(n uint32) p4.Entry
	}{
		{"switch_bytes_per_entry", "bridge.fdb", "exact", func(n uint32) p4.Entry {
			return p4.FDB{Bridge: 1, MAC: stationMAC(n), Kind: p4.ToVTEP, VTEP: 1, VNI: 100}.Entry()
		}},
		{"switch_bytes_per_source", "bridge.source", "exact, counts and ages, with metadata", func(n uint32) p4.Entry {
			return p4.Source{Bridge: 1, MAC: stationMAC(n), Port: 1, Verdict: p4.Known, IdleTimeout: 300 * time.Second,
				Metadata: "\x00\x00\x00\x01"}.Entry()
		}},
		{"switch_bytes_per_route", "router.ipv4", "longest prefix", func(n uint32) p4.Entry {
			address := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 100<<24|n)))
			return p4.Route{VRF: 1, Prefix: netip.PrefixFrom(address, 32), Kind: p4.RouteHost, Bridge: 1,
				MAC: stationMAC(n)}.Entry()
		}},
	}
	var values []value
	for _, t := range tables {
		bytes, err := bytesPerEntry(t.entry)
		if err != nil {
			return values, fmt.Errorf("fill %s: %w", t.table, err)
		}
		values = append(values, value{name: t.name, number: bytes, unit: "B", goal: atMost(300),
			against: fmt.Sprintf("heap of the embedded switch, %d entries of %s (%s)", memoryEntries, t.table, t.what)})
	}
	return values, nil
}

func bytesPerEntry(entry func(n uint32) p4.Entry) (float64, error) {
	sw, err := shadow.New(&p4v1.ForwardingPipelineConfig{P4Info: p4.P4Info(), P4DeviceConfig: p4.DeviceConfig()})
	if err != nil {
		return 0, err
	}
	before, _ := memory()
	for n := range uint32(memoryEntries) {
		if err := sw.Write(&p4v1.Update{Type: p4v1.Update_INSERT, Entity: entry(n).Entity()}); err != nil {
			return 0, err
		}
	}
	after, _ := memory()
	runtime.KeepAlive(sw)
	return (after - before) / memoryEntries, nil
}
