package pipeline

import (
	"encoding/binary"
	"fmt"
	"testing"
)

func benchFrames(b *testing.B, e *evpn, port uint32, frames [][]byte) {
	b.Helper()
	w := e.NewWorker(discard{})
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		w.Reset()
		w.Process(port, frames[i%len(frames)])
	}
	if len(w.Out) == 0 {
		b.Fatal("nothing came out")
	}
}

const udpToPort = "0800 4500001c00000000401100000a0102030a010204 0001 0002 0008 0000"

func BenchmarkL2Forward(b *testing.B) {
	e := newEVPN(b)
	e.insert("bridge.source", exact("0a", macA, "01"), "bridge.known")
	for _, size := range []int{64, 1400} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := ether(macB, macA, udpToPort)
			benchFrames(b, e, 1, [][]byte{append(f, make([]byte, size-len(f))...)})
		})
	}
}

func BenchmarkEncap(b *testing.B) {
	e := newEVPN(b)
	e.insert("bridge.source", exact("0a", macA, "01"), "bridge.known")
	benchFrames(b, e, 1, [][]byte{ether(macR, macA, udpToPort)})
}

func BenchmarkDecap(b *testing.B) {
	e := newEVPN(b)
	benchFrames(b, e, 4, [][]byte{outer(gwMAC, hopMAC, vtep7, gwIP, "000064", 50000, ether(macB, macR, udpToPort))})
}

func BenchmarkFlood(b *testing.B) {
	e := newEVPN(b)
	e.insert("bridge.source", exact("0a", macA, "01"), "bridge.known")
	benchFrames(b, e, 1, [][]byte{ether("ffffffffffff", macA, udpToPort)})
}

// BenchmarkL2ForwardManyMACs forwards to 100,000 destinations at random.
func BenchmarkL2ForwardManyMACs(b *testing.B) {
	e := newEVPN(b)
	e.insert("bridge.source", exact("0a", macA, "01"), "bridge.known")
	frames := make([][]byte, 1<<16)
	for i := range 100_000 {
		mac := make([]byte, 6)
		binary.BigEndian.PutUint32(mac[2:], uint32(i)*2654435761)
		mac[0] = 2
		entry := &Entry{Match: []Match{{Value: []byte{10}}, {Value: mac}}, Action: "bridge.to_port", Params: [][]byte{{2}}}
		if err := e.Table("bridge.fdb").Insert(entry); err != nil {
			b.Fatal(err)
		}
		if i < len(frames) {
			frames[i] = ether(fmt.Sprintf("%x", mac), macA, udpToPort)
		}
	}
	benchFrames(b, e, 1, frames)
}

func BenchmarkInsertExact(b *testing.B) {
	p := New(loadEVPN(b), Limits{MinTableSize: 1 << 30})
	t := p.Table("bridge.fdb")
	mac := make([]byte, 6)
	entry := &Entry{Match: []Match{{Value: []byte{10}}, {Value: mac}}, Action: "bridge.to_vtep",
		Params: [][]byte{{2}, {1, 2, 3}}}
	b.ReportAllocs()
	for i := range b.N {
		binary.BigEndian.PutUint32(mac[2:], uint32(i))
		if err := t.Insert(entry); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInsertLPM(b *testing.B) {
	p := New(loadEVPN(b), Limits{MinTableSize: 1 << 30})
	t := p.Table("vxlan.peer")
	addr := make([]byte, 4)
	entry := &Entry{Match: []Match{{Value: addr, PrefixLen: 32}}, Action: "vxlan.accept"}
	b.ReportAllocs()
	for i := range b.N {
		binary.BigEndian.PutUint32(addr, uint32(i)*2654435761)
		if err := t.Insert(entry); err != nil {
			b.Fatal(err)
		}
	}
}
