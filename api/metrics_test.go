package api

import (
	"fmt"
	"slices"
	"testing"
	"time"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"
)

func registryOf(t *testing.T, c prometheus.Collector) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		t.Fatal(err)
	}
	return r
}

// A registry refuses what a collector did not describe when it was new.
func TestWhatIsCountedOfTheAPICanBeReadAfterItWasUsed(t *testing.T) {
	g := serveConfig(t, plainConfig(), nil)
	r := registryOf(t, g.server)
	g.answers(t)
	g.do(t, "GET", "/v1/none", "")
	g.server.metrics.connection(refusedHandshake)
	g.server.metrics.request(refusedHost)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) == 0 {
		t.Error("there is nothing to read")
	}
}

// A client may ask for a method by any name, and for anything of the API of VTEPs: a metric is only
// of those that there are.
func TestCallsAreTimedByMethodsThatThereAre(t *testing.T) {
	g := serveConfig(t, plainConfig(), nil)
	_, err := g.vrfs.GetVrf(t.Context(), &pb.GetVrfRequest{Name: "vrfs/green"})
	wantCode(t, err, codes.NotFound)
	for _, method := range []string{"/nothing/at1", "/nothing/at2"} {
		err := g.conn.Invoke(t.Context(), method, &emptypb.Empty{}, &emptypb.Empty{})
		wantCode(t, err, codes.Unimplemented)
	}
	m := newMetrics()
	m.serves("vtep", "Get")
	for _, asked := range []string{"/vtep/Get /a", "/vtep/Get /b", "/vtep/brew /c", "/a/b", "", "/opi/Nonsense"} {
		m.call(asked, codes.OK, time.Second)
	}
	if n := testutil.CollectAndCount(m.calls); n != 2 {
		t.Errorf("%d rows for one method and several that are none, want 2", n)
	}
	const name = "p4evpn_api_call_duration_seconds"
	families, err := registryOf(t, g.server).Gather()
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, row := range f.GetMetric() {
			text := fmt.Sprint(row.GetHistogram().GetSampleCount())
			for _, l := range row.GetLabel() {
				text += " " + l.GetValue()
			}
			rows = append(rows, text)
		}
	}
	if want := []string{"1 NotFound GetVrf " + vrfServiceName}; !slices.Equal(rows, want) {
		t.Errorf("%q, want %q", rows, want)
	}
}
