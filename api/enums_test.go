package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

func wordsOf[W comparable, E protoreflect.Enum](m map[W]E) map[string]protoreflect.Enum {
	out := map[string]protoreflect.Enum{}
	for w, e := range m {
		out[fmt.Sprint(w)] = e
	}
	return out
}

// The short words are what `p4evpn show` prints, so that a value which is named
// otherwise than its word would show as another one.
func TestEveryValueOfAnEnumHasTheWordOfItsName(t *testing.T) {
	for prefix, words := range map[string]map[string]protoreflect.Enum{
		"STATE_":           wordsOf(states),
		"SESSION_STATE_":   wordsOf(sessionStates),
		"FAMILY_":          wordsOf(families),
		"DIRECTION_":       wordsOf(directions),
		"FDB_KIND_":        wordsOf(fdbKinds),
		"HOST_KIND_":       wordsOf(hostKinds),
		"PREFIX_KIND_":     wordsOf(prefixKinds),
		"PORT_KIND_":       wordsOf(portKinds),
		"DIFFERENCE_KIND_": wordsOf(differenceKinds),
	} {
		t.Run(prefix, func(t *testing.T) {
			var values protoreflect.EnumValueDescriptors
			for _, e := range words {
				values = e.Descriptor().Values()
			}
			want := []string{"unspecified"}
			for word, e := range words {
				want = append(want, word)
				if got, name := values.ByNumber(e.Number()).Name(), prefix+strings.ToUpper(word); string(got) != name {
					t.Errorf("%s is %s, want %s", word, got, name)
				}
			}
			have := map[string]bool{}
			for i := range values.Len() {
				have[strings.ToLower(strings.TrimPrefix(string(values.Get(i).Name()), prefix))] = true
			}
			slices.Sort(want)
			if got := slices.Sorted(maps.Keys(have)); !slices.Equal(got, want) {
				t.Errorf("the enum has %v, the words are %v", got, want)
			}
		})
	}
}
