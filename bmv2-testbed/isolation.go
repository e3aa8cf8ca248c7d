package testbed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// Isolation is what one tenant lost while another one had the target send the
// controller all that it takes.
type Isolation struct {
	Carried  float64 // frames/s that the target routed before, at most
	Rate     int     // packets/s of the flow, and as many pings
	Punted   int     // frames of the noisy tenant
	Flow     Reading // through the target
	Pings    int     // to the quiet tenant's gateway
	Answered int
}

// Lost is how many of the quiet tenant's packets did not arrive.
func (i Isolation) Lost() int { return i.Flow.Lost + i.Pings - i.Answered }

func (i Isolation) String() string {
	return fmt.Sprintf("%d punts at half of %.0f frames/s; at %d/s %v; %d of %d pings to the gateway lost", i.Punted,
		i.Carried, i.Rate, i.Flow, i.Pings-i.Answered, i.Pings)
}

const (
	carriedTime   = time.Second
	isolationTime = 5 * time.Second
	offerSettle   = 50 * time.Millisecond // without a frame: no more are under way
	// stormBurst is how many frames are sent at once: fewer than the shortest queue of a
	// target takes.
	stormBurst = 16
	// quietShare is the part of what is carried that a quiet flow is of at most: with its
	// pings and their answers a quarter, beside the half that the noisy tenant sends.
	quietShare = 1.0 / 12
)

// MeasureIsolation finds the rate at which the target routes the frames of a flow, and
// sends half of that from a host of another VRF, all of it for the controller: to its
// gateway, to hosts that are not there, without a TTL to go on. Meanwhile the flow runs,
// and its sender pings its gateway as often: at the flow's rate, or less where the target has
// no room for that.
func MeasureIsolation(ctx context.Context, noisy *Host, quiet Flow) (i Isolation, err error) {
	for from, to := range map[*Host]netip.Addr{noisy: noisy.Gateway, quiet.From: quiet.To.Address.Addr()} {
		if _, err := from.Reach(ctx, to, 20*time.Second); err != nil {
			return i, err
		}
	}
	if i.Carried, err = carried(ctx, quiet); err != nil {
		return i, err
	}
	i.Rate = max(1, min(quiet.Rate, int(i.Carried*quietShare)))
	quiet.Rate = i.Rate
	gateway, err := noisy.neighbour(ctx, noisy.Gateway)
	if err != nil {
		return i, err
	}
	m, err := StartMeter(quiet)
	if err != nil {
		return i, err
	}
	done := make(chan error, 1)
	go func() { done <- i.ping(ctx, quiet) }()
	frames := noisy.forTheController(gateway)
	frame := func(n int) []byte { return frames[n%len(frames)] }
	i.Punted, err = noisy.Attack(ctx, frame, i.Carried/2, isolationTime)
	err = errors.Join(err, <-done)
	i.Flow = m.Stop()[0]
	return i, err
}

// carried is how many frames/s of a flow arrive when as many are sent as can be.
func carried(ctx context.Context, f Flow) (rate float64, err error) {
	_, arrived, err := f.Offer(ctx, 0, carriedTime)
	return float64(arrived) / carriedTime.Seconds(), err
}

// Offer sends small packets from one host of a flow to the other for a time, at a rate in
// frames/s or, where that is 0, as fast as can be, and gives how many and how many arrived
// since.
func (f Flow) Offer(ctx context.Context, rate float64, d time.Duration) (sent, arrived int, err error) {
	gateway, err := f.From.neighbour(ctx, f.From.Gateway)
	if err != nil {
		return 0, 0, err
	}
	s, err := f.From.NS.OpenRaw(f.From.Dev)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	before, err := f.To.received()
	if err != nil {
		return 0, 0, err
	}
	frame := udpFrame(f.From.MAC, gateway, f.From.Address.Addr(), f.To.Address.Addr(), 64)
	if sent, err = storm(ctx, s, func(int) []byte { return frame }, rate, d); err != nil {
		return 0, 0, err
	}
	for last := before; err == nil; { // what is under way yet
		after, failed := f.To.received()
		if arrived, err = int(after-before), failed; after == last {
			break
		}
		last = after
		time.Sleep(offerSettle)
	}
	return sent, arrived, err
}

