package netport

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendMark is the SO_MARK of frames that the switch sends; it does not leave
// the host.
const sendMark = 0x70347377

// claim keeps the host's own network stack off an interface while it is open:
// what arrives goes to the packet socket alone, and nothing but the switch
// sends. Otherwise the kernel would answer ARP requests for any of its
// addresses, routers would hear its multicast reports, and a frame to the
// interface's MAC would be handled twice. The two programs are attached by
// links of the kernel, which vanish with the process.
type claim struct {
	links [2]int
}

// Instructions of the two traffic control programs (linux/bpf.h). Packet
// sockets see a frame before the ingress program, and after the egress one.
var (
	dropAll = []bpfInsn{
		{code: bpfMovImm, imm: tcxDrop},
		{code: bpfExit},
	}
	dropUnmarked = []bpfInsn{
		{code: bpfLoadWord, regs: 1<<4 | 2, off: skbMark}, // r2 = skb->mark
		{code: bpfMovImm, regs: 3, imm: sendMark},
		{code: bpfJumpNotEqual, regs: 3<<4 | 2, off: 4}, // if r2 != r3 drop
		{code: bpfMovImm, regs: 3, imm: 0},
		{code: bpfStoreWord, regs: 3<<4 | 1, off: skbMark}, // skb->mark = 0
		{code: bpfMovImm, imm: tcxNext},
		{code: bpfExit},
		{code: bpfMovImm, imm: tcxDrop},
		{code: bpfExit},
	}
)

type bpfInsn struct {
	code uint8
	regs uint8 // source << 4 | destination
	off  int16
	imm  int32
}

const (
	bpfMovImm       = 0xb7 // BPF_ALU64 | BPF_MOV | BPF_K
	bpfLoadWord     = 0x61 // BPF_LDX | BPF_MEM | BPF_W
	bpfStoreWord    = 0x63 // BPF_STX | BPF_MEM | BPF_W
	bpfJumpNotEqual = 0x5d // BPF_JMP | BPF_JNE | BPF_X
	bpfExit         = 0x95 // BPF_JMP | BPF_EXIT

	skbMark = 8 // offset in struct __sk_buff

	tcxNext = -1
	tcxDrop = 2
)

// newClaim claims the interface. It needs CAP_NET_ADMIN, CAP_BPF and Linux
// 6.6; without them the interface stays shared with the host.
func newClaim(ifindex int) (*claim, error) {
	c := &claim{links: [2]int{-1, -1}}
	for i, side := range []struct {
		attach  uint32
		program []bpfInsn
	}{
		{unix.BPF_TCX_INGRESS, dropAll},
		{unix.BPF_TCX_EGRESS, dropUnmarked},
	} {
		var err error
		if c.links[i], err = attachTCX(ifindex, side.attach, side.program); err != nil {
			c.release()
			return nil, err
		}
	}
	return c, nil
}

func (c *claim) release() {
	if c == nil {
		return
	}
	for _, fd := range c.links {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// attachTCX loads a program and links it to one side of an interface.
func attachTCX(ifindex int, attach uint32, program []bpfInsn) (int, error) {
	license := []byte("Apache-2.0\x00")
	load := struct {
		kind, count    uint32
		insns, license uint64
		_              [24]uint32
	}{
		kind: unix.BPF_PROG_TYPE_SCHED_CLS, count: uint32(len(program)),
		insns:   uint64(uintptr(unsafe.Pointer(&program[0]))),
		license: uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	prog, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	runtime.KeepAlive(program)
	runtime.KeepAlive(license)
	if err != nil {
		return -1, fmt.Errorf("load a traffic control program: %w", err)
	}
	defer unix.Close(prog)
	create := struct {
		prog, target, attach, flags uint32
		_                           [12]uint32
	}{prog: uint32(prog), target: uint32(ifindex), attach: attach}
	link, err := bpf(unix.BPF_LINK_CREATE, unsafe.Pointer(&create), unsafe.Sizeof(create))
	if err != nil {
		return -1, fmt.Errorf("attach a traffic control program: %w", err)
	}
	return link, nil
}

func bpf(command int, attr unsafe.Pointer, size uintptr) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attr), size)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}
