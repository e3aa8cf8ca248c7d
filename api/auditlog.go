package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// maxAuditLog is where the audit log goes on in a new file: the old one then has the suffix
// auditSuffix, in the place of the one that had it before.
const (
	maxAuditLog = 64 << 20
	auditSuffix = ".1"
)

// auditLine is what the audit log says of a change, or of a call that changes no object.
type auditLine struct {
	Time    time.Time `json:"time"`
	Request string    `json:"request"`
	Via     string    `json:"via"`
	Method  string    `json:"method"`
	Client  auditWho  `json:"client"`
	// Change is create, update, delete, or call.
	Change string `json:"change"`
	Object string `json:"object,omitempty"` // by its name in the API
	// Version orders the changes since the gateway started; those of one transaction
	// share it.
	Version uint64        `json:"version,omitempty"`
	Before  intent.Object `json:"before,omitempty"`
	After   intent.Object `json:"after,omitempty"`
	Code    string        `json:"code"`
}

// auditWho is who made the call.
type auditWho struct {
	Address string  `json:"address,omitempty"`
	Subject string  `json:"subject,omitempty"`
	UID     *uint32 `json:"uid,omitempty"`
	GID     *uint32 `json:"gid,omitempty"`
	PID     int32   `json:"pid,omitempty"`
	Role    Role    `json:"role"`
}

// auditLog is a file of lines. Whoever rotates it moves it away: a file that is not at its
// path any more is written to no more.
type auditLog struct {
	path    string
	metrics *metrics
	log     *slog.Logger

	mu     sync.Mutex
	file   *os.File
	failed bool // which was said
}

func newAuditLog(path string, m *metrics, log *slog.Logger) (*auditLog, error) {
	a := &auditLog{path: path, metrics: m, log: log}
	if err := a.open(); err != nil {
		return nil, fmt.Errorf("API: audit log: %w", err)
	}
	return a, nil
}

// open opens what is at the path, which must be a regular file.
func (a *auditLog) open() error {
	f, err := os.OpenFile(a.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("%s is no regular file", a.path), f.Close())
	}
	if a.file != nil {
		_ = a.file.Close()
	}
	a.file = f
	return nil
}

// current opens the file anew where it was moved away, and moves it away where it is full.
func (a *auditLog) current() error {
	is, err := a.file.Stat()
	if err != nil {
		return a.open()
	}
	if is.Size() >= maxAuditLog {
		if err := os.Rename(a.path, a.path+auditSuffix); err != nil {
			return err
		}
		return a.open()
	}
	if at, err := os.Stat(a.path); err != nil || !os.SameFile(is, at) {
		return a.open()
	}
	return nil
}

// record writes a line for each change of a call, and one for a call that changed none and
// was none to read. Nil records nothing.
func (a *auditLog) record(c caller, method string, at time.Time, err error) {
	if a == nil {
		return
	}
	code := status.Code(err)
	line := auditLine{Time: at, Request: c.id, Via: c.via, Method: clip(method), Client: c.audited(), Code: code.String()}
	for _, batch := range c.changes {
		line.Version = batch.Version
		for _, change := range batch.Changes {
			a.write(line.of(change.Redacted()))
		}
	}
	if len(c.changes) == 0 && !reads(method) && code == codes.OK {
		line.Change = "call"
		a.write(line)
	}
}

func (l auditLine) of(c intent.Change) auditLine {
	l.Before, l.After = c.Old, c.New
	switch {
	case c.Old == nil:
		l.Change, l.Object = "create", resourceName(c.New.Ref())
	case c.New == nil:
		l.Change, l.Object = "delete", resourceName(c.Old.Ref())
	default:
		l.Change, l.Object = "update", resourceName(c.New.Ref())
	}
	return l
}

func (p party) audited() auditWho {
	w := auditWho{Address: p.address, Subject: p.subject, Role: p.role}
	if p.peer.Local {
		w.UID, w.GID, w.PID = &p.peer.UID, &p.peer.GID, p.peer.PID
	}
	return w
}

// write adds a line. One that cannot be written is lost: the change was made.
func (a *auditLog) write(l auditLine) {
	b, err := json.Marshal(l)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		err = a.current()
	}
	if err == nil {
		_, err = a.file.Write(append(b, '\n'))
	}
	if err != nil {
		a.metrics.lost.Inc()
		if !a.failed {
			a.log.Error("changes are made that the audit log lacks", "file", a.path, "err", err)
		}
	}
	a.failed = err != nil
}

func (a *auditLog) close() {
	if a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		_ = a.file.Close()
	}
}
