package gobgp

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/bgp"
)

// checkMD5 says why the kernel would not sign sessions. GoBGP only logs that,
// and then accepts unsigned sessions of a neighbour that has a password.
func checkMD5(neighbors ...bgp.Neighbor) error {
	for _, n := range neighbors {
		if n.Password == "" {
			continue
		}
		if err := tryMD5(n); err != nil {
			return fmt.Errorf("neighbor %v: the kernel refuses TCP MD5 signatures: %w", n.Address, err)
		}
	}
	return nil
}

func tryMD5(n bgp.Neighbor) error {
	family := unix.AF_INET
	sig := &unix.TCPMD5Sig{Keylen: uint16(len(n.Password))}
	copy(sig.Key[:], n.Password)
	if n.Address.Is4() {
		a := n.Address.As4()
		sig.Addr.Family = unix.AF_INET
		copy(sig.Addr.Data[2:], a[:])
	} else {
		family = unix.AF_INET6
		a := n.Address.As16()
		sig.Addr.Family = unix.AF_INET6
		copy(sig.Addr.Data[6:], a[:])
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, sig)
}
