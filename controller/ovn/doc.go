// Package ovn attaches logical switches of OVN to bridges.
//
// A bridge whose instance names a logical switch gets a port on it: a
// Logical_Switch_Port evpn_<VNI> of type l2gateway, tagged with the bridge's VLAN, which
// ovn-controller joins to a provider bridge of Open vSwitch, whose other port is a trunk
// of the target. So the P4 pipeline is the VTEP, and what it does for every bridge port
// it does for the switch: split horizon, mobility, routing, counters. What moves behind
// VTEPs changes nothing in OVN.
//
// Or else, with tunnels, the integration bridge is the VTEP: it has a tunnel to each remote
// one, and OVN a port for it with the stations behind it.
//
// Gateways may share a logical switch, which is joined at one of them.
//
// What is asked for is compared with the rows that are there, whenever either changes;
// the difference is written, each bridge in a transaction of its own. Rows of ours bear
// external_ids:p4evpn-owner. Others are never touched: a name that is taken is a problem
// to be shown. A port outlives us, and is adopted by its marks at the next start.
//
// The package knows intent and OVSDB (RFC 7047), with the schemas of OVN_Northbound and
// Open_vSwitch; nothing of EVPN, P4 or the kernel.
package ovn
