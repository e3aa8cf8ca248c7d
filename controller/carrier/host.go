package carrier

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/controller/internal/rtnetlink"
)

// Host is the Linux side of an uplink, which is to have carrier while the uplink has.
type Host struct {
	Device string // the netdev with the underlay's address
	// Interface is the netdev at its other end, which is the gateway's alone. It is set down
	// and up where the kernel does not let Device's carrier be set, as it does a tap's, and
	// the target bears that. Else, or where it is not in this namespace, Device is kept
	// dormant (RFC 2863): whoever reads its operational state follows, and Linux's own choice
	// among routes does not.
	Interface string
}

// retryPause is the wait before what the kernel refused is tried again.
const retryPause = time.Second

// host is a Host and how far it is.
type host struct {
	Host
	wish    *wish // nil = nobody said yet: it is left as it is
	done    bool
	at      time.Time // when it is tried again; zero = when the kernel announces it
	trouble string
}

// wish is how a host shall be.
type wish struct{ up, peer bool }

func (h *host) want(w wish) {
	if h.wish == nil || *h.wish != w {
		h.wish, h.done, h.at = &w, false, time.Now()
	}
}

// seen has a netdev be set as it shall be that came, or has carrier though it shall not.
func (h *host) seen(n rtnetlink.Link) {
	has := n.Name == h.Interface && n.Flags&unix.IFF_UP != 0 || n.Name == h.Device && rtnetlink.Running(n.Flags)
	if h.done && has && !h.wish.up {
		h.done = false
	}
	if !h.done && h.at.IsZero() {
		h.at = time.Now()
	}
}

// Follow has the Linux side of an uplink be as the uplink is, and does not wait for that.
// peer says that the target bears it when Host.Interface is set down.
func (w *Watcher) Follow(device string, up, peer bool) {
	w.mu.Lock()
	w.wanted[device] = wish{up, peer}
	w.mu.Unlock()
	w.poke()
}

// Trouble says why the Linux side of an uplink does not follow it, "" if it does.
func (w *Watcher) Trouble(device string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trouble[device]
}

// lead sets what is not as it shall be, and says when to try again.
func (l *loop) lead() time.Duration {
	next := time.Hour
	for _, h := range l.hosts {
		if h.wish == nil || h.done || h.at.IsZero() {
			continue
		}
		if wait := time.Until(h.at); wait > 0 {
			next = min(next, wait)
			continue
		}
		err := l.lead1(h)
		trouble := ""
		switch {
		case err == nil:
			h.done, h.at = true, time.Time{}
		case errors.As(err, &netlink.LinkNotFoundError{}):
			h.at, trouble = time.Time{}, err.Error()
		default:
			h.at, trouble = time.Now().Add(retryPause), err.Error()
			next = min(next, retryPause)
		}
		l.tell(h, trouble)
	}
	return next
}

// tell keeps why a host does not follow, and logs that once.
func (l *loop) tell(h *host, trouble string) {
	if h.trouble == trouble {
		return
	}
	h.trouble = trouble
	if trouble != "" {
		l.w.log.Warn("the Linux side of an uplink does not follow its carrier", "netdev", h.Device, "up", h.wish.up,
			"err", trouble)
	}
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.trouble[h.Device] = trouble
}

// lead1 sets one, in the way that there is.
func (l *loop) lead1(h *host) error {
	up := h.wish.up
	device, err := l.conn.Handle.LinkByName(h.Device)
	if err != nil {
		return fmt.Errorf("read netdev %s: %w", h.Device, err)
	}
	err = setLink(device, nl.NewRtAttr(unix.IFLA_CARRIER, nl.Uint8Attr(flag(up))))
	if err == nil || !errors.Is(err, unix.EOPNOTSUPP) {
		return wrap(err, "set the carrier of", h.Device)
	}
	var peer netlink.Link
	if h.Interface != "" {
		peer, err = l.conn.Handle.LinkByName(h.Interface)
		if err != nil && !errors.As(err, &netlink.LinkNotFoundError{}) {
			return fmt.Errorf("read netdev %s: %w", h.Interface, err)
		}
	}
	switch there := err == nil && peer != nil; {
	case !up && there && h.wish.peer:
		return wrap(l.conn.Handle.LinkSetDown(peer), "set down", h.Interface)
	case !up:
		return keepDormant(device, true)
	default:
		failed := keepDormant(device, false) // whatever it is now: it may have become so before
		if there && peer.Attrs().RawFlags&unix.IFF_UP == 0 {
			failed = errors.Join(failed, wrap(l.conn.Handle.LinkSetUp(peer), "set up", h.Interface))
		}
		return failed
	}
}

// keepDormant has a device be dormant, or up again.
func keepDormant(device netlink.Link, dormant bool) error {
	mode, state := uint8(0), netlink.OperUp
	if dormant {
		mode, state = 1, netlink.OperDormant // IF_LINK_MODE_DORMANT
	}
	err := setLink(device, nl.NewRtAttr(unix.IFLA_LINKMODE, nl.Uint8Attr(mode)),
		nl.NewRtAttr(unix.IFLA_OPERSTATE, nl.Uint8Attr(uint8(state))))
	return wrap(err, "set the operational state of", device.Attrs().Name)
}

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func wrap(err error, what, netdev string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s netdev %s: %w", what, netdev, err)
}

// setLink sets attributes of a netdev that the library has no call for.
func setLink(device netlink.Link, attributes ...nl.NetlinkRequestData) error {
	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(device.Attrs().Index)
	request.AddData(m)
	for _, a := range attributes {
		request.AddData(a)
	}
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// Errors are the frames that a netdev could not receive or send, as its driver counts
// them; none if there is no such netdev.
func Errors(netdev string) (received, sent uint64) {
	link, err := netlink.LinkByName(netdev)
	if err != nil || link.Attrs().Statistics == nil {
		return 0, 0
	}
	s := link.Attrs().Statistics
	return s.RxErrors, s.TxErrors + s.TxCarrierErrors
}
