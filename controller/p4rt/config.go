package p4rt

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strings"
	"time"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/credentials"
)

// Config says which target a Client controls, as whom, and with which
// pipeline. Fields below "Optional" may be left zero.
type Config struct {
	// Target is where the P4Runtime server listens: "host:port", or
	// "unix:PATH" for a Unix socket.
	Target   string
	DeviceID uint64
	// ElectionID ranks this controller among those of the target; the highest
	// one is primary (P4Runtime 5). It must not be zero. Where a target has no
	// primary and remembers a higher id, or where a broken connection of the
	// same Client still holds the id, the Client goes above that.
	ElectionID ElectionID

	// The pipeline. Cookie names it: a target that reports this cookie runs
	// it already and is left as it is, any other gets P4Info and DeviceConfig.
	P4Info       *p4configv1.P4Info
	DeviceConfig []byte
	Cookie       uint64

	// Digests are the digests the target shall send.
	Digests []DigestConfig

	// Optional.

	Logger *slog.Logger // nil = slog.Default
	// Credentials give what protects the next connection; nil: it is plain text.
	Credentials func() (credentials.TransportCredentials, error)
	// MaxBatch is the most updates that one Write RPC carries, 2,000 unless
	// given. RPCs are also kept below the 4 MB that servers receive by default.
	MaxBatch int
	// QueueSize bounds the digest lists, the packet-ins and the idle timeout
	// notifications (of each so many) that wait for the reader of Events;
	// 8,192 unless given.
	QueueSize int
	// ProbeInterval is how often an idle connection is tried, and how long an
	// answer may take; 5 s unless given. A target that is dead, hung or lost
	// its pipeline is noticed within twice that.
	ProbeInterval time.Duration
	// MinBackoff and MaxBackoff bound the pause between attempts to connect,
	// which doubles with each and is jittered; 100 ms and 5 s unless given.
	MinBackoff, MaxBackoff time.Duration
	// PushTimeout bounds the push of the pipeline; 1 minute unless given.
	PushTimeout time.Duration
}

// DigestConfig says how the target shall send one digest (P4Runtime 9.8). The
// zero value has each message sent at once, in a list of its own. BMv2 makes
// 100 to 200 ms of any MaxTimeout that is shorter, and without one sends a list
// only when it is full. It repeats a digest for every packet when AckTimeout is
// zero, which therefore means defaultAckTimeout.
type DigestConfig struct {
	ID          uint32
	MaxTimeout  time.Duration // longest wait for a list to fill
	MaxListSize int32         // 0 = 1
	AckTimeout  time.Duration // after which data not acknowledged is sent again
}

// defaultAckTimeout is the shortest that BMv2 knows. It often misses an acknowledgement (its
// DigestMgr::ack reads a message that may be gone by then), and keeps to itself what it
// sent until the time is over, twice over: a MAC that leaves its port and comes back.
const defaultAckTimeout = 100 * time.Millisecond

func (d DigestConfig) entity() *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_DigestEntry{DigestEntry: &p4v1.DigestEntry{
		DigestId: d.ID,
		Config: &p4v1.DigestEntry_Config{
			MaxTimeoutNs: int64(d.MaxTimeout),
			MaxListSize:  cmp.Or(d.MaxListSize, 1),
			AckTimeoutNs: int64(cmp.Or(d.AckTimeout, defaultAckTimeout)),
		},
	}}}
}

// ElectionID is P4Runtime's 128-bit election id.
type ElectionID struct{ High, Low uint64 }

// Compare orders election ids as the arbitration does.
func (e ElectionID) Compare(o ElectionID) int {
	return cmp.Or(cmp.Compare(e.High, o.High), cmp.Compare(e.Low, o.Low))
}

// String gives the number in hexadecimal, high half first.
func (e ElectionID) String() string {
	if e.High == 0 {
		return fmt.Sprintf("%#x", e.Low)
	}
	return fmt.Sprintf("%#x%016x", e.High, e.Low)
}

// next is the id after e; the highest one has none above it.
func (e ElectionID) next() ElectionID {
	switch {
	case e.Low != math.MaxUint64:
		return ElectionID{e.High, e.Low + 1}
	case e.High != math.MaxUint64:
		return ElectionID{e.High + 1, 0}
	}
	return e
}

func (e ElectionID) proto() *p4v1.Uint128 { return &p4v1.Uint128{High: e.High, Low: e.Low} }

func (c Config) withDefaults() Config {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.MaxBatch = cmp.Or(c.MaxBatch, 2000)
	c.QueueSize = cmp.Or(c.QueueSize, 8192)
	c.ProbeInterval = cmp.Or(c.ProbeInterval, 5*time.Second)
	c.MinBackoff = cmp.Or(c.MinBackoff, 100*time.Millisecond)
	c.MaxBackoff = max(c.MinBackoff, cmp.Or(c.MaxBackoff, 5*time.Second))
	c.PushTimeout = cmp.Or(c.PushTimeout, time.Minute)
	return c
}

func (c Config) check() error {
	var errs []error
	if _, _, err := splitTarget(c.Target); err != nil {
		errs = append(errs, err)
	}
	if c.ElectionID == (ElectionID{}) {
		errs = append(errs, errors.New("election id is zero: give a positive one"))
	}
	if c.P4Info == nil {
		errs = append(errs, errors.New("P4Info is missing"))
	}
	if len(c.DeviceConfig) == 0 {
		errs = append(errs, errors.New("device config is missing"))
	}
	if c.MaxBatch < 0 || c.QueueSize < 0 || c.ProbeInterval < 0 || c.MinBackoff < 0 || c.MaxBackoff < 0 ||
		c.PushTimeout < 0 {
		errs = append(errs, errors.New("a size or time is negative"))
	}
	return errors.Join(errs...)
}

// splitTarget gives network and address of a target as net.Dial wants them.
func splitTarget(target string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(target, "unix:"); ok {
		if path = strings.TrimPrefix(path, "//"); path == "" {
			return "", "", fmt.Errorf("target %q: there is no path", target)
		}
		return "unix", path, nil
	}
	if _, port, err := net.SplitHostPort(target); err != nil || port == "" {
		return "", "", fmt.Errorf("target %q: want host:port or unix:PATH", target)
	}
	return "tcp", target, nil
}
