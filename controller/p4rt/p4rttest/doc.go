// Package p4rttest is a P4Runtime target for tests: a real gRPC server on
// loopback that keeps its entries in memory and forwards nothing.
//
// It is strict where real targets are lax, and lax where they are free to be:
// each update is checked against the P4Info that was pushed (ids, widths,
// canonical values, priorities, actions and their parameters, duplicate
// replicas, sizes), and the updates of each batch take effect in an order that
// a seeded source shuffles, so that a controller which relies on the order
// fails. Errors look as those of PI, the server in front of BMv2.
//
// A test can make it fail on purpose: refuse updates ([Server.FailUpdates]) or
// requests ([Server.Intercept]), lose answers ([Server.InterceptAnswer]), break
// connections ([Server.Disconnect]), be absent ([Server.Stop]), restart empty
// ([Server.Restart]), and give mastership to another ([Server.TakeMastership]).
// It sends digests, packet-ins and idle timeouts when told to. Config.Check
// states what must hold before each update, such as that what an entry refers
// to is there already.
package p4rttest
