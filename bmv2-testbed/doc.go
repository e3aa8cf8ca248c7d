// Package testbed builds small networks in Linux network namespaces around
// p4evpn: a gateway with its switch, leaves with FRR and kernel VXLAN, hosts on
// access ports and behind a trunk. It holds the demo, which is also the
// end-to-end test.
//
// A Lab owns everything a run makes (namespaces, processes, files) and removes
// it in Close. Names carry the process id and a random part, so that runs do
// not meet, and what a killed run left behind is swept by the next one. Nothing
// is done outside the namespaces and the run directory.
//
// The package sees p4evpn as a user does: its binary, its configuration file
// and its gRPC APIs. It imports neither the controller nor the switch.
package testbed
