// Package peering keeps the BGP speaker as the intent has it: its AS and router
// id, and its neighbours.
//
// It knows intent and bgp, and nothing of routes.
package peering
