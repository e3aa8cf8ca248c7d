// Package socket opens the addresses at which the gateway and the switch are asked: Unix
// sockets of one owner, mode and group, and TCP. It says who is at the other end of a
// connection, and bounds how many connections there are, in all and of each client. It
// knows nothing of what is said over them.
package socket
