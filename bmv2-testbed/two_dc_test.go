package testbed

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

func TestTwoDataCentresJoinOnTheEmbeddedSwitch(t *testing.T) { runTwoDC(t, Embedded) }

func TestTwoDataCentresJoinOnBMv2(t *testing.T) { runTwoDC(t, BMv2) }

// What this proves of the stand-in makes the checks above worth something.
func TestDataCentreAEndsAtARouteWithoutAnIPv4AddressAsRestVtepDoes(t *testing.T) {
	t.Parallel()
	needDemo(t, Embedded)
	needPython(t, "os_ken")
	o := DemoOptions{Target: Embedded, Binary: must(builtBinary())(t), Out: testWriter{t}}
	lab, err := NewLab()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	d, err := buildTwoDC(t.Context(), lab, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := example(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if err := d.limitNetwork(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	err = Eventually(t.Context(), patience, "its BGP thread ends", func(context.Context) error {
		const end = "object of type 'NoneType' has no len()"
		if out := d.speaker.Tail(1 << 20); !strings.Contains(out, end) {
			return fmt.Errorf("it did not say %q: %s", end, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// What comes now is not taken any more, and the checks would see that.
	if err := d.b.clientUp(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := d.a.awaitClient(t.Context(), d.b.clients[1], true); err == nil {
		t.Error("data centre A goes on as if nothing had been")
	}
}

func runTwoDC(t *testing.T, target string) {
	needDemo(t, target)
	needPython(t, "os_ken")
	var out bytes.Buffer
	err := RunTwoDC(t.Context(), DemoOptions{Target: target, Binary: must(builtBinary())(t),
		Out: io.MultiWriter(&out, testWriter{t})})
	if err != nil {
		t.Fatal(err)
	}
	if want := "two-dc: 11 of 11 checks passed\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("the last line is not %q", want)
	}
	nothingLeft(t, os.Getpid())
}
