// Package carrier follows, by netlink, which netdevs have carrier, and has the netdev at
// the Linux side of an uplink follow the uplink. It knows nothing of what the netdevs are
// for, and delays nothing: that a flapping one is not used yet is its reader's to decide.
package carrier
