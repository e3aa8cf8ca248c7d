package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Whatever is asked for, a page comes back, and none of the request is markup in it.
func FuzzPages(f *testing.F) {
	pages := bare(f)
	for _, path := range every {
		at, query, _ := strings.Cut(path, "?")
		f.Add(at, query, "GET", "text/html")
	}
	f.Add("/hosts", "q=<x-fuzz>&page=-1&page=2", "GET", "")
	f.Add("/<x-fuzz>", "", "HEAD", "a\x00")
	f.Add("/trace", "from=%3Cx-fuzz%3E&vni=-1&frame=0", "GET", "*/*")
	f.Fuzz(func(t *testing.T, path, query, method, accept string) {
		w := httptest.NewRecorder()
		if strings.HasPrefix(path, "/live/") {
			return // it would go on
		}
		pages.ServeHTTP(w, &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query},
			Header: http.Header{"Accept": {accept}}})
		if body := w.Body.String(); w.Code >= 500 || w.Code < 200 || strings.Contains(body, "<x-fuzz") ||
			method == "GET" && !strings.HasSuffix(strings.TrimSpace(body), "</html>") {
			t.Errorf("%d\n%s", w.Code, body)
		}
	})
}
