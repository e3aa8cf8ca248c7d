package testbed

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

func TestTwoDataCentresJoinOnTheEmbeddedSwitch(t *testing.T) { runTwoDC(t, Embedded) }

func TestTwoDataCentresJoinOnBMv2(t *testing.T) { runTwoDC(t, BMv2) }

func runTwoDC(t *testing.T, target string) {
	needDemo(t, target)
	needPython(t, "os_ken")
	var out bytes.Buffer
	err := RunTwoDC(t.Context(), DemoOptions{Target: target, Binary: must(builtBinary())(t), Out: io.MultiWriter(&out, testWriter{t})})
	if err != nil {
		t.Fatal(err)
	}
	if want := "two-dc: 8 of 8 checks passed\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("the last line is not %q", want)
	}
	nothingLeft(t, os.Getpid())
}
