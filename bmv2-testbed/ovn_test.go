package testbed

import "testing"

func TestALogicalSwitchOfOVNIsStretchedOnTheEmbeddedSwitch(t *testing.T) { runOVN(t, Embedded) }

func TestALogicalSwitchOfOVNIsStretchedOnBMv2(t *testing.T) { runOVN(t, BMv2) }

func runOVN(t *testing.T, target string) {
	t.Parallel()
	needDemo(t, target)
	needPython(t, "os_ken")
	if err := HasOVN(); err != nil {
		t.Skip(err)
	}
	check(t, RunOVN(t.Context(), DemoOptions{Target: target, Binary: must(builtBinary())(t), Out: testWriter{t}}))
}
