// Package intent holds what operators asked for, the rules that it obeys, and the
// store that keeps it over restarts: the objects of the OPI EVPN GW API
// (LogicalBridge, BridgePort, VRF, SVI) and those of p4evpn.v1 that it lacks:
//
//   - Instance, the route distinguisher and route targets of a bridge or VRF; its
//     id is "bridge." or "vrf." and the id of that (InstanceID);
//   - StaticMAC, a MAC with or without addresses on a port of a bridge;
//   - Speaker, the AS and router id of the BGP instance; its id is TheSpeaker;
//   - Neighbor, a BGP neighbour; its id is its address.
//
// All of them change in one transaction if that is wanted:
//
//	err := store.Update(func(tx *intent.Tx) error {
//		if _, err := tx.Bridges().Create(bridge); err != nil {
//			return err
//		}
//		_, err := tx.Instances().Create(intent.Instance{ID: intent.InstanceID(bridge.Ref()), RD: rd})
//		return err
//	})
//
// The configuration file may give a Speaker, Neighbors and Instances too: those
// are marked Configured, and only the file can change them.
//
// The whole model is in memory as immutable sorted tables; bbolt makes each
// transaction durable before it is visible or acknowledged. Rules are methods
// of the objects and run on the model alone, so that every way in (the API,
// the configuration, a file read at start) obeys the same ones.
//
// The package knows nothing of gRPC or P4, and of BGP the types that name things:
// route distinguishers, route targets and address families. Fields in its errors
// have the names of the APIs, which are the ones that operators write.
package intent
