// Package liveness runs BFD sessions for a controller, in a process that outlives it: an
// [Endpoint] has the sockets (RFC 5881, RFC 5883) and goes on with what it was asked for
// last, whoever asked; a [Client] asks over a Unix socket and hears of every change.
//
// It knows nothing of BGP or routes: what a lost path means is for those who asked.
package liveness
