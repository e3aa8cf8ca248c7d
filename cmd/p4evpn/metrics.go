package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics serves what the parts count. Without an address it does nothing.
type metrics struct {
	listener net.Listener
	server   *http.Server
}

// listenMetrics takes the address, so that one that cannot be had is known before
// anything was started.
func listenMetrics(ctx context.Context, address string, parts ...prometheus.Collector) (*metrics, error) {
	if address == "" {
		return &metrics{}, nil
	}
	registry := prometheus.NewPedanticRegistry()
	process := collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})
	for _, c := range append(parts, collectors.NewGoCollector(), process) {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return &metrics{listener: listener, server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}}, nil
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
