// Package p4evpnv1 is the generated code of p4evpn.v1, our own small gRPC API for
// what the OPI EVPN GW API lacks. Its source is api/proto/p4evpn/v1.
package p4evpnv1

//go:generate protoc -I ../proto --go_out=../.. --go_opt=module=github.com/p4evpn/p4evpn --go-grpc_out=../.. --go-grpc_opt=module=github.com/p4evpn/p4evpn p4evpn/v1/state.proto p4evpn/v1/view.proto p4evpn/v1/resources.proto p4evpn/v1/audit.proto p4evpn/v1/duplicate.proto p4evpn/v1/trace.proto p4evpn/v1/events.proto p4evpn/v1/token.proto p4evpn/v1/check.proto
