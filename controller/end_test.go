package controller

import (
	"context"
	"sync"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/p4"
)

// tardy is a context of which those that are made from it never learn that it
// ended; what has it itself does at once.
type tardy struct {
	context.Context
	done chan struct{}
}

func (t tardy) Done() <-chan struct{}      { return t.done }
func (tardy) AfterFunc(func()) func() bool { return func() bool { return true } }

func (t tardy) Err() error {
	select {
	case <-t.done:
		return context.Canceled
	default:
		return nil
	}
}

// ending is a speaker that ends when the controller listens to it.
type ending struct {
	*controllertest.Speaker
	end    func()
	events chan []bgp.Event
}

func (e ending) Events() <-chan []bgp.Event { e.end(); return e.events }

func TestAnInputThatEndsIsAnErrorUnlessTheEndWasAskedFor(t *testing.T) {
	for name, asked := range map[string]bool{"asked for": true, "by itself": false} {
		t.Run(name, func(t *testing.T) {
			client, err := p4rt.New(p4rt.Config{
				Target: "127.0.0.1:1", ElectionID: p4rt.ElectionID{Low: 1}, P4Info: p4.P4Info(),
				DeviceConfig: p4.DeviceConfig(), Cookie: p4.Cookie(), Logger: quietly,
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, events := tardy{t.Context(), make(chan struct{})}, make(chan []bgp.Event)
			speaker := ending{controllertest.NewSpeaker(), sync.OnceFunc(func() {
				if asked {
					close(ctx.done)
				}
				close(events)
			}), events}
			c, err := New(testConfig(), Inputs{Intent: intent.NewMemory(), Speaker: speaker, Target: client,
				Underlay: newUnderlay()})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Run(ctx); (err == nil) != asked {
				t.Errorf("it ended with: %v", err)
			}
		})
	}
}
