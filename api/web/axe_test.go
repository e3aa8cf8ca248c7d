package web_test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The package of axe-core at the registry of npm, and its SHA-512 as npm's own lock files have
// it.
const (
	axeFile   = "axe-core-4.14.1.tgz"
	axeDigest = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)

// axe is the script of axe-core, "" with the reason where it cannot be had. It is fetched once
// from npm's registry, or the one that npm_config_registry names.
func axe(t *testing.T) (script, reason string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	path := filepath.Join(cache, "p4evpn-tests", axeFile)
	packed, err := os.ReadFile(path)
	if err != nil {
		if packed, err = fetch(); err != nil {
			return "", err.Error()
		}
		_ = os.MkdirAll(filepath.Dir(path), 0o755) // it is only a cache
		_ = os.WriteFile(path, packed, 0o644)
	}
	if sum := sha512.Sum512(packed); base64.StdEncoding.EncodeToString(sum[:]) != axeDigest {
		t.Fatalf("%s is not what npm published: remove it", path)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	for files := tar.NewReader(unpacked); ; {
		h, err := files.Next()
		if err != nil {
			t.Fatalf("%s has no package/axe.min.js: %v", path, err)
		}
		if h.Name == "package/axe.min.js" {
			b, err := io.ReadAll(files)
			if err != nil {
				t.Fatal(err)
			}
			return string(b), ""
		}
	}
}

func fetch() ([]byte, error) {
	registry := cmp.Or(os.Getenv("npm_config_registry"), os.Getenv("NPM_CONFIG_REGISTRY"), "https://registry.npmjs.org")
	c := &http.Client{Timeout: 30 * time.Second}
	resp, err := c.Get(strings.TrimSuffix(registry, "/") + "/axe-core/-/" + axeFile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New("npm's registry: " + resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 10<<20))
}
