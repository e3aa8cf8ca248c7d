// Package bfd is the asynchronous mode of Bidirectional Forwarding Detection (RFC 5880):
// control packets, and the session as a function of what came and of the time.
//
// It knows no sockets and no clock; [github.com/p4evpn/p4evpn/liveness] runs it.
package bfd
