package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/p4"
)

const (
	millionRoutes = 1_000_000
	millionSize   = 1 << 22   // of a table that holds them: one bridge has no more than half of it
	raisedLimit   = 2_000_000 // max_prefixes of who sends them
)

// program is what a target is told to run.
type program struct {
	info   *p4configv1.P4Info
	json   []byte
	cookie uint64
}

// p4info is that of a program, nil for what is shipped.
func (p *program) p4info() *p4configv1.P4Info {
	if p == nil {
		return nil
	}
	return p.info
}

// grown are the tables with an entry for each route.
var grown = map[string]bool{"bridge.fdb": true, "arp.host": true, "nd.host": true, "router.ipv4": true,
	"router.ipv6": true}

// enlarged is the program that is shipped with room for a million routes. Nothing
// but the size of tables is different, which neither the switch nor the controller
// has in any other place: a gateway for as many routes is built from P4 sources
// with that size.
func enlarged() (*program, error) {
	info := proto.Clone(p4.P4Info()).(*p4configv1.P4Info)
	for _, t := range info.GetTables() {
		if grown[t.GetPreamble().GetName()] {
			t.Size = millionSize
		}
	}
	var device map[string]any
	numbers := json.NewDecoder(bytes.NewReader(p4.DeviceConfig()))
	numbers.UseNumber()
	if err := numbers.Decode(&device); err != nil {
		return nil, fmt.Errorf("read the P4 program: %w", err)
	}
	found := 0
	for _, p := range objects(device, "pipelines") {
		for _, t := range objects(p, "tables") {
			if name, _ := t["name"].(string); grown[name] {
				t["max_size"] = millionSize
				found++
			}
		}
	}
	if found != len(grown) {
		return nil, fmt.Errorf("the P4 program has %d of the tables %v", found, grown)
	}
	text, err := json.Marshal(device)
	return &program{info: info, json: text, cookie: p4.Cookie() ^ millionSize}, err
}

// objects gives the objects of an array.
func objects(of map[string]any, key string) []map[string]any {
	list, _ := of[key].([]any)
	var found []map[string]any
	for _, o := range list {
		if o, ok := o.(map[string]any); ok {
			found = append(found, o)
		}
	}
	return found
}

// enlargedBinary builds p4evpn with the enlarged program in place of its own.
func (b *bench) enlargedBinary(ctx context.Context) (string, error) {
	if b.large != "" {
		return b.large, nil
	}
	runs, err := enlarged()
	if err != nil {
		return "", err
	}
	info, err := prototext.Marshal(runs.info)
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "github.com/p4evpn/p4evpn/p4").Output()
	if err != nil {
		return "", fmt.Errorf("find the P4 program's sources: %w", err)
	}
	folder, replaced := string(bytes.TrimSpace(out)), map[string]string{}
	for name, content := range map[string][]byte{"p4evpn.json": runs.json, "p4evpn.p4info.txtpb": info} {
		replaced[filepath.Join(folder, name)] = filepath.Join(b.dir, name)
		if err := os.WriteFile(filepath.Join(b.dir, name), content, 0o644); err != nil {
			return "", fmt.Errorf("write the enlarged P4 program: %w", err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	file := filepath.Join(b.dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o644); err != nil {
		return "", fmt.Errorf("write what go build is to replace: %w", err)
	}
	path := filepath.Join(b.dir, "p4evpn-enlarged")
	if err := build(ctx, path, "-overlay", file); err != nil {
		return "", err
	}
	b.large = path
	return path, nil
}
