package config

import (
	"net"
	"strconv"
)

// Telemetry is where traces go.
type Telemetry struct {
	OTLP OTLP `yaml:"otlp"`
}

// OTLP is a collector of OpenTelemetry's.
type OTLP struct {
	Endpoint string `yaml:"endpoint"` // "host:port" of the collector; left out: there are no traces
	Protocol string `yaml:"protocol"` // grpc, or http, which posts to /v1/traces
	Insecure bool   `yaml:"insecure"` // without TLS
	CA       string `yaml:"ca"`       // PEM file of the authorities of its certificate; left out: the system's
	// Sample is which part of the calls is traced that no caller traces, 0 to 1.
	Sample float64 `yaml:"sample"`
}

// Protocols of OTLP.
const (
	OTLPoverGRPC = "grpc"
	OTLPoverHTTP = "http"
)

func (c *checker) checkTelemetry() {
	o := c.file.Telemetry.OTLP
	if o.Protocol != OTLPoverGRPC && o.Protocol != OTLPoverHTTP {
		c.fail("telemetry.otlp.protocol", "%q: want %s or %s", o.Protocol, OTLPoverGRPC, OTLPoverHTTP)
	}
	if !(o.Sample >= 0 && o.Sample <= 1) {
		c.fail("telemetry.otlp.sample", "%v: want 0 to 1, the part of the calls", o.Sample)
	}
	if o.Insecure && o.CA != "" {
		c.fail("telemetry.otlp.ca", "there is no certificate without TLS: leave out ca, or insecure")
	}
	if o.Endpoint == "" {
		return
	}
	host, port, err := net.SplitHostPort(o.Endpoint)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
		c.fail("telemetry.otlp.endpoint", "%q: want host:port, such as collector:4317", o.Endpoint)
	}
}
