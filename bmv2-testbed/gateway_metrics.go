package testbed

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// http asks servers in the namespace.
func (n *Namespace) http() http.RoundTripper {
	return &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			err = n.Do(func() error {
				conn, err = new(net.Dialer).DialContext(ctx, network, address)
				return err
			})
			return conn, err
		}}
}

// Metrics reads what the controller counts, by name with labels as Prometheus
// writes them.
func (g *Gateway) Metrics(ctx context.Context) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metricsAddress+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := g.NS.http().RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("read the gateway's metrics: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("read the gateway's metrics: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the gateway's metrics: %s: %s", answer.Status, strings.TrimSpace(string(text)))
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || line[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(line[i+1:], 64); err == nil {
			values[line[:i]] = v
		}
	}
	return values, nil
}

// Updates counts the updates that the controller wrote to the target since it
// started.
func (g *Gateway) Updates(ctx context.Context) (int, error) {
	values, err := g.Metrics(ctx)
	return int(counted(values, "p4evpn_p4rt_updates_total")), err
}

// counted sums a metric over its labels.
func counted(values map[string]float64, metric string) (sum float64) {
	for name, v := range values {
		if name == metric || strings.HasPrefix(name, metric+"{") {
			sum += v
		}
	}
	return sum
}
