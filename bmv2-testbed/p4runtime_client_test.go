package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// A client in another language, with Debian's gRPC and protobuf, reads beside
// the controller what the controller wrote.
func TestForeignP4RuntimeClientReadsBesideTheController(t *testing.T) {
	needPython(t, "grpc", "google.protobuf")
	eachTarget(t, func(t *testing.T, d *demo) {
		ctx := t.Context()
		check(t, Eventually(ctx, 2*patience, "the client finds what the controller wrote", func(ctx context.Context) error {
			// The hosts are forgotten soon after they fall silent.
			if _, err := d.reachEachOther(ctx, []*Host{d.h1}, []*Host{d.h2, d.l1a, d.l2a}); err != nil {
				return err
			}
			return d.foreignClient(t, 1).sees(d)
		}))
		second := d.foreignClient(t, ownElectionID)
		if second.Arbitration != "INVALID_ARGUMENT" {
			t.Errorf("a second client with the primary's election id: %s", second.Arbitration)
		}
		d.whole(t)
	})
}

// sees says what a client that is not primary misses or may do too much.
func (f found) sees(d *demo) error {
	var errs []error
	complain := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if f.Arbitration != "ALREADY_EXISTS" { // P4Runtime specification 5.3: the primary is another
		complain("arbitration with a lower election id gives %s", f.Arbitration)
	}
	if f.Write != "PERMISSION_DENIED" {
		complain("a write beside the primary gives %s", f.Write)
	}
	if !slices.Contains(f.Tables, "bridge.fdb") {
		complain("no bridge.fdb in the tables %v", f.Tables)
	}
	for _, h := range []struct {
		*Host
		action string
	}{{d.h1, "bridge.to_port"}, {d.h2, "bridge.to_port"}, {d.l1a, "bridge.to_vtep"}, {d.l2a, "bridge.to_vtep"}} {
		if got := f.FDB[h.MAC.String()]; got != h.action {
			complain("%s has %q in the FDB, want %q: %v", h.Name, got, h.action, f.FDB)
		}
	}
	if f.In == 0 || f.Out == 0 {
		complain("the counters of the VNI are %d in, %d out", f.In, f.Out)
	}
	replicas := map[int]int{} // by port
	for _, r := range f.Group {
		replicas[r[0]]++
	}
	for _, u := range demoUplinks {
		if replicas[u.number] != 1 {
			complain("the flood group has %v, want one replica by %s", f.Group, u.name)
		}
	}
	return errors.Join(errs...)
}

// found is what the client prints.
type found struct {
	Arbitration, Write string
	Tables             []string
	FDB                map[string]string
	In, Out            int
	Group              [][2]int // port, instance
}

// foreignClient runs the client on the bridge blue, which is the first.
func (d *demo) foreignClient(t *testing.T, election int) (f found) {
	t.Helper()
	file := filepath.Join(d.lab.Dir, "p4runtime.binpb")
	check(t, os.WriteFile(file, descriptors(p4v1.File_p4_v1_p4runtime_proto), 0o644))
	out := must(d.gateway.NS.Output(t.Context(), debianPython, "-B", "mininet/p4runtime_client.py", file, targetAddress,
		"1", fmt.Sprint(election), "1"))(t)
	if err := json.Unmarshal([]byte(out), &f); err != nil {
		t.Fatalf("the client says %q: %v", out, err)
	}
	return f
}

// descriptors gives a file and what it imports as a FileDescriptorSet.
func descriptors(file protoreflect.FileDescriptor) []byte {
	files := map[string]*descriptorpb.FileDescriptorProto{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		files[f.Path()] = protodesc.ToFileDescriptorProto(f)
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i))
		}
	}
	add(file)
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: slices.Collect(maps.Values(files))})
	if err != nil {
		panic(err) // descriptors that are linked in are whole
	}
	return set
}
