package testbed

import (
	"testing"
	"time"
)

// withoutBGP is soon enough to tell who follows the carrier from who waits for BGP, whose hold
// time is 30 s.
const withoutBGP = 15 * time.Second

// Wherever a cable is pulled, and while a spine is away, everybody reaches everybody: two
// leaves are FRR's, two are ours.
func TestAnyCableOfAFabricMayBePulledAndASpineRestarted(t *testing.T) {
	t.Parallel()
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) {
			needDemo(t, target)
			l, ctx, start := needLab(t), t.Context(), time.Now()
			t.Cleanup(func() { logsOf(t, l) })
			f := must(l.BuildSpineLeaf(ctx, target, must(builtBinary())(t)))(t)
			ping := func(when string) {
				began := time.Now()
				check(t, f.EveryPairPings(ctx))
				took := time.Since(began)
				t.Logf("%5.2f s: every pair pings %s, after %d ms", began.Sub(start).Seconds(), when, took.Milliseconds())
				if took > withoutBGP {
					t.Errorf("it took %v %s", took, when)
				}
			}
			check(t, f.AwaitWhole(ctx))
			ping("in the beginning")
			// From a leaf of FRR to one of ours, and between ours, by both spines.
			ended := f.meter(t, "each cable pulled once", [2]int{0, 2}, [2]int{2, 3})
			for spine := range f.Spines {
				for leaf, name := range spineLeaves {
					check(t, f.Pull(spine, leaf))
					ping("without the cable from " + spineName(spine) + " to " + name)
					check(t, f.AwaitBy(ctx, leaf, 1-spine))
					check(t, f.Return(spine, leaf))
				}
				check(t, f.AwaitWhole(ctx)) // before the other spine's are pulled
			}
			ended()

			ended = f.meter(t, "a spine restarted", [2]int{2, 3})
			check(t, f.AwaitBySpine(ctx, 0))
			check(t, f.KillSpine(0))
			ping("without a spine")
			check(t, f.StartSpine(ctx, 0))
			check(t, f.AwaitWhole(ctx))
			ended()
		})
	}
}

// meter starts flows between hosts, 1,000 packets a second for each pair. What it gives ends
// them and says what was lost.
func (f *SpineLeaf) meter(t *testing.T, what string, pairs ...[2]int) (ended func()) {
	t.Helper()
	const flows = 10
	var all []Flow
	for _, p := range pairs {
		for range flows {
			all = append(all, Flow{what, f.Hosts[p[0]], f.Hosts[p[1]], pullRate / flows})
		}
	}
	m := must(StartMeter(all...))(t)
	t.Cleanup(func() { m.Stop() })
	return func() {
		t.Helper()
		readings := m.Stop()
		for i := range pairs {
			sum := Reading{}
			for _, r := range readings[i*flows:][:flows] {
				sum.Sent, sum.Lost, sum.Duplicated = sum.Sent+r.Sent, sum.Lost+r.Lost, sum.Duplicated+r.Duplicated
				sum.Gap = max(sum.Gap, r.Gap)
			}
			t.Logf("%s, %s to %s in %d flows: %d of %d lost, %d duplicated, the longest gap of a flow %d ms", what,
				all[i*flows].From.Name, all[i*flows].To.Name, flows, sum.Lost, sum.Sent, sum.Duplicated, sum.Gap.Milliseconds())
			if sum.Gap > withoutBGP {
				t.Errorf("for %v a flow had nothing, want what carrier tells, and not BGP", sum.Gap)
			}
		}
	}
}
