package main

import (
	"context"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/api"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

// frozenMAC is one that is frozen, in blue, beside an address.
type frozenMAC struct{ ether.MAC }

func (f frozenMAC) ClearDuplicates(_ context.Context, bridge string, which view.Duplicate) (int, error) {
	switch {
	case bridge != "blue":
	case which == view.Duplicate{MAC: f.MAC} || which == view.Duplicate{Address: hop}:
		return 1, nil
	case which == view.Duplicate{}:
		return 2, nil
	}
	return 0, nil
}

func TestClearDuplicateSaysWhatItDid(t *testing.T) {
	store := intent.NewMemory()
	t.Cleanup(func() { _ = store.Close() })
	err := store.Update(func(tx *intent.Tx) error {
		_, err := tx.Bridges().Create(intent.LogicalBridge{ID: "blue", VLAN: 10})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	address := serveStore(t, api.Config{Store: store, View: shown, Duplicates: frozenMAC{mac}})
	for args, want := range map[string]string{
		"blue 02:00:00:00:00:01": "02:00:00:00:00:01 of bridge blue may move again\n",
		"blue 02:00:00:00:00:02": "02:00:00:00:00:02 is not frozen in logical bridge blue",
		"pink 02:00:00:00:00:01": "logical bridge pink",
		"blue x":                 "mac_address: want a MAC address",
		"blue 10.1.1.1":          "10.1.1.1 of bridge blue may move again\n",
		"blue 10.1.1.2":          "10.1.1.2 is not frozen in logical bridge blue",
		"blue":                   "2 MACs and addresses of bridge blue may move again\n",
		"":                       "accepts between 1 and 2 arg(s)",
	} {
		out, err := command(t, append([]string{"clear", "duplicate", "--api", address}, strings.Fields(args)...)...)
		if err != nil {
			out = err.Error()
		}
		if !strings.Contains(out, want) {
			t.Errorf("%s: got %q, want %q in it", args, out, want)
		}
	}
}
