package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/gopacket/gopacket/pcapgo"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/internal/file"
)

// maxCapture is the largest file with frames that is read, in bytes.
const maxCapture = 64 << 20

// tracer is the command that traces a frame.
type tracer struct {
	gateway       remote
	request       p4evpnv1.TraceFrameRequest
	headers       p4evpnv1.TraceHeaders
	arp, nd       string
	frame, pcap   string
	read, verbose bool
	format        string
}

func newTrace() *cobra.Command {
	t := &tracer{}
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Say what becomes of a frame, and why",
		Long: `Says what the target does with a frame: each table with its key, the entry that it hits and
what that comes from, and in a sentence each what leaves, or why nothing does. Nothing is
sent. The frame comes by --port, by --vxlan-from, or from a host (--from) that the gateway
knows; it is made of headers, or given by --frame or --pcap.

The entries are those that the target acknowledged. --read reads the target itself first;
BMv2 forwards nothing meanwhile.`,
		Example: `  p4evpn trace --from 10.0.0.5 --to 10.0.1.7
  p4evpn trace --port port1 --vlan 10 --src-mac 02:00:00:00:00:01 --arp 10.0.0.1
  p4evpn trace --vxlan-from 192.0.2.2 --vni 100 --frame 0200000000aa0200000000bb88b50000
  p4evpn trace --port port1 --pcap odd.pcap:7`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.run(cmd) },
	}
	t.gateway.addFlags(cmd)
	f, q, h := cmd.Flags(), &t.request, &t.headers
	f.StringVar(&q.Port, "port", "", "port at which it arrives: of the target, or a bridge port")
	f.StringVar(&q.Vtep, "vxlan-from", "", "VTEP from which it comes by VXLAN")
	f.Uint32Var(&q.Vni, "vni", 0, "VNI with which it comes")
	f.StringVar(&q.From, "from", "",
		"host that sends, by MAC or address, or BRIDGE/HOST: says port, VLAN, MAC and address")
	f.StringVar(&q.To, "to", "", "host that it is for, by MAC or address, or BRIDGE/HOST")
	f.Uint32Var(&h.VlanId, "vlan", 0, "VLAN of its tag; 0: none")
	f.StringVar(&h.SourceMac, "src-mac", "", "source MAC")
	f.StringVar(&h.DestinationMac, "dst-mac", "", "destination MAC")
	f.StringVar(&t.arp, "arp", "", "IPv4 address whose MAC it asks for, by ARP")
	f.StringVar(&t.nd, "nd", "", "IPv6 address whose MAC it asks for, by neighbour discovery")
	f.StringVar(&h.Source, "src-ip", "", "source address")
	f.StringVar(&h.Destination, "dst-ip", "", "destination address")
	f.StringVar(&h.Protocol, "proto", "", "udp, tcp or icmp")
	f.Uint32Var(&h.SourcePort, "sport", 0, "source port")
	f.Uint32Var(&h.DestinationPort, "dport", 0, "destination port")
	f.Uint32Var(&h.Ttl, "ttl", 0, "TTL or hop limit; 0: 64")
	f.StringVar(&t.frame, "frame", "", "the whole frame in hexadecimal; blanks and colons are left out")
	f.StringVar(&t.pcap, "pcap", "", "FILE or FILE:N: the first or N-th frame of a pcap or pcapng file")
	f.BoolVar(&t.read, "read", false, "read the target itself first, instead of what it acknowledged")
	f.BoolVarP(&t.verbose, "verbose", "v", false, "conditions, actions and changes of fields too")
	f.StringVarP(&t.format, "output", "o", "text", "text or json")
	cmd.MarkFlagsMutuallyExclusive("arp", "nd")
	cmd.MarkFlagsMutuallyExclusive("frame", "pcap")
	cmd.MarkFlagsMutuallyExclusive("port", "vxlan-from", "from")
	_ = cmd.MarkFlagFilename("pcap", "pcap", "pcapng")
	_ = cmd.RegisterFlagCompletionFunc("output", choices("text", "json"))
	_ = cmd.RegisterFlagCompletionFunc("proto", choices("udp", "tcp", "icmp"))
	return cmd
}

func (t *tracer) run(cmd *cobra.Command) error {
	if t.format != "text" && t.format != "json" {
		return fmt.Errorf("--output %q: want text or json", t.format)
	}
	if err := t.readFrame(); err != nil {
		return err
	}
	t.headers.Target = t.arp + t.nd
	if t.arp != "" && strings.Contains(t.arp, ":") || t.nd != "" && !strings.Contains(t.nd, ":") {
		return fmt.Errorf("--arp asks for an IPv4 address and --nd for an IPv6 address: got %s", t.headers.GetTarget())
	}
	t.request.Headers = &t.headers
	return t.gateway.call(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
		trace := p4evpnv1.NewTracingClient(conn).TraceFrame
		if t.read {
			trace = p4evpnv1.NewTracingClient(conn).TraceFrameOnTarget
		}
		r, err := trace(ctx, &t.request)
		if err != nil {
			return errors.New(asFlags.Replace(t.gateway.explain(err).Error()))
		}
		if t.format == "json" {
			b, err := client.JSON(r)
			if err == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", b)
			}
			return err
		}
		_, err = io.WriteString(cmd.OutOrStdout(), t.text(r, paint(cmd.OutOrStdout())))
		return err
	})
}

