package docs_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/p4evpn/p4evpn/"
	goBGP  = "github.com/osrg/gobgp"
)

// goList gives the lines that go list prints in the module's root.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Logf("%s", failed.Stderr)
		}
		t.Fatalf("%v: %v", cmd, err)
	}
	return strings.Fields(string(out))
}

// of reports whether a package is a module's, in any major version.
func of(pkg, path string) bool { return pkg == path || strings.HasPrefix(pkg, path+"/") }

func TestPackagesThatOnlyNameValuesOfBGPLinkNothingThatSpeaksIt(t *testing.T) {
	forbidden := []string{
		goBGP, "github.com/spf13/viper", "google.golang.org/grpc", "github.com/vishvananda/netlink",
	}
	for _, pkg := range []string{"bgp", "config", "controller/intent", "controller/peering"} {
		deps := goList(t, "-deps", "-f", "{{.ImportPath}}", "./"+pkg)
		if !slices.Contains(deps, module+"bgp") {
			t.Errorf("%s does not use bgp: this test looks at the wrong package", pkg)
		}
		if pkg == "bgp" && slices.Contains(deps, "net") {
			t.Errorf("%s can open sockets", pkg)
		}
		for _, dep := range deps {
			for _, m := range forbidden {
				if of(dep, m) {
					t.Errorf("%s links %s", pkg, dep)
				}
			}
		}
	}
}

func TestTheLaboratoryIsNotShipped(t *testing.T) {
	laboratory := module + "bmv2-testbed"
	for program, want := range map[string]bool{"p4evpn": false, "p4evpn-demo": true} {
		deps := goList(t, "-deps", "-f", "{{.ImportPath}}", "./cmd/"+program)
		if has := slices.ContainsFunc(deps, func(dep string) bool { return of(dep, laboratory) }); has != want {
			t.Errorf("%s links %s: %v, want %v", program, laboratory, has, want)
		}
	}
}

func TestTheSwitchAndTheTasksAreUsableAlone(t *testing.T) {
	bare := []string{module + "internal/file", module + "internal/socket"} // which import nothing of ours
	for _, dep := range goList(t, append([]string{"-deps", "-f", "{{.ImportPath}}"}, bare...)...) {
		if strings.HasPrefix(dep, module) && !slices.Contains(bare, dep) {
			t.Errorf("%v link %s", bare, dep)
		}
	}
	for _, alone := range []string{"softswitch", "internal/task"} {
		pkgs := goList(t, "-f", "{{.ImportPath}}", "./"+alone+"/...")
		for _, dep := range goList(t, append([]string{"-deps", "-f", "{{.ImportPath}}"}, pkgs...)...) {
			if strings.HasPrefix(dep, module) && !of(dep, module+alone) && !slices.Contains(bare, dep) {
				t.Errorf("%s links %s", alone, dep)
			}
		}
	}
}

func TestWhatBringsAModelToATargetKnowsNothingOfTheModel(t *testing.T) {
	deps := goList(t, "-deps", "-f", "{{.ImportPath}}", "./controller/reconcile")
	may := []string{"controller/reconcile", "controller/p4rt", "internal/keyed", "p4", "ether", "internal/events",
		"internal/tracing"}
	for _, dep := range deps {
		if name, ours := strings.CutPrefix(dep, module); ours && !slices.Contains(may, name) {
			t.Errorf("controller/reconcile links %s", name)
		}
	}
	if !slices.Contains(deps, module+"controller/p4rt") {
		t.Error("controller/reconcile does not use controller/p4rt: this test looks at the wrong package")
	}
}

// The speaker alone knows GoBGP. The others that may are its counterparts: what
// benchmarks compare it with, and a leaf of the testbed.
func TestOnlyTheSpeakerAndItsCounterpartsImportGoBGP(t *testing.T) {
	const format = `{{$p := .ImportPath}}` +
		`{{range .Imports}}{{$p}}>{{.}} {{end}}` +
		`{{range .TestImports}}{{$p}}>{{.}} {{end}}` +
		`{{range .XTestImports}}{{$p}}>{{.}} {{end}}`
	importers := map[string]bool{}
	for _, line := range goList(t, "-f", format, "./...") {
		if pkg, imported, _ := strings.Cut(line, ">"); of(imported, goBGP) {
			importers[strings.TrimPrefix(pkg, module)] = true
		}
	}
	want := []string{"bgp/bgptest", "bgp/gobgp", "bmv2-testbed/gobgpleaf", "cmd/bench"}
	if got := slices.Sorted(maps.Keys(importers)); !slices.Equal(got, want) {
		t.Errorf("GoBGP is imported by %v, want %v", got, want)
	}
}

