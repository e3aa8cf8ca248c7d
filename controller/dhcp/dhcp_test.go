package dhcp_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/controller/dhcp"
	"github.com/p4evpn/p4evpn/controller/dhcp/dhcptest"
	"github.com/p4evpn/p4evpn/ether"
)

var (
	client  = ether.MAC{2, 0, 0, 0, 0, 1}
	other   = ether.MAC{2, 0, 0, 0, 0, 2}
	address = netip.MustParseAddr("10.0.0.20")
)

func TestMessagesOfDHCPv4SayWhatRFC2131Has(t *testing.T) {
	type said = dhcptest.Message
	for name, tc := range map[string]struct {
		in   said
		want dhcp.Message // of Kind 0: it says nothing
	}{
		"discover":            {said{Kind: layers.DHCPMsgTypeDiscover}, dhcp.Message{Kind: dhcp.Asks}},
		"request":             {said{Kind: layers.DHCPMsgTypeRequest, Requested: address}, dhcp.Message{Kind: dhcp.Asks}},
		"renewal":             {said{Kind: layers.DHCPMsgTypeRequest, Current: address}, dhcp.Message{Kind: dhcp.Asks}},
		"inform":              {said{Kind: layers.DHCPMsgTypeInform, Current: address}, dhcp.Message{}},
		"request for another": {said{Kind: layers.DHCPMsgTypeRequest, Source: other}, dhcp.Message{}},
		"release": {said{Kind: layers.DHCPMsgTypeRelease, Current: address},
			dhcp.Message{Kind: dhcp.Returns, Address: address}},
		"decline": {said{Kind: layers.DHCPMsgTypeDecline, Requested: address},
			dhcp.Message{Kind: dhcp.Returns, Address: address}},
		"decline of nothing": {said{Kind: layers.DHCPMsgTypeDecline}, dhcp.Message{}},
		"ack": {said{Kind: layers.DHCPMsgTypeAck, Given: address, Lease: time.Hour},
			dhcp.Message{Kind: dhcp.Grants, Address: address, Lease: time.Hour}},
		"ack for ever": {said{Kind: layers.DHCPMsgTypeAck, Given: address, Lease: 0xffffffff * time.Second},
			dhcp.Message{Kind: dhcp.Grants, Address: address, Lease: dhcp.Forever}},
		"ack without a lease": {said{Kind: layers.DHCPMsgTypeAck, Given: address}, dhcp.Message{}},
		"ack for no time":     {said{Kind: layers.DHCPMsgTypeAck, Given: address, Lease: time.Millisecond}, dhcp.Message{}},
		"ack of an inform":    {said{Kind: layers.DHCPMsgTypeAck, Lease: time.Hour}, dhcp.Message{}},
		"ack of a group": {said{Kind: layers.DHCPMsgTypeAck, Given: netip.MustParseAddr("224.0.0.1"), Lease: time.Hour},
			dhcp.Message{}},
		"offer": {said{Kind: layers.DHCPMsgTypeOffer, Given: address, Lease: time.Hour}, dhcp.Message{}},
		"nak":   {said{Kind: layers.DHCPMsgTypeNak, Given: address, Lease: time.Hour}, dhcp.Message{}},
		"BOOTP": {said{Lease: time.Hour}, dhcp.Message{}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.in.Client, tc.in.Transaction = client, 7
			if tc.want.Kind != 0 {
				tc.want.Client, tc.want.Transaction = client, 7
			}
			got, ok := dhcp.ReadV4(tc.in.Frame())
			if ok != (tc.want.Kind != 0) || ok && got != tc.want {
				t.Errorf("%+v, %v; want %+v", got, ok, tc.want)
			}
		})
	}
}

func TestAMessageThatIsCutShortSaysNothing(t *testing.T) {
	whole := dhcptest.Message{Kind: layers.DHCPMsgTypeAck, Client: client, Given: address, Lease: time.Hour}.Frame()
	for n := range len(whole) - 10 {
		if m, ok := dhcp.ReadV4(whole[:n]); ok && m.Lease != time.Hour {
			t.Errorf("%d bytes: %+v", n, m)
		}
	}
}

func FuzzReadV4(f *testing.F) {
	for _, m := range []dhcptest.Message{
		{Kind: layers.DHCPMsgTypeDiscover}, {Kind: layers.DHCPMsgTypeDecline, Requested: address},
		{Kind: layers.DHCPMsgTypeAck, Given: address, Lease: time.Hour},
	} {
		m.Client = client
		f.Add(m.Frame())
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, ok := dhcp.ReadV4(frame)
		if ok && (m.Kind < dhcp.Asks || m.Kind > dhcp.Grants || m.Client.IsZero() || m.Client.IsMulticast()) {
			t.Errorf("%x: %+v", frame, m)
		}
		if ok && m.Kind == dhcp.Grants && (m.Lease <= 0 || !m.Address.Is4()) {
			t.Errorf("%x: %+v", frame, m)
		}
	})
}
