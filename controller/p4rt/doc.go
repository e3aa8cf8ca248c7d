// Package p4rt is a P4Runtime client for a controller that must never lose its
// target: it keeps one connection alive for ever, takes part in the
// arbitration, sees to it that the target runs the given pipeline, writes
// batches with an error for each update, reads entities back, and hands on
// what the target reports (digests, packet-ins, idle timeouts).
//
// The package knows P4Runtime and gRPC and nothing else: P4Info, device config
// and cookie are given, entities are the protocol's own messages. References
// of the form "P4Runtime 9.2" are to the P4Runtime specification, version 1.5.
//
// A Client has three faces. [Client.Run] owns the connection and returns only
// when its context ends. [Client.Events] says what became of it, and what the
// target has to tell. [Client.Write], [Client.Read] and [Client.PacketOut] use
// whatever connection there is now and fail with [ErrNotConnected] or
// [ErrNotPrimary] when there is none to use: they never wait for one.
//
// A server may execute the updates of one Write in any order (P4Runtime 12.2),
// so order between updates exists only between Writes. [Plan] turns
// dependencies between updates into as few Writes as that allows.
package p4rt
