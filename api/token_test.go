package api

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
)

func newKey(t testing.TB) *tokenKey {
	t.Helper()
	k, err := openTokenKey(filepath.Join(t.TempDir(), "token.key"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestATokenIsTakenByItsGatewayUntilItExpires(t *testing.T) {
	k, other := newKey(t), newKey(t)
	now := time.Unix(1_800_000_000, 0)
	token := k.sign("alice", now.Add(time.Hour))
	holder, expires, err := k.verify(token, now)
	if err != nil || holder != "alice" || !expires.Equal(now.Add(time.Hour)) {
		t.Fatalf("%q %v %v", holder, expires, err)
	}
	for name, c := range map[string]struct {
		key   *tokenKey
		token string
		at    time.Time
		want  string
	}{
		"a second before it expires":  {k, token, now.Add(time.Hour - time.Second), ""},
		"when it expires":             {k, token, now.Add(time.Hour), "has expired"},
		"of another gateway":          {other, token, now, "of another gateway"},
		"cut by a sign":               {k, token[:len(token)-1], now, "cut short"},
		"cut by a byte":               {k, token[:len(token)-4], now, "cut short"},
		"cut to its head":             {k, token[:20], now, "cut short"},
		"a prefix alone":              {k, tokenPrefix, now, "cut short"},
		"nothing":                     {k, "", now, "cut short"},
		"with a sign behind":          {k, token + "A", now, "cut short"},
		"without its prefix":          {k, strings.TrimPrefix(token, tokenPrefix), now, "cut short"},
		"longer than any":             {k, token + strings.Repeat("A", maxToken), now, "cut short"},
		"of another holder":           {k, changed(token, tokenFixed), now, "cut short"},
		"that lasts longer":           {k, changed(token, 10), now, "cut short"},
		"of a later version":          {k, changed(token, 0), now, "cut short"},
		"whose signature was changed": {k, changed(token, tokenFixed+len("alice")), now, "cut short"},
		"no base64":                   {k, tokenPrefix + strings.Repeat("!", 100), now, "cut short"},
	} {
		if _, _, err := c.key.verify(c.token, c.at); (err == nil) != (c.want == "") || err != nil &&
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// changed changes one byte of what a token says.
func changed(token string, at int) string {
	b, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, tokenPrefix))
	b[at] ^= 4
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

func TestTheKeyOfTokensOutlivesTheGatewayAndIsNobodyElses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token.key")
	k, err := openTokenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o600 || fi.Size() != keyBytes {
		t.Errorf("%v %v", fi, err)
	}
	token := k.sign("", time.Now().Add(time.Hour))
	again, err := openTokenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := again.verify(token, time.Now()); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openTokenKey(path); err == nil || !strings.Contains(err.Error(), "others may read") {
		t.Errorf("a key that others may read: %v", err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openTokenKey(path); err == nil || !strings.Contains(err.Error(), "5 bytes, want 32") {
		t.Errorf("a short key: %v", err)
	}
}

func TestATokenIsMadeForWhoMayHaveOne(t *testing.T) {
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{},
		WebListen: []string{"unix:" + t.TempDir() + "/s"}, TokenKey: filepath.Join(t.TempDir(), "token.key")}, nil)
	c := p4evpnv1.NewTokensClient(g.conn)
	create := func(role string, lifetime time.Duration, holder string) error {
		made, err := c.CreateToken(t.Context(), &p4evpnv1.CreateTokenRequest{Role: role, Lifetime: durationpb.New(lifetime),
			Holder: holder})
		if err == nil {
			got, expires, err := g.server.key.verify(made.GetToken(), time.Now())
			if err != nil || got != holder || !expires.Equal(made.GetExpires().AsTime()) {
				t.Errorf("%q until %v: %v, want %q until %v", got, expires, err, holder, made.GetExpires().AsTime())
			}
		}
		return err
	}
	wantCode(t, create("viewer", 24*time.Hour, "alice@example.org"), codes.OK)
	wantCode(t, create("viewer", time.Second, ""), codes.OK)
	wantCode(t, create("operator", time.Hour, ""), codes.InvalidArgument, "role")
	wantCode(t, create("", time.Hour, ""), codes.InvalidArgument, "role")
	for _, d := range []time.Duration{0, -time.Hour, maxLifetime + time.Second} {
		wantCode(t, create("viewer", d, ""), codes.InvalidArgument, "lifetime")
	}
	for _, holder := range []string{"a b", "<b>", strings.Repeat("a", maxHolder+1), "\n"} {
		wantCode(t, create("viewer", time.Hour, holder), codes.InvalidArgument, "holder")
	}
	none := newGateway(t)
	_, err := p4evpnv1.NewTokensClient(none.conn).CreateToken(t.Context(),
		&p4evpnv1.CreateTokenRequest{Role: "viewer", Lifetime: durationpb.New(time.Hour)})
	wantCode(t, err, codes.FailedPrecondition)
}

func FuzzTokens(f *testing.F) {
	k := newKey(f)
	now := time.Now()
	good := k.sign("alice", now.Add(time.Hour))
	for _, s := range []string{good, good[:30], "", tokenPrefix, "p4evpn_AQ", changed(good, 3)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, _, err := k.verify(token, now); err == nil && token != good {
			t.Errorf("%q is taken", token)
		}
	})
}
