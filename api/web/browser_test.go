package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/view"
)

var shots = flag.String("screenshots", "", "folder for a picture of each page, light and dark, wide and narrow")

// browser is Chromium with one tab, and what it complained about.
type browser struct {
	ctx context.Context

	mu       sync.Mutex
	problems []string
}

// browse starts Chromium, logged in to the page.
func browse(t *testing.T, g *gateway) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.IgnoreCertErrors, chromedp.NoSandbox,
		chromedp.WindowSize(1280, 900))
	// The browser ends before the test waits for who listens to it.
	ctx, end := context.WithTimeout(context.Background(), 2*time.Minute)
	ctx, cancelAllocator := chromedp.NewExecAllocator(ctx, options...)
	ctx, cancelTab := chromedp.NewContext(ctx)
	b := &browser{ctx: ctx}
	var listening sync.WaitGroup
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); cancelTab(); cancelAllocator(); end(); listening.Wait() })
	if err := chromedp.Do(ctx); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			t.Skipf("SKIP: no Chromium (Debian: chromium): %v", err)
		}
		t.Fatal(err)
	}
	messages := chromedp.Console(ctx)
	listening.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.Type == "error" || m.Type == "warning" || m.Type == chromedp.ConsoleException {
				b.mu.Lock()
				b.problems = append(b.problems, m.Text+" "+m.URL)
				b.mu.Unlock()
			}
		}
	})
	b.do(t, chromedp.Navigate("https://"+g.address+"/"), chromedp.WaitVisible(chromedp.CSS("#token")),
		chromedp.SendKeys(chromedp.CSS("#token"), g.token+"\n"), chromedp.WaitVisible(chromedp.CSS("#live")))
	b.quiet() // of the 401 before
	return b
}

// quiet gives what was complained about since it was asked last.
func (b *browser) quiet() (problems []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	problems, b.problems = b.problems, nil
	return problems
}

func (b *browser) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// ask evaluates an expression, a promise also.
func ask[T any](t *testing.T, b *browser, expression string) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// until waits for an expression to be true.
func (b *browser) until(t *testing.T, expression string) {
	t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression)); err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
}

