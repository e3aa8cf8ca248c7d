package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// witnesses is how many answers to another's echo requests show that one's own
// would have been answered by now.
const witnesses = 5

// Misses checks that a host does not reach an address, however busy the machine
// is: it sends echo requests all the while another host sends some, one after the
// other, to an address that answers.
func (h *Host) Misses(ctx context.Context, to netip.Addr, witness *Host, answers netip.Addr) error {
	for {
		out, err := h.pingWhile(ctx, to, func(ctx context.Context) error {
			for range witnesses {
				if _, err := witness.Reach(ctx, answers, patience); err != nil {
					return fmt.Errorf("while %s pings %s: %w", h.Name, to, err)
				}
			}
			return nil
		})
		switch {
		case err != nil:
			return err
		case strings.Contains(out, " 0 received"):
			return nil
		case strings.Contains(out, " received"):
			return fmt.Errorf("%s reaches %s: %s", h.Name, to, out)
		case strings.Contains(out, "unreachable"): // its own kernel says so, and sends nothing
			return nil
		}
		// It was ended before it had begun: the witness was first.
	}
}

// pingWhile runs ping until a function returns, and gives what it printed.
func (h *Host) pingWhile(ctx context.Context, to netip.Addr, during func(context.Context) error) (string, error) {
	var out strings.Builder
	cmd := h.NS.Command(ctx, "ping", "-n", "-q", "-i", "0.05", to.String())
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start ping: %w", err)
	}
	err := during(ctx)
	if ended := cmd.Process.Signal(os.Interrupt); !errors.Is(ended, os.ErrProcessDone) {
		err = errors.Join(err, ended)
	}
	_ = cmd.Wait() // what it printed says what it saw
	return out.String(), err
}