// What is traced knows spans by internal/tracing alone, and only the gateway's wiring links what
// sends them.
func TestOnlyTracingImportsOpenTelemetry(t *testing.T) {
	const openTelemetry = "go.opentelemetry.io"
	importers := map[string]bool{}
	for _, line := range goList(t, "-f", `{{$p := .ImportPath}}{{range .Imports}}{{$p}}>{{.}} {{end}}`, "./...") {
		if pkg, imported, _ := strings.Cut(line, ">"); of(imported, openTelemetry) {
			importers[strings.TrimPrefix(pkg, module)] = true
		}
	}
	want := []string{"internal/tracing", "internal/tracing/otlp"}
	if got := slices.Sorted(maps.Keys(importers)); !slices.Equal(got, want) {
		t.Errorf("OpenTelemetry is imported by %v, want %v", got, want)
	}
	for _, pkg := range []string{"api", "controller", "controller/intent", "controller/reconcile"} {
		for _, dep := range goList(t, "-deps", "-f", "{{.ImportPath}}", "./"+pkg) {
			if of(dep, openTelemetry+"/otel/sdk") || of(dep, openTelemetry+"/otel/exporters") {
				t.Errorf("%s links %s", pkg, dep)
			}
		}
	}
}

// packageRow is a line of the table of packages in architecture.md.
type packageRow struct {
	pkg     string // with "/..." for all below that have no line of their own
	imports []string
	any     bool   // whatever it wants
	not     string // what it does not know
}

// forbidden are the imports that a word in the table's last column forbids.
var forbidden = map[string][]string{
	"gRPC":    {"google.golang.org/grpc"},
	"netlink": {"github.com/vishvananda/netlink", module + "controller/internal/rtnetlink"},
	"GoBGP":   {goBGP, module + "bgp/gobgp"},
	"P4":      {"github.com/p4lang/p4runtime", module + "p4"},
}

// packageRows reads the table. Its third column has the packages of ours that one
// imports, tests apart.
func packageRows(t *testing.T) map[string]packageRow {
	t.Helper()
	text, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]packageRow{}
	quoted := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 7 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		r := packageRow{pkg: quoted.FindStringSubmatch(cells[1])[1],
			any: strings.HasPrefix(strings.TrimSpace(cells[3]), "any"), not: cells[5]}
		for _, m := range quoted.FindAllStringSubmatch(cells[3], -1) {
			r.imports = append(r.imports, m[1])
		}
		slices.Sort(r.imports)
		rows[r.pkg] = r
	}
	return rows
}

// rowOf finds a package's line, or that of what it lies below.
func rowOf(rows map[string]packageRow, pkg string) (packageRow, bool) {
	if r, ok := rows[pkg]; ok {
		return r, true
	}
	for dir := pkg; dir != "."; dir = path.Dir(dir) {
		if r, ok := rows[dir+"/..."]; ok {
			return r, true
		}
	}
	return packageRow{}, false
}

func TestTheTableOfPackagesSaysWhatEachImports(t *testing.T) {
	rows := packageRows(t)
	imports := map[string]map[string]bool{} // by line
	for _, line := range goList(t, "-f", `{{$p := .ImportPath}}{{$p}}> {{range .Imports}}{{$p}}>{{.}} {{end}}`, "./...") {
		pkg, full, _ := strings.Cut(line, ">")
		pkg, imported := strings.TrimPrefix(pkg, module), strings.TrimPrefix(full, module)
		r, ok := rowOf(rows, pkg)
		if !ok {
			t.Errorf("the table has no line for %s", pkg)
			continue
		}
		if imports[r.pkg] == nil {
			imports[r.pkg] = map[string]bool{}
		}
		below, isBelow := strings.CutSuffix(r.pkg, "/...")
		for word, paths := range forbidden {
			if strings.Contains(r.not, word) && slices.ContainsFunc(paths, func(p string) bool { return of(full, p) }) {
				t.Errorf("%s imports %s, and the table says that it does not know %s", pkg, full, word)
			}
		}
		if strings.Contains(line, ">"+module) && (!isBelow || !of(imported, below)) {
			imports[r.pkg][imported] = true
		}
	}
	for name, r := range rows {
		got := slices.Sorted(maps.Keys(imports[name]))
		switch {
		case imports[name] == nil:
			t.Errorf("the table has a line for %s, which is not there", name)
		case !r.any && !slices.Equal(got, r.imports):
			t.Errorf("%s imports %v, the table says %v", name, got, r.imports)
		}
	}
}

func TestNoFileThatPeopleWriteIsLongerThan600Lines(t *testing.T) {
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "..":
			return filepath.SkipDir
		case d.IsDir() || strings.HasSuffix(name, ".pb.go") ||
			!slices.Contains([]string{".go", ".p4", ".py", ".sh"}, path.Ext(name)):
			return nil
		}
		text, err := os.ReadFile(name)
		if n := bytes.Count(text, []byte("\n")); n > 600 {
			t.Errorf("%s has %d lines: cut it where its meanings part", name, n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