// as has the browser prefer a theme, on a screen of a width.
func (b *browser) as(t *testing.T, theme string, width int64) {
	t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
	if err == nil {
		_, err = chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// violations are what axe-core finds in the page that is shown, of WCAG and good practice.
func (b *browser) violations(t *testing.T, options string) string {
	t.Helper()
	var found []struct {
		ID, Help string
		Nodes    []struct{ HTML, FailureSummary string }
	}
	text := ask[string](t, b, `axe.run(document, {resultTypes: ["violations"]`+options+`}).then(r => JSON.stringify(r.violations))`)
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, v := range found {
		fmt.Fprintf(&out, "%s: %s\n", v.ID, v.Help)
		for _, n := range v.Nodes[:min(3, len(v.Nodes))] {
			fmt.Fprintf(&out, "  %.300s\n  %s\n", n.HTML, n.FailureSummary)
		}
	}
	return out.String()
}

func TestEachPageIsForEverybodyInBothThemes(t *testing.T) {
	g := serve(t, sample(10))
	g.happen()
	b := browse(t, g)
	script, reason := axe(t)
	if reason != "" {
		t.Run("axe-core", func(t *testing.T) { t.Skipf("SKIP: axe-core cannot be had: %s", reason) })
	}
	for _, path := range every {
		for _, s := range []struct {
			theme string
			width int64
		}{{"light", 1280}, {"dark", 1280}, {"light", 390}} {
			if s.width == 390 && *shots == "" && path != "/" {
				continue
			}
			name := fmt.Sprintf("%s %s %d", path, s.theme, s.width)
			b.as(t, s.theme, s.width)
			if s.theme == "light" {
				b.do(t, chromedp.Navigate("https://"+g.address+path))
			}
			if script != "" && s.width != 390 {
				rules := ""
				if s.theme == "light" {
					b.do(t, chromedp.Evaluate[chromedp.Void](script))
				} else { // it is the same page in other colours
					rules = `, runOnly: ["color-contrast"]`
				}
				if v := b.violations(t, rules); v != "" {
					t.Errorf("%s:\n%s", name, v)
				}
			}
			if ask[bool](t, b, `document.documentElement.scrollWidth > window.innerWidth`) {
				t.Errorf("%s: the page is wider than the screen", name)
			}
			b.shoot(t, name)
		}
		if p := b.quiet(); len(p) > 0 {
			t.Errorf("%s: the console has %q", path, p)
		}
	}
}

// shoot makes a picture, if pictures are asked for.
func (b *browser) shoot(t *testing.T, name string) {
	t.Helper()
	if *shots == "" {
		return
	}
	beyond := true
	picture, err := chromedp.Call(b.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		CaptureBeyondViewport: &beyond})
	if err != nil {
		t.Fatal(err)
	}
	file := strings.NewReplacer("/", "_", "?", "_", ":", "", "&", "_", " ", "-").Replace(strings.Trim(name, "/")) + ".png"
	if err := os.WriteFile(filepath.Join(*shots, file), picture.Data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAChangeIsSeenWithoutAsking(t *testing.T) {
	g := serve(t, sample(10_000))
	b := browse(t, g)
	b.do(t, chromedp.Navigate("https://"+g.address+"/hosts?q=10.99"))
	b.until(t, `document.getElementById("status").textContent === "Live"`)
	start := time.Now()
	g.change(func(r *controllertest.Rows) {
		r.Hosts = append(r.Hosts, view.Host{Bridge: "blue", IP: netip.MustParseAddr("10.99.0.1"), Kind: view.HostLocal,
			Port: "port1", State: view.Up})
	})
	b.until(t, `document.body.textContent.includes("10.99.0.1")`)
	t.Logf("seen after %v", time.Since(start))
	focused := ask[string](t, b, `document.querySelector("td a[href^='/bridges/']").focus(),
		document.activeElement.getAttribute("href")`)
	g.change(func(r *controllertest.Rows) { r.Hosts[len(r.Hosts)-1].Reason = "it is another one" })
	b.until(t, `document.body.textContent.includes("it is another one")`)
	if now := ask[string](t, b, `document.activeElement.getAttribute("href") || ""`); now != focused {
		t.Errorf("the focus was on %q and is on %q after a change", focused, now)
	}
	if p := b.quiet(); len(p) > 0 {
		t.Errorf("the console has %q", p)
	}
}

func TestWithoutScriptsThePageIsThereAndIsSearched(t *testing.T) {
	g := serve(t, sample(10_000))
	b := browse(t, g)
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled,
		emulation.SetScriptExecutionDisabledParams{Value: true})
	if err != nil {
		t.Fatal(err)
	}
	b.do(t, chromedp.Navigate("https://"+g.address+"/hosts"), chromedp.SendKeys(chromedp.CSS("#f-q"), "10.30.39.15\n"),
		chromedp.WaitVisible(chromedp.CSS(`a[href="/hosts/10.30.39.15"]`)),
		chromedp.Click(chromedp.CSS(`a[href="/hosts/10.30.39.15"]`)),
		chromedp.WaitVisible(chromedp.CSS(`a[href="/hosts"]`)))
	status, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("#status")))
	if err != nil || status != "Reload for what is newer" {
		t.Errorf("it says %q (%v)", status, err)
	}
}

func TestAFrameIsTracedByTheForm(t *testing.T) {
	g := serve(t, sample(0))
	b := browse(t, g)
	b.do(t, chromedp.Navigate("https://"+g.address+"/trace"), chromedp.SendKeys(chromedp.CSS("#f-from"), "10.10.10.11"),
		chromedp.SendKeys(chromedp.CSS("#f-to"), "10.10.10.12\n"), chromedp.WaitVisible(chromedp.CSS(".results")))
	path := ask[string](t, b, `document.querySelector(".pipeline").textContent`)
	for _, want := range []string{"bridge.vlan", "because type-2 route of 10.1.1.1", "egress for uplink1"} {
		if !strings.Contains(path, want) {
			t.Errorf("the account lacks %q:\n%s", want, path)
		}
	}
}
