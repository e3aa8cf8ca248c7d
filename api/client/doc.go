// Package client speaks the OPI EVPN GW API and p4evpn.v1 for people: objects as
// short YAML in place of messages, files of many of them, and the plan that makes
// a gateway hold what a file says.
//
// It knows the APIs by the descriptors of their messages only, so that a field
// that comes there is there here too; what a kind is called and what a field of
// addresses looks like to people is said in kind.go and leaf.go. A plan is tried
// on an API of its own, in memory, before the gateway is asked for anything.
package client
