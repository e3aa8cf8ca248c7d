package testbed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Flow is traffic of a Meter: numbered UDP packets, each of which the other host
// sends back, so that one number counts both ways.
type Flow struct {
	Name     string
	From, To *Host
	Rate     int // packets/s
}

// Reading is what a Meter saw of one flow.
type Reading struct {
	Flow             string
	Sent, Lost       int
	Duplicated       int           // answers too many
	P99              time.Duration // what 99 of 100 answers took at most
	Gap              time.Duration // the longest time without an answer
	FirstLost, Again time.Duration // since the start: the first loss, and the first answer after the last one
}

func (r Reading) String() string {
	s := fmt.Sprintf("%s: %d of %d lost, %d duplicated, longest gap %.0f ms", r.Flow, r.Lost, r.Sent, r.Duplicated,
		r.Gap.Seconds()*1000)
	if r.Lost > 0 {
		s += fmt.Sprintf(", lost from %.3f s on, whole again at %.3f s", r.FirstLost.Seconds(), r.Again.Seconds())
	}
	return s
}

// Meter measures loss while something happens. It runs until Stop.
type Meter struct {
	start time.Time
	flows []*meteredFlow
	stop  chan struct{}
	owned sync.WaitGroup
}

type meteredFlow struct {
	Flow
	to         *net.UDPAddr
	conn, echo *net.UDPConn

	mu      sync.Mutex
	sent    []time.Duration // by number, since the start
	answers []uint8         // by number
	took    []time.Duration // of each first answer
	last    time.Duration   // of an answer
	gap     time.Duration
}

const (
	meterBuffer = 8 << 20               // of a socket: seconds of a flow
	meterPause  = time.Millisecond      // between looks at what is due
	meterBurst  = 20 * time.Millisecond // what a late sender makes up for; the rest was never sent
	meterSettle = 2 * time.Second
	// meterPatience is how long a switch may take to bring what waits in it.
	meterPatience = 10 * time.Second
)

// StartMeter starts the flows, whose hosts should have reached each other before.
func StartMeter(flows ...Flow) (*Meter, error) {
	m := &Meter{stop: make(chan struct{})}
	for _, f := range flows {
		mf, err := openFlow(f)
		if err != nil {
			m.close()
			return nil, fmt.Errorf("meter %s: %w", f.Name, err)
		}
		m.flows = append(m.flows, mf)
		m.owned.Go(mf.answer)
	}
	m.start = time.Now()
	for _, f := range m.flows {
		m.owned.Go(func() { f.receive(m.start) })
		m.owned.Go(func() { f.send(m.start, m.stop) })
	}
	return m, nil
}

func openFlow(f Flow) (*meteredFlow, error) {
	mf := &meteredFlow{Flow: f}
	var err error
	if mf.echo, err = f.To.udp(); err != nil {
		return nil, err
	}
	if mf.conn, err = f.From.udp(); err != nil {
		return nil, errors.Join(err, mf.echo.Close())
	}
	mf.to = mf.echo.LocalAddr().(*net.UDPAddr)
	return mf, nil
}

// udp opens a socket at the host's address with room for seconds of traffic.
func (h *Host) udp() (conn *net.UDPConn, err error) {
	err = h.NS.Do(func() error {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(h.Address.Addr(), 0)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("UDP socket of %s: %w", h.Name, err)
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		err = errors.Join(err, raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, meterBuffer)
		}))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("UDP socket of %s: %w", h.Name, err), conn.Close())
	}
	return conn, nil
}

// send sends what is due. What it was too late for it does not send.
func (f *meteredFlow) send(start time.Time, stop <-chan struct{}) {
	tick := time.NewTicker(meterPause)
	defer tick.Stop()
	period := time.Second / time.Duration(f.Rate)
	packet := make([]byte, 64)
	for due := time.Duration(0); ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		now := time.Since(start)
		for due = max(due, now-meterBurst); due <= now; due += period {
			f.mu.Lock()
			binary.BigEndian.PutUint64(packet, uint64(len(f.sent)))
			f.sent = append(f.sent, time.Since(start))
			f.answers = append(f.answers, 0)
			f.mu.Unlock()
			// One that the kernel has no route for is as lost as any other.
			_, _ = f.conn.WriteToUDP(packet, f.to)
		}
	}
}

// answer sends back what comes until its socket is closed.
func (f *meteredFlow) answer() {
	eachPacket(f.echo, func(packet []byte, from netip.AddrPort) { _, _ = f.echo.WriteToUDPAddrPort(packet, from) })
}

func (f *meteredFlow) receive(start time.Time) {
	eachPacket(f.conn, func(packet []byte, _ netip.AddrPort) {
		now := time.Since(start)
		f.mu.Lock()
		defer f.mu.Unlock()
		n := binary.BigEndian.Uint64(packet)
		if n >= uint64(len(f.answers)) {
			return // not ours
		}
		f.gap, f.last = max(f.gap, now-f.last), now
		if f.answers[n] == 0 {
			f.took = append(f.took, now-f.sent[n])
		}
		if f.answers[n] < 255 {
			f.answers[n]++
		}
	})
}

// eachPacket reads a socket until it is closed. Other errors come from ICMP.
func eachPacket(conn *net.UDPConn, do func([]byte, netip.AddrPort)) {
	buffer := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if errors.Is(err, syscall.EBADF) {
			return
		}
		if err == nil && n >= 8 {
			do(buffer[:n], from)
		}
	}
}

// Stop ends the traffic, waits for the last answers and gives what was seen, in
// the order of the flows.
func (m *Meter) Stop() []Reading {
	select {
	case <-m.stop:
		return nil
	default:
	}
	close(m.stop)
	for until, quiet := time.Now().Add(meterPatience), time.Now(); time.Now().Before(until); {
		time.Sleep(meterSettle / 10)
		missing, last := m.missing()
		if missing == 0 {
			break
		}
		if last := m.start.Add(last); last.After(quiet) {
			quiet = last
		}
		if time.Since(quiet) > meterSettle { // nothing says that no more will come
			break
		}
	}
	m.close()
	var readings []Reading
	for _, f := range m.flows {
		readings = append(readings, f.reading())
	}
	return readings
}

// missing counts the answers that have not come, and when the last one did.
func (m *Meter) missing() (n int, last time.Duration) {
	for _, f := range m.flows {
		f.mu.Lock()
		for _, answers := range f.answers {
			if answers == 0 {
				n++
			}
		}
		last = max(last, f.last)
		f.mu.Unlock()
	}
	return n, last
}

func (m *Meter) close() {
	for _, f := range m.flows {
		_, _ = f.conn.Close(), f.echo.Close()
	}
	m.owned.Wait()
}

func (f *meteredFlow) reading() Reading {
	r := Reading{Flow: f.Name, Sent: len(f.sent), Gap: f.gap}
	if n := len(f.took); n > 0 {
		r.P99 = slices.Sorted(slices.Values(f.took))[(99*n+99)/100-1] // the nearest rank
	}
	for n, answers := range f.answers {
		switch {
		case answers == 0:
			if r.Lost == 0 {
				r.FirstLost = f.sent[n]
			}
			r.Lost++
			r.Again = 0
		case r.Lost > 0 && r.Again == 0:
			r.Again = f.sent[n]
		}
		r.Duplicated += max(0, int(answers)-1)
	}
	if r.Sent > 0 {
		r.Gap = max(r.Gap, f.sent[r.Sent-1]-f.last)
	}
	return r
}