// Attack has a host send frames, made by their numbers, for a time at a rate in frames/s,
// and gives how many.
func (h *Host) Attack(ctx context.Context, frame func(n int) []byte, rate float64, d time.Duration) (sent int,
	err error) {
	s, err := h.NS.OpenRaw(h.Dev)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return storm(ctx, s, frame, rate, d)
}

// received is how many frames came to the host.
func (h *Host) received() (uint64, error) {
	l, err := h.NS.link.LinkByName(h.Dev)
	if err != nil {
		return 0, fmt.Errorf("device of %s: %w", h.Name, err)
	}
	return l.Attrs().Statistics.RxPackets, nil
}

// neighbour is the MAC that a host knows for an address.
func (h *Host) neighbour(ctx context.Context, a netip.Addr) (ether.MAC, error) {
	out, err := h.NS.Output(ctx, "ip", "neighbor", "show", a.String(), "dev", h.Dev)
	if err != nil {
		return ether.MAC{}, err
	}
	found := regexp.MustCompile(`lladdr (\S+)`).FindStringSubmatch(out)
	if found == nil {
		return ether.MAC{}, fmt.Errorf("%s does not know the MAC of %v: %s", h.Name, a, out)
	}
	return ether.ParseMAC(found[1])
}

// forTheController are frames that the target can only give to the controller.
func (h *Host) forTheController(gateway ether.MAC) (frames [][]byte) {
	from := h.Address.Addr()
	nobody := h.Address.Masked().Addr().As4()
	for n := range byte(16) {
		nobody[3] = 200 + n
		frames = append(frames,
			udpFrame(h.MAC, gateway, from, netip.AddrFrom4(nobody), 64),
			udpFrame(h.MAC, gateway, from, h.Gateway, 64),
			udpFrame(h.MAC, gateway, from, netip.AddrFrom4(nobody), 1))
	}
	return frames
}

// udpFrame is a small packet to the discard service.
func udpFrame(source, destination ether.MAC, from, to netip.Addr, ttl byte) []byte {
	const udpLength = 30
	f := append(destination[:], source[:]...)
	f = binary.BigEndian.AppendUint16(f, 0x0800)
	ip := append([]byte{0x45, 0, 0, 20 + udpLength, 0, 0, 0x40, 0, ttl, 17, 0, 0}, from.AsSlice()...)
	ip = append(ip, to.AsSlice()...)
	binary.BigEndian.PutUint16(ip[10:], packet.IPv4Checksum(ip))
	udp := make([]byte, udpLength)
	copy(udp, []byte{0x80, 0, 0, 9, 0, udpLength})
	return append(append(f, ip...), udp...)
}

// storm sends frames, by their numbers, for a time, at a rate in frames/s or, where that is 0, as
// fast as it can, and gives how many. What it is too late for it does not send.
func storm(ctx context.Context, s *RawSocket, frame func(n int) []byte, rate float64, d time.Duration) (sent int,
	err error) {
	pause := time.Duration(0)
	if rate > 0 {
		pause = time.Duration(stormBurst / rate * float64(time.Second))
	}
	start := time.Now()
	due := start
	for ctx.Err() == nil && time.Since(start) < d {
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		} else if wait < -20*time.Millisecond {
			due = time.Now()
		}
		due = due.Add(pause)
		for range stormBurst {
			if err := s.Send(frame(sent)); err != nil && !errors.Is(err, syscall.ENOBUFS) {
				return sent, err
			}
			sent++
		}
	}
	return sent, ctx.Err()
}

// ping asks the gateway of a flow's sender as often as the flow has packets.
func (i *Isolation) ping(ctx context.Context, f Flow) error {
	count := f.Rate * int(isolationTime/time.Second)
	out, err := f.From.NS.Output(ctx, "ping", "-n", "-q", "-i", fmt.Sprintf("%.4f", 1/float64(f.Rate)), "-W", "2", "-c",
		strconv.Itoa(count), f.From.Gateway.String())
	found := regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`).FindStringSubmatch(out)
	if found == nil {
		return errors.Join(err, fmt.Errorf("ping of %s says %q", f.From.Name, out))
	}
	i.Pings, _ = strconv.Atoi(found[1])
	i.Answered, _ = strconv.Atoi(found[2])
	return nil
}
