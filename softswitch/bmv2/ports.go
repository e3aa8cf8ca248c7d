package bmv2

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Frame is one frame at one port.
type Frame struct {
	Port uint32
	Data []byte
}

// BMv2 reads and writes pcap files in place of interfaces (--use-files); here
// they are pipes. It keeps one frame of each file at hand, sends the one with
// the earliest time and then waits for that file's next. So a frame goes in
// when the next one of the port before it is written, and each frame can be
// let in by itself.

const (
	pcapHeaderSize = 24
	recordSize     = 16
)

// pcapHeader is a file header in this machine's byte order, as libpcap writes
// it: version 2.4, frames of up to 65,535 bytes, Ethernet.
func pcapHeader() []byte {
	h := make([]byte, pcapHeaderSize)
	binary.NativeEndian.PutUint32(h, 0xa1b2c3d4)
	binary.NativeEndian.PutUint16(h[4:], 2)
	binary.NativeEndian.PutUint16(h[6:], 4)
	binary.NativeEndian.PutUint32(h[16:], 65535)
	binary.NativeEndian.PutUint32(h[20:], 1)
	return h
}

// record is one frame with its place in the sequence as its time in
// microseconds.
func record(at int, data []byte) []byte {
	r := make([]byte, recordSize, recordSize+len(data))
	binary.NativeEndian.PutUint32(r, uint32(at/1e6))
	binary.NativeEndian.PutUint32(r[4:], uint32(at%1e6))
	binary.NativeEndian.PutUint32(r[8:], uint32(len(data)))
	binary.NativeEndian.PutUint32(r[12:], uint32(len(data)))
	return append(r, data...)
}

// ports are the pipes of one process.
type ports struct {
	in, out map[uint32]*os.File
	frames  []Frame          // everything that is to go in, in order
	next    map[uint32][]int // by port: indices of frames not yet written
	sent    int              // frames let in

	received chan Frame
	readers  sync.WaitGroup
}

// openPorts makes the pipes NAME_in.pcap and NAME_out.pcap for each port.
func openPorts(dir string, numbers []uint32) (*ports, error) {
	p := &ports{in: map[uint32]*os.File{}, out: map[uint32]*os.File{}, received: make(chan Frame, 1<<16)}
	for _, n := range numbers {
		for suffix, files := range map[string]map[uint32]*os.File{"in": p.in, "out": p.out} {
			path := filepath.Join(dir, portFile(n)+"_"+suffix+".pcap")
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				return p, fmt.Errorf("pipe %s: %w", path, err)
			}
			// For reading and writing, so that the open waits for nobody.
			f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
			if err != nil {
				return p, err
			}
			files[n] = f
		}
		if _, err := p.in[n].Write(pcapHeader()); err != nil {
			return p, err
		}
		out := p.out[n]
		p.readers.Go(func() { p.read(n, out) })
	}
	return p, nil
}

func portFile(n uint32) string { return fmt.Sprintf("port%d", n) }

// read passes on what comes out of a port until its pipe is closed.
func (p *ports) read(n uint32, out io.Reader) {
	r := bufio.NewReader(out)
	if _, err := r.Discard(pcapHeaderSize); err != nil {
		return
	}
	var head [recordSize]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		data := make([]byte, binary.NativeEndian.Uint32(head[8:]))
		if _, err := io.ReadFull(r, data); err != nil {
			return
		}
		p.received <- Frame{n, data}
	}
}

func (p *ports) close() {
	for _, files := range []map[uint32]*os.File{p.in, p.out} {
		for _, f := range files {
			f.Close()
		}
	}
	go func() { // nobody may be waiting for what came late
		for range p.received {
		}
	}()
	p.readers.Wait()
	close(p.received)
}

// Load says what will be sent, all of it, before the first Release.
func (s *Switch) Load(frames []Frame) error {
	p := s.ports
	if p.next != nil {
		return errors.New("bmv2: Load twice")
	}
	p.frames, p.next = frames, map[uint32][]int{}
	for i, f := range frames {
		if p.in[f.Port] == nil {
			return fmt.Errorf("bmv2: frame %d is for port %d, which the switch does not have", i, f.Port)
		}
		p.next[f.Port] = append(p.next[f.Port], i)
	}
	return nil
}

// Release lets the next n frames in.
func (s *Switch) Release(n int) error {
	p := s.ports
	if p.sent+n > len(p.frames) {
		return fmt.Errorf("bmv2: %d frames released of %d", p.sent+n, len(p.frames))
	}
	for ; n > 0; n-- {
		if p.sent == 0 {
			for port := range p.in {
				if err := p.write(port); err != nil {
					return err
				}
			}
		} else if err := p.write(p.frames[p.sent-1].Port); err != nil {
			return err
		}
		p.sent++
	}
	return nil
}

// Blame lets frames in one by one, in place of Load and Release, and returns the
// index of the one that crashes the process, or -1. It waits for as long as quiet
// after each.
func (s *Switch) Blame(frames []Frame, quiet time.Duration) (int, error) {
	if err := s.Load(frames); err != nil {
		return -1, err
	}
	for i := range frames {
		if err := s.Release(1); err != nil {
			return -1, err
		}
		if s.Crashed(quiet) {
			return i, nil
		}
	}
	return -1, nil
}

// write gives BMv2 the port's next frame, or the end of its file.
func (p *ports) write(port uint32) error {
	if len(p.next[port]) == 0 {
		return p.in[port].Close()
	}
	i := p.next[port][0]
	p.next[port] = p.next[port][1:]
	_, err := p.in[port].Write(record(i, p.frames[i].Data))
	return err
}

// afterExit is how long what a process wrote may stay in its pipes.
const afterExit = 100 * time.Millisecond

// Receive returns at least n frames that came out, fewer when patience or the
// process ends before; what has come by then is all returned.
func (s *Switch) Receive(n int, patience time.Duration) []Frame {
	var out []Frame
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	exited := s.exited
	for len(out) < n {
		select {
		case f := <-s.ports.received:
			out = append(out, f)
		case <-exited:
			exited = nil
			timeout.Reset(min(patience, afterExit))
		case <-timeout.C:
			return out
		}
	}
	for {
		select {
		case f := <-s.ports.received:
			out = append(out, f)
		default:
			return out
		}
	}
}
