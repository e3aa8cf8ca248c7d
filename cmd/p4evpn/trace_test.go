package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// fakeTracer notes what it is asked.
type fakeTracer struct{ asked view.TraceRequest }

func (f *fakeTracer) Trace(_ context.Context, r view.TraceRequest) (view.Trace, error) {
	f.asked = r
	return view.Trace{Arrives: "a frame comes", Port: "port1", Frame: r.Frame, Results: []string{"dropped: fdb",
		"leaves by port2"},
		Steps: []view.TraceStep{
			{Kind: "parser state", Name: "start", Text: "parser start -> parse"},
			{Kind: "parser state", Name: "parse", Text: "parser parse -> accept"},
			{Kind: "parsed", Text: "parsed: NoError", Result: "NoError"},
			{Kind: "table", Name: "bridge.vlan", Text: "table bridge.vlan: hit, in hexadecimal",
				Entry:  "bridge.vlan port=1 -> member",
				Result: "hit"},
			{Kind: "table", Name: "bridge.fdb", Text: "table bridge.fdb: hit", Why: "it was learned",
				Changes: []string{"a: 1 -> 2"}},
			{Kind: "condition", Text: "if x: true"},
		}}, nil
}

func TestATraceIsPrintedWithItsReasons(t *testing.T) {
	f := &fakeTracer{}
	address := serveStore(t, api.Config{Store: intent.NewMemory(), View: shown, Tracer: f})
	out, err := command(t, "trace", "--api", address, "--port", "port1", "--vlan", "10", "--src-mac", mac.String(),
		"--arp", "10.0.0.1", "--src-ip", "10.0.0.2")
	want := `a frame comes
  parser start, parse: NoError
  table bridge.vlan port=1 -> member
  table bridge.fdb: hit
      because it was learned
=> dropped: fdb
=> leaves by port2
`
	if err != nil || out != want {
		t.Errorf("%v, %q, want %q", err, out, want)
	}
	if h := f.asked.Headers; f.asked.Port != "port1" || h.VLAN != 10 || h.SourceMAC != mac ||
		h.Target.String() != "10.0.0.1" ||
		h.Source.String() != "10.0.0.2" || f.asked.Read {
		t.Errorf("asked for %+v", f.asked)
	}
	out, err = command(t, "trace", "--api", address, "--from", "10.0.0.2", "--to", "10.0.0.3", "--read", "-v")
	if err != nil || !strings.Contains(out, "  if x: true\n") || !strings.Contains(out, "hexadecimal") ||
		!strings.Contains(out, "      a: 1 -> 2\n") {
		t.Errorf("%v, %q", err, out)
	}
	if f.asked.From != "10.0.0.2" || f.asked.To != "10.0.0.3" || !f.asked.Read {
		t.Errorf("asked for %+v", f.asked)
	}
	out, err = command(t, "trace", "--api", address, "--port", "port1", "--frame", "02:00 00", "-o", "json")
	if err != nil || !strings.Contains(out, `"because`) && !strings.Contains(out, `"why": "it was learned"`) &&
		!strings.Contains(out, `"why":"it was learned"`) || hex.EncodeToString(f.asked.Frame) != "020000" {
		t.Errorf("%v, %q, frame %x", err, out, f.asked.Frame)
	}
}

// captures are two frames in each format.
func captures(t *testing.T) map[string][]byte {
	t.Helper()
	frames := [][]byte{bytes.Repeat([]byte{1}, 60), bytes.Repeat([]byte{2}, 70)}
	var old, ng bytes.Buffer
	w := pcapgo.NewWriter(&old)
	err := w.WriteFileHeader(65535, layers.LinkTypeEthernet)
	n, nerr := pcapgo.NewNgWriter(&ng, layers.LinkTypeEthernet)
	if err != nil || nerr != nil {
		t.Fatal(err, nerr)
	}
	for _, f := range frames {
		info := gopacket.CaptureInfo{CaptureLength: len(f), Length: len(f)}
		if err := w.WritePacket(info, f); err != nil {
			t.Fatal(err)
		}
		if err := n.WritePacket(info, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Flush(); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"pcap": old.Bytes(), "pcapng": ng.Bytes()}
}

func TestAFrameOfACaptureIsRead(t *testing.T) {
	for format, b := range captures(t) {
		path := filepath.Join(t.TempDir(), format)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		for suffix, size := range map[string]int{"": 60, ":1": 60, ":2": 70} {
			if f, err := frameOf(path + suffix); err != nil || len(f) != size {
				t.Errorf("%s%s: %d bytes, %v", format, suffix, len(f), err)
			}
		}
		for _, suffix := range []string{":3", ":0", ":x", ".none"} {
			if _, err := frameOf(path + suffix); err == nil {
				t.Errorf("%s%s is read", format, suffix)
			}
		}
	}
}

func FuzzACaptureOfAnyKindIsReadOrRefused(f *testing.F) {
	for _, b := range [][]byte{nil, {0xa1, 0xb2, 0xc3, 0xd4}, {0x0a, 0x0d, 0x0d, 0x0a}, bytes.Repeat([]byte{0xff}, 40)} {
		f.Add(b, 1)
	}
	f.Fuzz(func(_ *testing.T, b []byte, n int) {
		if n > 0 {
			_, _ = nthFrame(b, n)
		}
	})
}

func TestATraceThatIsAskedForWronglySaysHow(t *testing.T) {
	address := serveStore(t, api.Config{Store: intent.NewMemory(), View: shown, Tracer: &fakeTracer{}})
	for args, want := range map[string]string{
		"--port p --vxlan-from 192.0.2.1": "[port vxlan-from]",
		"--port p --arp 2001:db8::1":      "--arp asks for an IPv4 address",
		"--port p --nd 10.0.0.1":          "--nd for an IPv6 address",
		"--port p --frame xyz":            "--frame: ",
		"--port p --pcap /not/there":      "--pcap: ",
		"--port p --src-mac 02":           "--src-mac: ",
		"--port p -o yaml":                "want text or json",
	} {
		if _, err := command(t, append([]string{"trace", "--api", address}, strings.Fields(args)...)...); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", args, err, want)
		}
	}
}
