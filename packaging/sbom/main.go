// Command sbom reads the software bill of materials of p4evpn (CycloneDX, JSON) from
// standard input, and refuses a part whose licence it does not know for one under which
// a binary may be given away.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
)

// permissive are the licences that ask for no more than a notice, by their SPDX identifier.
// BSD-Source-Code is what the detection takes the licence of golang.org/x for: it is
// BSD-3-Clause.
var permissive = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-Source-Code", "ISC", "MIT"}

type bill struct {
	Components []component `json:"components"`
}

type component struct {
	Name, Version string
	Evidence      struct {
		Licenses []struct {
			License struct{ ID, Name string }
		}
	}
}

func main() {
	n, err := check(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
	fmt.Printf("sbom: %d modules, all under permissive licences\n", n)
}

// check returns how many components there are.
func check(r io.Reader) (int, error) {
	var b bill
	if err := json.NewDecoder(r).Decode(&b); err != nil {
		return 0, fmt.Errorf("reading the bill of materials: %w", err)
	}
	if len(b.Components) == 0 {
		return 0, fmt.Errorf("the bill of materials has no component")
	}
	for _, c := range b.Components {
		if err := c.check(); err != nil {
			return 0, err
		}
	}
	return len(b.Components), nil
}

func (c *component) check() error {
	if len(c.Evidence.Licenses) == 0 {
		return fmt.Errorf("%s %s: no licence was found in it", c.Name, c.Version)
	}
	for _, l := range c.Evidence.Licenses {
		if !slices.Contains(permissive, l.License.ID) {
			return fmt.Errorf("%s %s is under %q: use another module, or add the licence here once it was read", c.Name,
				c.Version, l.License.ID+l.License.Name)
		}
	}
	return nil
}
