package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/p4"
)

// target is a P4Runtime client that shows each acknowledged Write to the
// figure. It is what a controller is given as its target.
type target struct {
	*p4rt.Client
	observe atomic.Pointer[observer]
}

// observer is told of a Write that returned, by the goroutine that wrote and
// before the writer knows. It must be quick.
type observer func(at time.Time, updates []p4rt.Update, errs []error)

func (t *target) Write(ctx context.Context, updates []p4rt.Update) ([]error, error) {
	errs, err := t.Client.Write(ctx, updates)
	if o := t.observe.Load(); o != nil {
		(*o)(time.Now(), updates, errs)
	}
	return errs, err
}

// table is the P4Info id of the table that an update writes, without making a
// message of it where there is none.
func table(u p4rt.Update) uint32 {
	if k, ok := u.(interface{ Key() p4.Key }); ok {
		return k.Key().ID()
	}
	return u.GetEntity().GetTableEntry().GetTableId()
}

// watch has every Write that returns from now on shown to o.
func (t *target) watch(o observer) { t.observe.Store(&o) }

func newTarget(o switchOptions, maxBatch int) (*target, error) {
	runs := cmp.Or(o.runs, &program{p4.P4Info(), p4.DeviceConfig(), p4.Cookie()})
	c, err := p4rt.New(p4rt.Config{
		Target: o.address, DeviceID: 1, ElectionID: p4rt.ElectionID{Low: 1},
		P4Info: runs.info, DeviceConfig: runs.json, Cookie: runs.cookie,
		Digests:  []p4rt.DigestConfig{{ID: p4.DigestID()}},
		MaxBatch: maxBatch, MinBackoff: 20 * time.Millisecond, MaxBackoff: 200 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	return &target{Client: c}, nil
}

// programmed is a switch with the P4 program in it, and the client that put it
// there and reads its events.
type programmed struct {
	*target
	process *process
	stop    func() // ends both
}

// startProgrammed starts a switch and waits until it runs the P4 program.
func (b *bench) startProgrammed(ctx context.Context, o switchOptions, maxBatch int) (*programmed, error) {
	process, err := b.startSwitch(ctx, o)
	if err != nil {
		return nil, err
	}
	t, err := newTarget(o, maxBatch)
	if err != nil {
		process.stop()
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	var owned sync.WaitGroup
	owned.Go(func() { _ = t.Run(running) }) // it returns nil
	up := make(chan struct{})
	owned.Go(func() { drain(t.Events(), up) })
	p := &programmed{target: t, process: process, stop: func() { cancel(); owned.Wait(); process.stop() }}
	select {
	case <-up:
		return p, nil
	case <-process.done:
		err = process.lastWords()
	case <-time.After(30 * time.Second):
		err = fmt.Errorf("%s does not take the P4 program within 30 s", o.kind)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.stop()
	return nil, err
}

// drain reads events until they end; up is closed at the first Up.
func drain(events <-chan p4rt.Event, up chan struct{}) {
	seen := false
	for e := range events {
		if _, ok := e.(p4rt.Up); ok && !seen {
			seen = true
			close(up)
		}
	}
}

// install writes entries and fails unless each was acknowledged.
func (t *target) install(ctx context.Context, entries ...p4.Entry) error {
	updates := make([]p4rt.Update, len(entries))
	for i, e := range entries {
		updates[i] = &p4v1.Update{Type: p4v1.Update_INSERT, Entity: e.Entity()}
	}
	return t.write(ctx, updates)
}

func (t *target) write(ctx context.Context, updates []p4rt.Update) error {
	errs, err := t.Client.Write(ctx, updates)
	if err != nil {
		return err
	}
	return errors.Join(errs...)
}

// overLoopback is a switch without ports whose P4Runtime is on the loopback.
func overLoopback(kind switchKind) (switchOptions, error) {
	address, err := freePort()
	if err != nil {
		return switchOptions{}, err
	}
	thrift, err := freePort()
	return switchOptions{kind: kind, address: address.String(), thrift: thrift.Port()}, err
}
