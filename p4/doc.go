// Package p4 embeds p4evpn's P4 program as p4c compiled it and gives its tables
// Go types.
//
// It knows the program and P4Runtime's messages, and nothing of EVPN: which
// entries there should be is the controller's to say. An Entry is a small
// comparable value, cheap to keep by the hundred thousand; protobuf messages
// are made from it at the edge, for Write, and read back into it.
package p4
