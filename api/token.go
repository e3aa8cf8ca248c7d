package api

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/internal/file"
)

// A token is tokenPrefix, and base64 (RFC 4648 section 5) of: tokenVersion, the id of the
// key (8 bytes), when it expires (8 bytes, seconds of Unix), its holder (any length), and an
// HMAC with SHA-256 by the key of all that.
const (
	tokenPrefix  = "p4evpn_"
	tokenVersion = 1
	tokenFixed   = 1 + 8 + 8
	maxHolder    = 64
	maxToken     = 256
	maxLifetime  = 90 * 24 * time.Hour
	keyBytes     = 32
)

// tokenKey signs tokens.
type tokenKey struct {
	secret []byte
	id     [8]byte // that tells it from the keys of other gateways
}

// openTokenKey reads the key, which is made where there is none.
func openTokenKey(path string) (*tokenKey, error) {
	secret, err := file.Read(path, keyBytes)
	if errors.Is(err, fs.ErrNotExist) {
		secret, err = makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("key of tokens: %w", err)
	}
	if len(secret) != keyBytes {
		return nil, fmt.Errorf("key of tokens: %s has %d bytes, want %d: remove it, and a new one is made; "+
			"tokens of the old one end", path, len(secret), keyBytes)
	}
	if fi, err := os.Stat(path); err == nil && fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key of tokens: others may read %s (mode %v): remove it, and a new one is made",
			path, fi.Mode().Perm())
	}
	k := &tokenKey{secret: secret}
	sum := sha256.Sum256(append([]byte("id of "), secret...))
	copy(k.id[:], sum[:])
	return k, nil
}

// makeKey makes a key that is whole, or not there.
func makeKey(path string) ([]byte, error) {
	secret := make([]byte, keyBytes)
	_, _ = rand.Read(secret) // it never fails
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(secret)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	return secret, os.Rename(f.Name(), path)
}

func (k *tokenKey) sign(holder string, expires time.Time) string {
	b := append([]byte{tokenVersion}, k.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(expires.Unix()))
	b = append(b, holder...)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(b, k.mac(b)...))
}

func (k *tokenKey) mac(b []byte) []byte {
	m := hmac.New(sha256.New, k.secret)
	m.Write(b)
	return m.Sum(nil)
}

// Why a token is not taken. None says more than who has it can know.
var (
	errNoToken     = errors.New("this is no token of p4evpn, or one that was cut short: paste all of it, or ask for one")
	errOtherToken  = errors.New("this token is of another gateway, or this one has a new key: ask for one")
	errFalseToken  = errors.New("this token was changed or cut short: paste all of it, or ask for one")
	errTokenIsOver = errors.New("this token has expired: ask for one")
)

// verify gives the holder of a token, and when it expires.
func (k *tokenKey) verify(token string, now time.Time) (holder string, expires time.Time, err error) {
	text, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(token) > maxToken {
		return "", expires, errNoToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < tokenFixed+sha256.Size || b[0] != tokenVersion {
		return "", expires, errNoToken
	}
	said, mac := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(mac, k.mac(said)) {
		if [8]byte(said[1:9]) != k.id {
			return "", expires, errOtherToken
		}
		return "", expires, errFalseToken
	}
	if expires = time.Unix(int64(binary.BigEndian.Uint64(said[9:])), 0); !now.Before(expires) {
		return "", expires, errTokenIsOver
	}
	return string(said[tokenFixed:]), expires, nil
}

// tokenService is p4evpn.v1.Tokens.
type tokenService struct {
	p4evpnv1.UnimplementedTokensServer
	key *tokenKey // nil: no page is served
}

func (s *tokenService) CreateToken(_ context.Context,
	r *p4evpnv1.CreateTokenRequest) (*p4evpnv1.CreateTokenResponse, error) {
	if s.key == nil {
		return nil, status.Error(codes.FailedPrecondition, "nothing takes tokens: no page is served; set web.listen")
	}
	if r.GetRole() != string(RoleViewer) {
		return nil, badField("role", fmt.Sprintf("%.40q: want viewer, for the page changes nothing", r.GetRole()))
	}
	lifetime := r.GetLifetime().AsDuration()
	if r.GetLifetime().CheckValid() != nil || lifetime < time.Second || lifetime > maxLifetime {
		return nil, badField("lifetime", fmt.Sprintf("%v: want 1s to %v", lifetime, maxLifetime))
	}
	if !holderFits(r.GetHolder()) {
		return nil, badField("holder", fmt.Sprintf("%.80q: want at most %d letters, digits and any of \"-_.@\"",
			r.GetHolder(), maxHolder))
	}
	expires := time.Now().Add(lifetime + time.Second - 1).Truncate(time.Second) // a token has whole seconds
	return &p4evpnv1.CreateTokenResponse{Token: s.key.sign(r.GetHolder(), expires),
		Expires: timestamppb.New(expires)}, nil
}

func holderFits(s string) bool {
	return len(s) <= maxHolder && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.@", r)
	}) < 0
}
