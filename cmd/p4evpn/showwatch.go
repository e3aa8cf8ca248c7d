package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	watchInterval = 2 * time.Second
	watchFastest  = 100 * time.Millisecond
)

// tableQuery asks a gateway for a table.
type tableQuery func(context.Context, *grpc.ClientConn) (*table, error)

// watch shows a table again and again, until Ctrl-C. An error of the first time ends it: what
// is asked for is wrong. Later ones pass, as a restart of the gateway does.
func (s *shower) watch(cmd *cobra.Command, q tableQuery) error {
	conn, err := s.gateway.dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	out := s.onto(cmd)
	every := time.NewTicker(s.interval)
	defer every.Stop()
	for first := true; ; first = false {
		ctx, cancel := context.WithTimeout(cmd.Context(), s.gateway.timeout)
		t, err := q(ctx, conn)
		cancel()
		if err == nil {
			err = out.show(t)
		} else {
			err = s.gateway.explain(err)
			if !first && cmd.Context().Err() == nil {
				err = out.trouble(err)
			}
		}
		if cmd.Context().Err() != nil {
			return nil // Ctrl-C
		} else if err != nil {
			return err
		}
		select {
		case <-every.C:
		case <-cmd.Context().Done():
			return nil
		}
	}
}

// watched is where a table is shown that may change.
type watched interface {
	show(*table) error
	trouble(error) error // says why there is no table now
}

// onto is a screen that is drawn anew, or else whatever is changed, one below the other.
func (s *shower) onto(cmd *cobra.Command) watched {
	out := cmd.OutOrStdout()
	if f, is := out.(*os.File); is && s.format == "table" {
		if _, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			return &screen{f: f, title: fmt.Sprintf("%s, every %v", cmd.CommandPath(), s.interval)}
		}
	}
	return &changes{out: out, err: cmd.ErrOrStderr(), format: s.format}
}

// changes are written below each other: a table whole, or a line of JSON.
type changes struct {
	out, err io.Writer
	format   string
	last     []byte
	said     string // what was wrong, "" = nothing is
}

func (c *changes) show(t *table) error {
	c.said = ""
	now, err := t.contents()
	if err != nil || c.last != nil && bytes.Equal(now, c.last) {
		return err
	}
	again := c.last != nil
	c.last = now
	if c.format == "json" {
		return t.writeJSON(c.out, "")
	}
	if again {
		_, _ = fmt.Fprintln(c.out)
	}
	return t.write(c.out)
}

func (c *changes) trouble(err error) error {
	if c.said != err.Error() {
		c.said = err.Error()
		_, _ = fmt.Fprintln(c.err, "p4evpn:", c.said)
	}
	return nil
}

// screen is a terminal, with as much of the table as it has room for.
type screen struct {
	f     *os.File
	title string
	last  []string // lines of the table
}

func (s *screen) show(t *table) error {
	var b bytes.Buffer
	if err := t.write(&b); err != nil {
		return err
	}
	s.last = strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	return s.draw("")
}

func (s *screen) trouble(err error) error { return s.draw(err.Error()) }

// draw writes over what is there, line by line, so that nothing flickers.
func (s *screen) draw(trouble string) error {
	size, err := unix.IoctlGetWinsize(int(s.f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return err
	}
	lines := append([]string{s.title + ", " + time.Now().Format(time.TimeOnly)}, trouble)
	lines = append(lines, s.last...)
	if room := max(int(size.Row)-1, 3); size.Row > 0 && len(lines) > room {
		lines = append(lines[:room-1], fmt.Sprintf("%d lines more", len(lines)-room+1))
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	for _, l := range lines {
		if r := []rune(l); size.Col > 0 && len(r) >= int(size.Col) {
			l = string(r[:size.Col-1]) // in the last column some erase with the rest of the line
		}
		b.WriteString(l + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	_, err = s.f.WriteString(b.String())
	return err
}

// contents are equal as long as nothing but ages has changed.
func (t *table) contents() ([]byte, error) {
	b := []byte(strings.Join(t.notes, "\n"))
	if len(t.rowsPB) > 0 {
		b = b[:0]
	}
	for _, m := range t.rowsPB {
		m = proto.Clone(m)
		ageless(m.ProtoReflect())
		row, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return nil, errors.Join(errors.New("comparing a row with that before"), err)
		}
		b = fmt.Appendf(b, "%d:%s", len(row), row)
	}
	return b, nil
}

// ageless forgets how long something is so, in a message and in those within it.
func ageless(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				ageless(v.List().Get(i).Message())
			}
		case f.Message().FullName() == "google.protobuf.Duration":
			if name := string(f.Name()); strings.HasSuffix(name, "age") || name == "uptime" {
				m.Clear(f)
			}
		default:
			ageless(v.Message())
		}
		return true
	})
}
