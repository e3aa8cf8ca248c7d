package main

import (
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch/shadow"
)

func TestTheEnlargedProgramDiffersInTheSizeOfTablesAlone(t *testing.T) {
	large, err := enlarged()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shadow.New(&p4v1.ForwardingPipelineConfig{P4Info: large.info, P4DeviceConfig: large.json}); err != nil {
		t.Errorf("the embedded switch does not take it: %v", err)
	}
	if large.cookie == 0 || large.cookie == p4.Cookie() {
		t.Errorf("its cookie is %#x, the shipped program's is %#x", large.cookie, p4.Cookie())
	}
	raised := 0
	for i, was := range p4.P4Info().GetTables() {
		if now := large.info.GetTables()[i]; now.GetSize() == millionSize {
			now.Size = was.GetSize()
			raised++
		}
	}
	if raised != len(grown) || !proto.Equal(large.info, p4.P4Info()) {
		t.Errorf("%d tables are raised, want %d and nothing else", raised, len(grown))
	}
}

func TestTheEnlargedProgramHoldsMoreThanTheShippedOne(t *testing.T) {
	large, err := enlarged()
	if err != nil {
		t.Fatal(err)
	}
	sw, err := shadow.New(&p4v1.ForwardingPipelineConfig{P4Info: large.info, P4DeviceConfig: large.json})
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint32(shippedSize(t, "bridge.fdb") + 1) {
		e := p4.FDB{Bridge: 1, MAC: stationMAC(n), Kind: p4.ToVTEP, VTEP: 1, VNI: 100}.Entry()
		if err := sw.Write(&p4v1.Update{Type: p4v1.Update_INSERT, Entity: e.Entity()}); err != nil {
			t.Fatalf("entry %d: %v", n, err)
		}
	}
}

func shippedSize(t *testing.T, table string) int64 {
	for _, ti := range p4.P4Info().GetTables() {
		if ti.GetPreamble().GetName() == table {
			return ti.GetSize()
		}
	}
	t.Fatalf("there is no table %s", table)
	return 0
}
