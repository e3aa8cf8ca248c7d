package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/p4evpn/p4evpn/internal/file"
)

// maxJournal bounds the file that is read at the start, in bytes, and maxLines the lines
// after which it is written anew with those that are kept.
const (
	maxJournal = 64 << 20
	maxLines   = 2 * Kept
	maxID      = 1 << 62 // after which only damage comes
)

// onDisk is the file of a Log: a line of JSON for each event.
type onDisk struct {
	path string
	wake chan struct{}

	mu      sync.Mutex
	waiting []Event // to be written
	lines   int     // that the file has
	written uint64  // the last event that it has
}

// add has an event written soon: who logs does not wait for a disk.
func (j *onDisk) add(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) < Kept { // else the disk stands still
		j.waiting = append(j.waiting, e)
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Open makes a Log whose events outlive it in a file, and reads those that are there. A line
// that is damaged is passed over. Run writes them.
func Open(path string) (*Log, error) {
	l := New()
	l.file = &onDisk{path: path, wake: make(chan struct{}, 1)}
	b, err := file.Read(path, maxJournal)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	} else if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	damaged := 0
	for line := range bytes.Lines(b) {
		var e Event
		if json.Unmarshal(line, &e) != nil || e.ID < l.next || e.ID > maxID {
			damaged++
			continue
		}
		l.next = e.ID + 1
		l.keep(e)
	}
	l.file.lines = maxLines // it is written anew with the first event
	if damaged > 0 {
		slog.Warn("the file of events is damaged in places, which are passed over", "file", path, "lines", damaged)
	}
	return l, nil
}

// Run writes events to the file until ctx ends, the last ones included.
func (l *Log) Run(ctx context.Context) error {
	if l.file == nil {
		<-ctx.Done()
		return nil
	}
	failed := false
	for {
		err := l.write()
		if err != nil && !failed {
			slog.Error("events are kept in memory alone: their file cannot be written", "err", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			_ = l.write() // said before, if it cannot be
			return nil
		case <-l.file.wake:
		}
	}
}

// write appends what waits, or writes the file anew where it has got long.
func (l *Log) write() error {
	j := l.file
	j.mu.Lock()
	events := slices.DeleteFunc(j.waiting, func(e Event) bool { return e.ID <= j.written })
	j.waiting = nil
	anew := j.lines+len(events) > maxLines
	j.mu.Unlock()
	if len(events) == 0 {
		return nil
	}
	if anew {
		events, _ = l.After(0)
	}
	text, err := lines(events)
	if err != nil {
		return err
	}
	if anew {
		err = replace(j.path, text)
	} else {
		err = appendTo(j.path, text)
	}
	l.failed.Set(0)
	if err != nil {
		l.failed.Set(1)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lines += len(events); anew {
		j.lines = len(events)
	}
	j.written = events[len(events)-1].ID
	return err
}

func lines(events []Event) ([]byte, error) {
	var b bytes.Buffer
	w := json.NewEncoder(&b)
	for i := range events {
		if err := w.Encode(&events[i]); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// replace writes a file whole or not at all.
func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".events-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func appendTo(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
