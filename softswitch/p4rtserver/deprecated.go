package p4rtserver

//lint:file-ignore SA1019 Clients of older P4Runtime versions use these fields; nothing else touches them.

import p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

// numericRole returns the deprecated role id of a request or a Role.
func numericRole(m any) uint64 {
	switch m := m.(type) {
	case *p4v1.WriteRequest:
		return m.GetRoleId()
	case *p4v1.SetForwardingPipelineConfigRequest:
		return m.GetRoleId()
	case *p4v1.Role:
		return m.GetId()
	}
	return 0
}

// deprecatedWatch returns the watch port as a number of a member or action.
func deprecatedWatch(m interface{ GetWatch() int32 }) int32 { return m.GetWatch() }

func controllerMetadata(te *p4v1.TableEntry) uint64 { return te.GetControllerMetadata() }

func setControllerMetadata(te *p4v1.TableEntry, v uint64) { te.ControllerMetadata = v }

func numericPort(kind *p4v1.Replica_EgressPort) uint32 { return kind.EgressPort }

func withNumericPort(port uint32) *p4v1.Replica_EgressPort {
	return &p4v1.Replica_EgressPort{EgressPort: port}
}
