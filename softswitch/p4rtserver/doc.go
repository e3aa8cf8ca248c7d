// Package p4rtserver serves P4Runtime v1 over a pipeline of package pipeline:
// arbitration, pipeline configuration, Write with an error per update, Read
// with wildcards, and the stream of digests, packets and idle timeouts.
//
// It knows P4Runtime and P4Info, nothing of interfaces. Whoever moves frames
// takes the current [Forwarding] for each batch, sends its digests and
// packet-ins there, and gives the server a function for packet-outs. What a
// client does or fails to do never stalls the packet path: queues to clients
// are bounded, and what does not fit is dropped and counted.
//
// Section numbers in comments are those of the P4Runtime specification 1.5.
package p4rtserver
