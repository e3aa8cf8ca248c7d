package ovn

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// database is one that is kept connected, with a copy of the rows that matter. Each
// connection begins with an empty copy: after a pause nothing says what was deleted
// meanwhile.
type database struct {
	name    string // for the operator
	open    func() (client.Client, error)
	monitor func(client.Client) *client.Monitor
	nudge   func() // something changed, or the connection did
	retry   time.Duration
	// patience bounds each call, and is how often a silent database is asked whether it is
	// there. A connection is several calls, and has as many times that to be made.
	patience time.Duration

	mu     sync.Mutex
	client client.Client // nil while there is none
	err    error         // why
}

// run keeps the database connected until ctx ends.
func (d *database) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := d.connected(ctx)
		if ctx.Err() != nil {
			return
		}
		d.set(nil, err)
		select {
		case <-time.After(d.retry):
		case <-ctx.Done():
		}
	}
}

// connected is one connection, from its making to its end.
func (d *database) connected(ctx context.Context) error {
	c, err := d.open()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := d.start(ctx, c); err != nil {
		return err
	}
	d.set(c, nil)
	beat := time.NewTicker(d.patience)
	defer beat.Stop()
	for {
		select {
		case <-c.DisconnectNotify():
			return errors.New("the connection was closed")
		case <-beat.C:
			waiting, cancel := context.WithTimeout(ctx, d.patience)
			err := c.Echo(waiting)
			cancel()
			if err != nil {
				return fmt.Errorf("no answer: %w", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// connecting is how many calls make a connection.
const connecting = 4

func (d *database) start(ctx context.Context, c client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, connecting*d.patience)
	defer cancel()
	if err := c.Connect(ctx); err != nil {
		var unnamed x509.HostnameError
		if errors.As(err, &unnamed) {
			return fmt.Errorf("%w: want a certificate that has the address as a subjectAltName, which ovs-pki's have not", err)
		}
		return err
	}
	nudge := func(string, model.Model) { d.nudge() }
	c.Cache().AddEventHandler(&cache.EventHandlerFuncs{
		AddFunc: nudge, DeleteFunc: nudge, UpdateFunc: func(string, model.Model, model.Model) { d.nudge() },
	})
	if _, err := c.Monitor(ctx, d.monitor(c)); err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	return nil
}

func (d *database) set(c client.Client, err error) {
	d.mu.Lock()
	d.client, d.err = c, err
	d.mu.Unlock()
	d.nudge()
}

// errConnecting: a database was not reached yet, which is no problem yet.
var errConnecting = errors.New("connecting")

// get gives the connection; an error says why there is none.
func (d *database) get() (client.Client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.client != nil:
		return d.client, nil
	case d.err != nil:
		return nil, fmt.Errorf("%s: %w", d.name, d.err)
	}
	return nil, errConnecting
}

// part is some operations of a transaction, or why they cannot be made.
type part struct {
	ops []ovsdb.Operation
	err error
}

func made(ops []ovsdb.Operation, err error) part { return part{ops, err} }

// joined are the operations of all parts.
func joined(parts ...part) (ops []ovsdb.Operation, err error) {
	for _, p := range parts {
		ops, err = append(ops, p.ops...), cmp.Or(err, p.err)
	}
	return ops, err
}

// transact does all of a transaction, or nothing and says why; or it says that there was no
// answer, and then it may have been done.
func transact(ctx context.Context, c client.Client, ops []ovsdb.Operation) error {
	results, err := c.Transact(ctx, ops...)
	if err != nil {
		return err
	}
	failed, err := ovsdb.CheckOperationResults(results, ops)
	if len(failed) > 0 { // it says more than how many there are
		return failed[0]
	}
	return err
}
