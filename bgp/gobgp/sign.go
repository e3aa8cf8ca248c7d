package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/osrg/gobgp/v4/api"
)

// What connects to GoBGP is signed with a key that the engine alone knows (TCP MD5, RFC
// 2385), so that nobody else on the machine can speak to it as if it were a neighbour.

// errUnsigned is why there can be no engine.
var errUnsigned = errors.New("the kernel signs no TCP segments by MD5 (RFC 2385, CONFIG_TCP_MD5SIG), " +
	"without which anybody on this machine could speak to GoBGP as a neighbor")

// checkSigning says why the kernel would not sign connections with GoBGP.
func checkSigning() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	defer unix.Close(fd)
	key := signature(innerNetwork, "try")
	if err := unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG_EXT, key); err != nil {
		return fmt.Errorf("%w: %w", errUnsigned, err)
	}
	return nil
}

// signature is the key of connections with the addresses of an IPv4 network.
func signature(of netip.Prefix, key string) *unix.TCPMD5Sig {
	sig := &unix.TCPMD5Sig{Flags: unix.TCP_MD5SIG_FLAG_PREFIX, Prefixlen: uint8(of.Bits()), Keylen: uint16(len(key))}
	sig.Addr.Family = unix.AF_INET
	a := of.Addr().As4()
	copy(sig.Addr.Data[2:], a[:])
	copy(sig.Key[:], key)
	return sig
}

// signInner signs a connection that is to be made to GoBGP.
func signInner(c syscall.RawConn, to netip.Addr, key string) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		sig := signature(netip.PrefixFrom(to, to.BitLen()), key)
		err = unix.SetsockoptTCPMD5Sig(int(fd), unix.IPPROTO_TCP, unix.TCP_MD5SIG_EXT, sig)
	}); e != nil {
		return e
	}
	if err != nil {
		return fmt.Errorf("signing a connection to GoBGP: %w", err)
	}
	return nil
}

// signers is the group of neighbours that gives the listener its key.
const signers = "front"

// sign has GoBGP's listener take signed connections from the inner network alone. One
// key for all of it costs the same for any number of neighbours. It is set with a group
// of dynamic neighbours, and stays when the group goes.
func (l *life) sign(ctx context.Context, key string) error {
	group := &api.PeerGroup{Conf: &api.PeerGroupConf{PeerGroupName: signers, AuthPassword: key}}
	if err := l.gobgp.AddPeerGroup(ctx, &api.AddPeerGroupRequest{PeerGroup: group}); err != nil {
		return fmt.Errorf("adding GoBGP's group of the front: %w", err)
	}
	network := &api.DynamicNeighbor{Prefix: innerNetwork.String(), PeerGroup: signers}
	if err := l.gobgp.AddDynamicNeighbor(ctx, &api.AddDynamicNeighborRequest{DynamicNeighbor: network}); err != nil {
		return fmt.Errorf("giving GoBGP's listener its key: %w", err)
	}
	if err := l.gobgp.DeletePeerGroup(ctx, &api.DeletePeerGroupRequest{Name: signers}); err != nil {
		return fmt.Errorf("deleting GoBGP's group of the front: %w", err)
	}
	if l.unsigned.Load() {
		return errUnsigned
	}
	return nil
}
