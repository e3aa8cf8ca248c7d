package trace

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// results say in a sentence each what leaves, or why nothing does.
func (r *run) results() (out []string) {
	var ingress, egress verdict
	cloned := false // a copy is parsed again, and has nothing of what ingress decided
	for i := range r.steps.Steps {
		s := &r.steps.Steps[i]
		switch s.Kind {
		case pipeline.StepPacket:
			egress = verdict{}
			if cloned = s.Name == "clone"; !cloned {
				ingress = verdict{}
			}
		case pipeline.StepEgress:
			if egress = ingress; cloned { // what ingress set is set for each copy
				egress = verdict{}
			}
			egress.port, cloned = *s.Port, false
		case pipeline.StepDigest:
			out = append(out, "the controller is told of the source MAC: it is new at this port")
		case pipeline.StepReplicate:
			// Without a session of theirs no samples are wanted.
			if s.Result != "" && (s.Name != "clone" || s.Group != p4.SampleCloneSession) {
				out = append(out, fmt.Sprintf("nothing is copied: %s", s.Result))
			}
		case pipeline.StepSend:
			out = append(out, r.leaves(uint16(*s.Port), s.Data))
		case pipeline.StepDrop:
			v := &ingress
			if s.Name == "egress" {
				v = &egress
			}
			out = append(out, r.dropped(s.Name, v))
		}
		v := &ingress
		if egress.port != 0 {
			v = &egress
		}
		v.take(s)
	}
	return out
}

// verdict is what the pipeline has decided so far.
type verdict struct {
	drop p4.DropReason
	at   string // the table that set it, if one did
	port uint32 // of egress
}

// take takes what a step changes.
func (v *verdict) take(s *pipeline.Step) {
	for _, c := range s.Changes {
		if !strings.HasSuffix(c.Field, ".drop_reason") {
			continue
		}
		if n, err := strconv.ParseUint(c.To, 0, 8); err == nil {
			v.drop, v.at = p4.DropReason(n), ""
			if s.Kind == pipeline.StepTable {
				v.at = ", decided at " + s.Name
			}
		}
	}
}

func (r *run) dropped(where string, v *verdict) string {
	switch {
	case v.drop == p4.DropNone && where == "ingress":
		return "it goes nowhere else" // a punt, or a copy that was made
	case v.drop == p4.DropNone:
		return fmt.Sprintf("the copy for %s ends: it came from there, or its like is not sent back", r.port(uint16(v.port)))
	}
	return fmt.Sprintf("dropped: %s%s", strings.ReplaceAll(v.drop.String(), "_", " "), v.at)
}

func (r *run) port(number uint16) string {
	if name := r.held.PortName(number); name != "" {
		return name
	}
	return fmt.Sprintf("port %d", number)
}

// leaves says what a frame is that leaves by a port.
func (r *run) leaves(number uint16, frame []byte) string {
	if number == p4.CPUPort {
		return punted(frame)
	}
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	vxlan, is := p.Layer(layers.LayerTypeVXLAN).(*layers.VXLAN)
	if !is {
		return fmt.Sprintf("leaves by %s: %s", r.port(number), Describe(frame))
	}
	outer, _ := p.LinkLayer().(*layers.Ethernet)
	ip, _ := p.NetworkLayer().(*layers.IPv4)
	udp, _ := p.TransportLayer().(*layers.UDP)
	if outer == nil || ip == nil || udp == nil {
		return fmt.Sprintf("leaves by %s: %s", r.port(number), Describe(frame))
	}
	return fmt.Sprintf("leaves by %s to VTEP %v with VNI %d (outer %v > %v, from %v, source port %d): %s", r.port(number),
		ip.DstIP, vxlan.VNI, outer.SrcMAC, outer.DstMAC, ip.SrcIP, udp.SrcPort,
		Describe(vxlan.Payload))
}

// reads is what the controller, and Linux behind it, does with what is punted.
var reads = [p4.PuntReasons]string{
	p4.PuntARP:         "it learns who has the address",
	p4.PuntND:          "it learns who has the address, and Linux answers routers' solicitations",
	p4.PuntGlean:       "Linux asks by ARP or ND for a host that is not known yet",
	p4.PuntLocal:       "it is for the gateway itself, and Linux answers it",
	p4.PuntTTL:         "Linux answers that its time is exceeded",
	p4.PuntMTU:         "Linux answers that it is too big",
	p4.PuntVXLANARP:    "it learns who has the address",
	p4.PuntVXLANND:     "it learns who has the address",
	p4.PuntDHCP:        "it learns which address the station was given",
	p4.PuntDHCPv6:      "it learns which address the station was given",
	p4.PuntVXLANDHCP:   "it learns which address the station was given",
	p4.PuntVXLANDHCPv6: "it learns which address the station was given",
}

// punted says what is done with a frame that goes to the controller.
func punted(frame []byte) string {
	in, err := p4.CutPacketIn(frame)
	if err != nil {
		return "goes to the controller: " + err.Error()
	}
	if _, is := in.Reason.Dropped(); is {
		return "a copy goes to the controller, as a sample of what is dropped"
	}
	of := "it came from a bridge port"
	if in.VTEP != (netip.Addr{}) {
		of = fmt.Sprintf("it came from VTEP %v", in.VTEP)
	}
	does := "it makes nothing of it"
	if in.Reason < p4.PuntReasons && reads[in.Reason] != "" {
		does = reads[in.Reason]
	}
	return fmt.Sprintf("goes to the controller (%s; %s): %s", strings.ReplaceAll(in.Reason.String(), "_", " "), of, does)
}
