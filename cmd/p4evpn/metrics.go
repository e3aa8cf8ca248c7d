package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/p4evpn/p4evpn/internal/socket"
)

// metrics serves what the parts count. Without an address it does nothing.
type metrics struct {
	listener net.Listener
	server   *http.Server
}

// Connections of those who ask for metrics, in all and of one address.
const (
	scrapers          = 64
	scrapersPerClient = 16
)

// listenMetrics takes the address, so that one that cannot be had is known before
// anything was started.
func listenMetrics(ctx context.Context, address string, parts ...prometheus.Collector) (*metrics, error) {
	if address == "" {
		return &metrics{}, nil
	}
	registry := prometheus.NewPedanticRegistry()
	process := collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})
	for _, c := range append(parts, collectors.NewGoCollector(), process, buildInfo()) {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	listener = socket.Bound(listener, socket.Bounds{InAll: scrapers, ByClient: scrapersPerClient})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return &metrics{listener: listener, server: &http.Server{
		Handler: http.MaxBytesHandler(mux, 0), ReadTimeout: 5 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 16 << 10}}, nil
}

// buildInfo is a metric of which program this is: its value is 1, its labels say it.
func buildInfo() prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "p4evpn_build_info", Help: "1, with the version, the commit and Go's version.",
		ConstLabels: prometheus.Labels{"version": version(), "revision": revision(), "goversion": runtime.Version()},
	})
	g.Set(1)
	return g
}

// serve answers until ctx ends.
func (m *metrics) serve(ctx context.Context) error {
	if m.server == nil {
		return nil
	}
	defer context.AfterFunc(ctx, m.close)()
	if err := m.server.Serve(m.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (m *metrics) close() {
	if m.server != nil {
		_ = m.server.Close()
		_ = m.listener.Close() // it may not have been served yet
	}
}
