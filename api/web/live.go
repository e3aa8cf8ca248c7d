package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/status"
)

// LivePath is where the streams are: behind it comes the page's own path.
const LivePath = "/live/"

// How many streams there may be, in all and of a client, and how long each may last; who
// looks on asks again, and is looked at again.
const (
	maxStreams       = 1024
	maxClientStreams = 128
	streamTime       = time.Hour
	beat             = 20 * time.Second // after which a stream says that it is there
	patience         = 10 * time.Second // that a write may take
)

// When a page is shown anew: so long after the last time if something changed, and so long in
// any case. However many pages there are, making them takes one part in share of a processor.
const (
	afterChange = 300 * time.Millisecond
	afterAll    = 10 * time.Second
	tick        = 100 * time.Millisecond
	share       = 20
)

// live makes the pages that somebody looks at anew, each once for all that do.
type live struct {
	pages    *Pages
	patience time.Duration
	wake     chan struct{} // when somebody comes
	done     chan struct{} // closed when Run has ended

	mu      sync.Mutex
	topics  map[string]*topic
	streams int
	clients map[string]int
}

// topic is one page at which somebody looks.
type topic struct {
	show     func(*query) (*page, error)
	query    query
	watchers map[chan []byte]bool // each holds the newest message that was not taken
	message  []byte
	digest   [sha256.Size]byte // of the page's text
	changed  uint64
	at       time.Time
	every    time.Duration
}

func newLive(p *Pages) *live {
	return &live{pages: p, patience: patience, wake: make(chan struct{}, 1), done: make(chan struct{}),
		topics: map[string]*topic{}, clients: map[string]int{}}
}

// Run has the pages live until ctx ends, which ends their streams. Pages that are due at one
// time are made together, since many show the same rows.
func (p *Pages) Run(ctx context.Context) error {
	l := p.live
	defer close(l.done)
	for ctx.Err() == nil {
		start := time.Now()
		memo := map[string]any{}
		due := l.due(start, p.cfg.Changed())
		for _, t := range due {
			l.renew(ctx, t, memo)
		}
		wait := tick
		if len(due) > 0 {
			wait = share * time.Since(start)
		} else if l.idle() {
			wait = time.Hour
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-l.wakes(wait):
		}
		timer.Stop()
	}
	return ctx.Err()
}

// wakes is what ends a pause early, if it is not the price of work.
func (l *live) wakes(wait time.Duration) <-chan struct{} {
	if wait == time.Hour {
		return l.wake
	}
	return nil
}

func (l *live) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.topics) == 0
}

// due gives the pages whose time has come.
func (l *live) due(now time.Time, changed uint64) (due []*topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.topics {
		if age := now.Sub(t.at); age >= t.every || t.changed != changed && age >= afterChange {
			t.at, t.changed = now, changed
			due = append(due, t)
		}
	}
	return due
}

// renew makes a page anew, and tells it to those that look at it if it is another. The memo
// is that of the pages that are made with it.
func (l *live) renew(ctx context.Context, t *topic, memo map[string]any) {
	ctx, cancel := context.WithTimeout(l.pages.cfg.Viewer(ctx), patience)
	defer cancel()
	q := t.query
	q.ctx, q.memo = ctx, memo
	shown, err := t.show(&q)
	if err != nil {
		shown = &page{Sections: []section{{Text: "This cannot be shown now: " + status.Convert(err).Message() + "."}}}
	}
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, "live", shown); err != nil {
		l.pages.cfg.Logger.Error("a page cannot be written", "page", q.at(), "err", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t.every = afterAll
	if shown.Every > 0 {
		t.every = shown.Every
	}
	digest := sha256.Sum256(b.Bytes())
	if digest == t.digest {
		return
	}
	t.digest, t.message = digest, message(digest, b.String())
	for w := range t.watchers {
		tell(w, t.message)
	}
}

// tell puts a message in the place of one that was not taken.
func tell(w chan []byte, message []byte) {
	select {
	case <-w:
	default:
	}
	w <- message
}

// message is an event of a stream, as HTML's "Server-sent events" has it.
func message(digest [sha256.Size]byte, text string) []byte {
	var b bytes.Buffer
	b.WriteString("event: page\nid: " + hex.EncodeToString(digest[:8]) + "\n")
	for line := range strings.Lines(strings.ReplaceAll(text, "\r", "")) {
		b.WriteString("data: " + strings.TrimSuffix(line, "\n") + "\n")
	}
	b.WriteString("\n")
	return b.Bytes()
}

// watch has a page live for one more, if there is room.
func (l *live) watch(client string, show func(*query) (*page, error), q *query) (w chan []byte, leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams >= maxStreams || l.clients[client] >= maxClientStreams {
		return nil, nil
	}
	l.streams++
	l.clients[client]++
	at := q.at()
	t := l.topics[at]
	if t == nil {
		t = &topic{show: show, query: *q, watchers: map[chan []byte]bool{}}
		l.topics[at] = t
	}
	w = make(chan []byte, 1)
	t.watchers[w] = true
	if t.message != nil {
		w <- t.message
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return w, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.streams--
		if l.clients[client]--; l.clients[client] == 0 {
			delete(l.clients, client)
		}
		if delete(t.watchers, w); len(t.watchers) == 0 {
			delete(l.topics, at)
		}
	}
}

// serve streams what becomes of a page until the client goes or reads no more.
func (l *live) serve(w http.ResponseWriter, r *http.Request, path string) {
	show, q, err := l.pages.find(path, r.URL.Query())
	if err != nil {
		http.Error(w, status.Convert(err).Message(), http.StatusNotFound)
		return
	}
	messages, leave := l.watch(userOf(r.Context()).Client, show, q)
	if leave == nil {
		w.Header().Set("Retry-After", "30")
		http.Error(w, "as many pages are looked at as may be: close some, or reload", http.StatusServiceUnavailable)
		return
	}
	defer leave()
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	end := time.NewTimer(streamTime)
	defer end.Stop()
	alive := time.NewTicker(beat)
	defer alive.Stop()
	for text := []byte(":\n\n"); ; {
		_ = control.SetWriteDeadline(time.Now().Add(l.patience))
		if _, err := w.Write(text); err != nil || control.Flush() != nil {
			return
		}
		select {
		case text = <-messages:
		case <-alive.C:
			text = []byte(":\n\n")
		case <-r.Context().Done():
			return
		case <-end.C:
			return
		case <-l.done:
			return
		}
	}
}
