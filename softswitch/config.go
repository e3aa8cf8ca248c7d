package softswitch

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/softswitch/claim"
	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// maxPort bounds port numbers; v1model has 9 bits for them.
const maxPort = 65535

// defaultDropPort is v1model's port for frames that are to be dropped.
const defaultDropPort = 511

// Port gives a pipeline's port number to an interface.
type Port struct {
	Number    uint32
	Interface string
}

// ParsePort reads PORT@INTERFACE, the argument of simple_switch_grpc's -i.
func ParsePort(s string) (Port, error) {
	number, name, ok := strings.Cut(s, "@")
	n, err := strconv.ParseUint(number, 10, 32)
	if !ok || name == "" || err != nil {
		return Port{}, fmt.Errorf("port %q: must be PORT@INTERFACE, such as 1@eth1", s)
	}
	return Port{Number: uint32(n), Interface: name}, nil
}

func (p Port) String() string { return fmt.Sprintf("%d@%s", p.Number, p.Interface) }

// Config describes a switch.
type Config struct {
	// Ports need not exist yet: each is taken when its interface appears.
	Ports []Port
	// CPUPort is the port of packet-ins and packet-outs; 0 for none.
	CPUPort uint32
	// DropPort is where the program sends what is to be dropped; 0 = 511.
	DropPort uint32
	// GRPCAddress is where P4Runtime is served: HOST:PORT or unix:PATH.
	GRPCAddress string
	TLS         TLS
	DeviceID    uint64 // P4Runtime device id; 0 = 1
	Limits      pipeline.Limits
	// Pipeline to start with; nil waits for a client to set one.
	Pipeline *p4v1.ForwardingPipelineConfig
	// RingBytes is the size of each receive ring; 0 = 4 MiB, less with more
	// than 64 rings.
	RingBytes int
	// Lanes is how many receive rings each port has, each with a goroutine that
	// carries the flows in it; 0 = 1. With many ports it is less.
	Lanes int
	// Ways to keep the host's network stack off the ports' interfaces, in the
	// order in which they are tried; nil = all. A port whose interface cannot be
	// claimed is down.
	Ways []claim.Way
	// UnsafeShared lets such a port be up.
	UnsafeShared bool
	// PromoteNext makes the client with the next election id primary when the
	// primary leaves, as BMv2 does; else a client must ask.
	PromoteNext bool
	Logger      *slog.Logger // nil = slog.Default
}

func (c Config) withDefaults() Config {
	c.DropPort = cmp.Or(c.DropPort, defaultDropPort)
	c.Limits.DropPort = cmp.Or(c.Limits.DropPort, c.DropPort)
	c.DeviceID = cmp.Or(c.DeviceID, 1)
	c.Lanes = max(1, min(c.Lanes, maxRings/max(1, len(c.Ports))))
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c Config) check() error {
	if c.GRPCAddress == "" {
		return errors.New("no address to serve P4Runtime at: give HOST:PORT or unix:PATH")
	}
	if c.CPUPort == c.DropPort {
		return fmt.Errorf("CPU port %d is the drop port: choose another", c.CPUPort)
	}
	numbers, names := map[uint32]bool{}, map[string]bool{}
	for _, p := range c.Ports {
		switch {
		case p.Number > maxPort:
			return fmt.Errorf("port %v: the number must be at most %d", p, maxPort)
		case p.Number == c.DropPort:
			return fmt.Errorf("port %v: %d is the drop port", p, p.Number)
		case p.Number == c.CPUPort && c.CPUPort != 0:
			return fmt.Errorf("port %v: %d is the CPU port", p, p.Number)
		case numbers[p.Number]:
			return fmt.Errorf("port %v: port %d is there twice", p, p.Number)
		case names[p.Interface]:
			return fmt.Errorf("port %v: interface %s is there twice", p, p.Interface)
		}
		numbers[p.Number], names[p.Interface] = true, true
	}
	return nil
}
