package main

import (
	"strings"
	"testing"
)

func TestAPartWithoutAPermissiveLicenceIsRefused(t *testing.T) {
	part := func(licences string) string {
		return `{"components": [
			{"name": "good", "version": "v1", "evidence": {"licenses": [{"license": {"id": "MIT"}}]}},
			{"name": "other", "version": "v2", "evidence": {"licenses": [` + licences + `]}}]}`
	}
	for bill, want := range map[string]string{
		part(`{"license": {"id": "Apache-2.0"}}`):                                "",
		part(`{"license": {"id": "MIT"}}, {"license": {"id": "AGPL-3.0-only"}}`): `other v2 is under "AGPL-3.0-only"`,
		part(`{"license": {"name": "mine"}}`):                                    `other v2 is under "mine"`,
		part(``):                                                                 "other v2: no licence",
		`{"components": [{"name": "other", "version": "v2"}]}`:                   "other v2: no licence",
		`{"components": []}`:                                                     "no component",
		`{`:                                                                      "reading the bill",
	} {
		_, err := check(strings.NewReader(bill))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", bill, err, want)
		}
	}
}
