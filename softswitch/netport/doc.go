// Package netport moves Ethernet frames between Linux interfaces (veth, tap,
// physical) and memory, in batches and without allocating.
//
// A [Port] is bound to an interface by its name, not by the interface's
// present life: the interface may be absent, go down, vanish, come back or
// change its MTU, and the port follows by itself. Reception is a memory-mapped
// AF_PACKET ring (TPACKET_V2: no block timeout, so no added latency);
// transmission is sendmmsg. What the kernel does to a frame before AF_PACKET
// sees it is undone here: a stripped VLAN tag is put back, and what the sender
// left to the hardware, checksums and TCP and UDP segmentation, is done.
//
// The package knows nothing of P4.
package netport
