package softswitch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/softswitch/claim"
)

// switchProcess is the environment variable by which TestMain's process is a
// switch that can be killed: the way to claim, and the interface of port 1.
const switchProcess = "P4EVPN_TEST_SWITCH"

// TestSwitchProcess is no test: it is the switch of the others.
func TestSwitchProcess(t *testing.T) {
	way, name, ok := strings.Cut(os.Getenv(switchProcess), " ")
	if !ok {
		t.Skip("SKIP: this is the process of other tests")
	}
	sw, err := New(Config{
		Ports: []Port{{1, name}}, Ways: []claim.Way{claim.Way(way)}, GRPCAddress: "127.0.0.1:0", Lanes: 2, Logger: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for !sw.Stats().Ports[0].State.Up {
			time.Sleep(time.Millisecond)
		}
		fmt.Println("port is up")
	}()
	_ = sw.Run(context.Background())
}

// startSwitch starts a process with a switch, and waits until its port is up.
func startSwitch(t *testing.T, w claim.Way, name string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestSwitchProcess$")
	cmd.Env = append(os.Environ(), switchProcess+"="+string(w)+" "+name)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	said := make([]byte, 10)
	if _, err := out.Read(said); err != nil || string(said) != "port is up" {
		t.Fatalf("the switch says %q, %v", said, err)
	}
	return cmd
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// gatewayMachine is a machine with a switch's device "sw1", whose host has an
// address and a listener elsewhere, and forwards.
type gatewayMachine struct {
	t        *testing.T
	tenant   int // packet socket at the tenant's end
	peer     int // index of the tenant's end
	mac      net.HardwareAddr
	underlay int // packet socket behind the underlay's device
}

const hostAddress, farAddress = "192.0.2.1", "198.51.100.9"

func newGatewayMachine(t *testing.T) *gatewayMachine {
	t.Helper()
	needRoot(t)
	addVeth(t, "sw1", "h1")
	addVeth(t, "under", "far")
	m := &gatewayMachine{t: t}
	for key, value := range map[string]string{
		"ipv4/ip_forward": "1", "ipv4/conf/all/rp_filter": "0", "ipv4/conf/sw1/rp_filter": "0", "ipv4/conf/all/accept_local": "1",
	} {
		if err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	// IPv6 is on where a new device has it: fe80 of the switch's end.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/sw1/disable_ipv6", []byte("0"), 0)
	link(t, "under", func(l netlink.Link) error {
		for _, s := range []string{hostAddress + "/24", "198.51.100.1/24"} {
			a, err := netlink.ParseAddr(s)
			if err == nil {
				err = netlink.AddrAdd(l, a)
			}
			if err != nil {
				return err
			}
		}
		// A way to the tenant, by which answers would go.
		return errors.Join(
			netlink.NeighAdd(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT,
				IP: net.ParseIP(farAddress), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}}),
			nil)
	})
	m.mac = interfaceNamed(t, "sw1").HardwareAddr
	h1 := interfaceNamed(t, "h1")
	m.peer, m.tenant = h1.Index, listenAll(t, h1.Index)
	m.underlay = listenAll(t, interfaceNamed(t, "far").Index)
	l, err := net.Listen("tcp", "[::]:179")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return m
}

func interfaceNamed(t testing.TB, name string) *net.Interface {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// listenAll is a packet socket that gets what arrives at a device.
func listenAll(t testing.TB, index int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: unix.ETH_P_ALL << 8, Ifindex: index})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// attack is what a tenant sends: an ARP request and a TCP SYN for the machine's
// address, a SYN to its fe80 address, a datagram into the underlay.
func (m *gatewayMachine) attack() [][]byte {
	from := net.HardwareAddr{2, 0, 0, 0, 0, 7}
	eth := func(to net.HardwareAddr, kind uint16, payload ...byte) []byte {
		f := append(append(append([]byte{}, to...), from...), byte(kind>>8), byte(kind))
		return append(f, payload...)
	}
	host, far, own := net.ParseIP(hostAddress).To4(), net.ParseIP(farAddress).To4(), net.IP{192, 0, 2, 77}
	arp := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, from...)
	arp = append(append(append(arp, own...), 0, 0, 0, 0, 0, 0), host...)
	ll := append(net.IP{0xfe, 0x80, 0, 0, 0, 0, 0, 0}, m.mac[0]^2, m.mac[1], m.mac[2], 0xff, 0xfe, m.mac[3], m.mac[4],
		m.mac[5])
	return [][]byte{
		eth(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0x806, arp...),
		eth(m.mac, 0x800, ipv4(own, host, unix.IPPROTO_TCP, syn(own, host))...),
		eth(m.mac, 0x86dd, ipv6(net.ParseIP("fe80::7"), ll, syn(net.ParseIP("fe80::7"), ll))...),
		eth(m.mac, 0x800, ipv4(own, far, unix.IPPROTO_UDP, []byte{0x12, 0xb5, 0x12, 0xb5, 0, 12, 0, 0, 'h', 'i', 0, 0})...),
	}
}

func ipv4(from, to net.IP, protocol byte, payload []byte) []byte {
	h := []byte{0x45, 0, 0, byte(20 + len(payload)), 0, 0, 0, 0, 64, protocol, 0, 0}
	h = append(append(h, from...), to...)
	c := checksum(h)
	h[10], h[11] = byte(c>>8), byte(c)
	return append(h, payload...)
}

