package testbed

import (
	"encoding/json"
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
		must(d.reachEachOther(ctx, []*Host{d.h1}, []*Host{d.h2, d.l1a, d.l2a}))(t)
		bridge := must(d.gateway.Bridge(ctx, blue))(t)
		reader := d.foreignClient(t, 1)
		if reader.Arbitration != "ALREADY_EXISTS" { // P4Runtime specification 5.3: the primary is another
			t.Errorf("arbitration with a lower election id gives %s", reader.Arbitration)
		}
		if !slices.Contains(reader.Tables, "bridge.fdb") {
			t.Errorf("no bridge.fdb in the tables %v", reader.Tables)
		}
		for _, h := range []struct {
			*Host
			action string
		}{{d.h1, "bridge.to_port"}, {d.h2, "bridge.to_port"}, {d.l1a, "bridge.to_vtep"}, {d.l2a, "bridge.to_vtep"}} {
			if got := reader.FDB[h.MAC.String()]; got != h.action {
				t.Errorf("%s has %q in the FDB, want %q: %v", h.Name, got, h.action, reader.FDB)
			}
		}
		if reader.In == 0 || reader.Out == 0 {
			t.Errorf("the counters of VNI %d are %d in, %d out", bridge.GetVni(), reader.In, reader.Out)
		}
		uplinks := map[int]int{} // replicas by port
		for _, r := range reader.Group {
			uplinks[r[0]]++
		}
		for _, u := range demoUplinks {
			if uplinks[u.number] != 1 {
				t.Errorf("the flood group has %v, want one replica by %s", reader.Group, u.name)
			}
		}
		if reader.Write != "PERMISSION_DENIED" {
			t.Errorf("a write beside the primary gives %s", reader.Write)
		}
		if second := d.foreignClient(t, ownElectionID); second.Arbitration != "INVALID_ARGUMENT" {
			t.Errorf("a second client with the primary's election id: %s, its write %s", second.Arbitration, second.Write)
		}
		d.whole(t)
	})
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
	out := must(d.gateway.NS.Output(t.Context(), debianPython, "-B", "mininet/p4runtime_client.py", file, targetAddress, "1", fmt.Sprint(election), "1"))(t)
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