// asFlags names the fields of a request as the flags that set them.
var asFlags = strings.NewReplacer("headers.vlan_id:", "--vlan:", "headers.source_mac:", "--src-mac:",
	"headers.destination_mac:", "--dst-mac:", "headers.target:", "--arp, --nd:", "headers.source:", "--src-ip:",
	"headers.destination:", "--dst-ip:", "headers.protocol:", "--proto:", "headers.source_port:", "--sport:",
	"headers.destination_port:", "--dport:", "headers.ttl:", "--ttl:")

// readFrame reads the frame that is given as a whole, if one is.
func (t *tracer) readFrame() (err error) {
	switch {
	case t.frame != "":
		if t.request.Frame, err = parseFrame(t.frame); err != nil {
			return fmt.Errorf("--frame: %w", err)
		}
	case t.pcap != "":
		if t.request.Frame, err = frameOf(t.pcap); err != nil {
			return fmt.Errorf("--pcap: %w", err)
		}
	}
	return nil
}

// frameOf reads one frame of a capture: FILE, or FILE:N with N from 1.
func frameOf(name string) ([]byte, error) {
	n := 1
	if i := strings.LastIndex(name, ":"); i >= 0 {
		given, err := strconv.Atoi(name[i+1:])
		if err != nil || given < 1 {
			return nil, fmt.Errorf("%s: behind the colon want the frame's number, from 1", name)
		}
		name, n = name[:i], given
	}
	b, err := file.Read(name, maxCapture)
	if err != nil {
		return nil, err
	}
	frame, err := nthFrame(b, n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return frame, nil
}

// nthFrame reads the n-th frame of a file in either format, each of Ethernet.
func nthFrame(b []byte, n int) ([]byte, error) {
	var next func() ([]byte, error)
	if r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.DefaultNgReaderOptions); err == nil {
		if r.LinkType() != 1 {
			return nil, fmt.Errorf("link type %v: want Ethernet", r.LinkType())
		}
		next = func() ([]byte, error) { data, _, err := r.ReadPacketData(); return data, err }
	} else {
		r, err := pcapgo.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("neither pcap nor pcapng: %w", err)
		}
		if r.LinkType() != 1 {
			return nil, fmt.Errorf("link type %v: want Ethernet", r.LinkType())
		}
		next = func() ([]byte, error) { data, _, err := r.ReadPacketData(); return data, err }
	}
	for i := 1; ; i++ {
		frame, err := next()
		switch {
		case err != nil:
			return nil, fmt.Errorf("frame %d: %w", i, err)
		case i == n:
			return frame, nil
		}
	}
}

// painter colours text, where somebody sees it.
type painter func(code int, text string) string

// paint colours for a terminal, unless NO_COLOR is set (no-color.org).
func paint(w io.Writer) painter {
	f, is := w.(*os.File)
	if !is || os.Getenv("NO_COLOR") != "" {
		return plain
	}
	if fi, err := f.Stat(); err != nil || fi.Mode()&os.ModeCharDevice == 0 {
		return plain
	}
	return func(code int, text string) string { return fmt.Sprintf("\x1b[%dm%s\x1b[0m", code, text) }
}

func plain(_ int, text string) string { return text }

// Colours of terminals.
const (
	bold  = 1
	faint = 2
	red   = 31
	green = 32
	amber = 33
)

// text writes an account for people.
func (t *tracer) text(r *p4evpnv1.TraceFrameResponse, paint painter) string {
	var b strings.Builder
	fmt.Fprintln(&b, paint(bold, r.GetArrives()))
	var states []string
	for _, s := range r.GetSteps() {
		t.step(&b, s, &states, paint)
	}
	for _, s := range r.GetResults() {
		colour := green
		switch {
		case strings.HasPrefix(s, "dropped"):
			colour = red
		case strings.HasPrefix(s, "goes to the controller"):
			colour = amber
		}
		fmt.Fprintf(&b, "%s %s\n", paint(bold, "=>"), paint(colour, s))
	}
	return b.String()
}

// step writes a step, if it says something: conditions and actions are for who asks for
// them, and the parser's states are one line for who does not.
func (t *tracer) step(b *strings.Builder, s *p4evpnv1.TraceStep, states *[]string, paint painter) {
	text := "  " + s.GetText()
	switch kind := s.GetKind(); {
	case kind == "packet", kind == "egress":
		text = s.GetText()
	case t.verbose:
	case kind == "parser state":
		*states = append(*states, s.GetName())
		return
	case kind == "parsed":
		text = fmt.Sprintf("  parser %s: %s", strings.Join(*states, ", "), s.GetResult())
		*states = nil
	case kind == "table" && s.GetEntry() != "":
		text = "  table " + s.GetEntry()
	case kind == "table", kind == "replicate", kind == "digest", kind == "note":
	default:
		return
	}
	fmt.Fprintln(b, text)
	if s.GetWhy() != "" {
		fmt.Fprintf(b, "      %s\n", paint(bold, "because "+s.GetWhy()))
	}
	if t.verbose {
		for _, c := range s.GetChanges() {
			fmt.Fprintf(b, "      %s\n", paint(faint, c))
		}
	}
}