func ipv6(from, to net.IP, payload []byte) []byte {
	h := []byte{0x60, 0, 0, 0, 0, byte(len(payload)), unix.IPPROTO_TCP, 64}
	return append(append(append(h, from...), to...), payload...)
}

func syn(from, to net.IP) []byte {
	s := []byte{0xc0, 1, 0, 179, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0}
	c := checksum(append(append(append([]byte{0, unix.IPPROTO_TCP, 0, byte(len(s))}, from...), to...), s...))
	s[16], s[17] = byte(c>>8), byte(c)
	return s
}

func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// answers sends the attack and counts what comes of it: frames to the tenant,
// and frames of the tenant in the underlay.
func (m *gatewayMachine) answers() (toTenant, forwarded int) {
	m.t.Helper()
	before := counted(m.t)
	for range 3 {
		for _, f := range m.attack() {
			err := unix.Sendto(m.tenant, f, 0, &unix.SockaddrLinklayer{Ifindex: m.peer})
			if err != nil && !errors.Is(err, unix.ENOBUFS) {
				m.t.Fatal(err)
			}
		}
	}
	// The device has seen them when its counter has: what the stack does with a
	// frame of a veth it does before the sender goes on, or within its softirq.
	eventually(m.t, "the frames arrive at the device", func() bool { return counted(m.t) >= before+12 })
	buf := make([]byte, 2048)
	for deadline := time.Now().Add(100 * time.Millisecond); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for {
			n, _, err := unix.Recvfrom(m.tenant, buf, 0)
			if err != nil {
				break
			}
			if n > 14 && net.HardwareAddr(buf[:6]).String() == "02:00:00:00:00:07" {
				toTenant++
			}
		}
		for {
			n, _, err := unix.Recvfrom(m.underlay, buf, 0)
			if err != nil {
				break
			}
			if n > 34 && net.IP(buf[26:30]).String() == "192.0.2.77" {
				forwarded++
			}
		}
	}
	return toTenant, forwarded
}

func counted(t testing.TB) uint64 {
	t.Helper()
	l, err := netlink.LinkByName("sw1")
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Statistics.RxPackets
}

// TestATenantReachesNothingOfTheMachine whatever becomes of the switch.
func TestATenantReachesNothingOfTheMachine(t *testing.T) {
	for _, w := range claim.Ways() {
		t.Run(string(w), func(t *testing.T) {
			m := newGatewayMachine(t)
			eventually(t, "without a switch the machine answers and forwards", func() bool {
				answered, forwarded := m.answers()
				return answered > 0 && forwarded > 0
			})
			nothing := func(when string) {
				t.Helper()
				if answered, forwarded := m.answers(); answered != 0 || forwarded != 0 {
					t.Errorf("%s: %d answers, %d frames into the underlay", when, answered, forwarded)
				}
			}
			first := startSwitch(t, w, "sw1")
			m.answers() // what was under way
			nothing("while the switch runs")
			kill(first)
			nothing("after it was killed")
			second := startSwitch(t, w, "sw1")
			nothing("after its restart")
			kill(second)
			if _, err := claim.Take(deviceNamed(t, "sw1"), claim.Ways(), claim.Both); err != nil {
				t.Fatal(err)
			}
			nothing("after another way took over")
			if err := claim.Release(deviceNamed(t, "sw1")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "after the release the host has its device back", func() bool {
				answered, forwarded := m.answers()
				return answered > 0 && forwarded > 0
			})
		})
	}
}

func deviceNamed(t testing.TB, name string) claim.Device {
	t.Helper()
	d, err := claim.DeviceNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestNoFrameReachesTheStackWhileTheSwitchIsKilledAndStarted floods meanwhile.
func TestNoFrameReachesTheStackWhileTheSwitchIsKilledAndStarted(t *testing.T) {
	for _, w := range claim.Ways() {
		t.Run(string(w), func(t *testing.T) {
			needRoot(t)
			addVeth(t, "sw1", "h1")
			sw := startSwitch(t, w, "sw1")
			// A socket of one protocol stands where the host's protocols do.
			stack := listenAll(t, 0)
			if err := errors.Join(
				unix.SetsockoptInt(stack, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
				unix.Bind(stack, &unix.SockaddrLinklayer{Protocol: 0xb588, Ifindex: interfaceNamed(t, "sw1").Index}),
			); err != nil {
				t.Fatal(err)
			}
			peer := interfaceNamed(t, "h1").Index
			out := listenAll(t, peer)
			var sent atomic.Int64
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				frame := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 7, 0x88, 0xb5}, make([]byte, 46)...)
				for ; ; sent.Add(1) {
					select {
					case <-stop:
						return
					default:
						_ = unix.Sendto(out, frame, 0, &unix.SockaddrLinklayer{Ifindex: peer})
						time.Sleep(20 * time.Microsecond)
					}
				}
			}()
			for range 3 {
				before := sent.Load()
				kill(sw)
				eventually(t, "frames come while there is no switch", func() bool { return sent.Load() > before+100 })
				sw = startSwitch(t, w, "sw1")
			}
			close(stop)
			<-done
			if n, _, err := unix.Recvfrom(stack, make([]byte, 2048), 0); err == nil {
				t.Errorf("a frame of %d octets reached the stack, of %d sent", n, sent.Load())
			}
		})
	}
}
