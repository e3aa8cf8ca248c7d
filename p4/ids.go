package p4

// Ids of the program's objects, as the @id annotations of the P4 source give
// them; a test holds them equal to P4Info. Read-back and Write speak ids, so
// that a renamed table does not become another one.
const (
	tablePort       = 0x02000001
	tableLocal      = 0x02000010
	tablePeer       = 0x02000011
	tableVNI        = 0x02000012
	tablePath       = 0x02000020
	tableTunnel     = 0x02000030
	tableAdjacency  = 0x02000031
	tableVLAN       = 0x02000040
	tableSource     = 0x02000050
	tableFDB        = 0x02000060
	tableEgressVLAN = 0x02000070
	tableReplica    = 0x02000080
	tableTrap       = 0x02000090
	tableRouterMAC  = 0x020000a0
	tableIPv4       = 0x020000b0
	tableIPv6       = 0x020000b1
	tableInterface  = 0x020000c0
	tableARPHost    = 0x020000d0
	tableNDHost     = 0x020000d1
	tableGateway4   = 0x020000d2
	tableGateway6   = 0x020000d3
	tableGatewayMAC = 0x020000d4

	tableGatewayTarget = 0x020000d5

	tableNoFlood = 0x02000061
	tableSource4 = 0x020000e0
	tableSource6 = 0x020000e1
	tableSnooped = 0x020000e2

	profileUplinks = 0x11000020
	tableFlows     = 0x02000021
	actionHop      = 0x01000022

	profileNextHops  = 0x110000b2
	tableMultipath   = 0x020000b2
	actionRouteVTEPs = 0x010000b6

	actionBridgePort = 0x01000001
	actionUplink     = 0x01000002
	actionHost       = 0x01000003
	actionTerminate  = 0x01000010
	actionAcceptPeer = 0x01000012
	actionToBridge   = 0x01000014
	actionPath       = 0x01000020
	actionEncap      = 0x01000030
	actionRewrite    = 0x01000032
	actionMember     = 0x01000040
	actionKnown      = 0x01000050
	actionIgnore     = 0x01000051
	actionDiscard    = 0x01000052
	actionToPort     = 0x01000060
	actionToVTEP     = 0x01000061
	actionDrop       = 0x01000062
	actionUntagged   = 0x01000070
	actionTagged     = 0x01000071
	actionReplica    = 0x01000080
	actionCopy       = 0x01000090
	actionDivert     = 0x01000091
	actionToVRF      = 0x01000016
	actionEnter      = 0x010000a0
	actionRouteHost  = 0x010000b0
	actionRouteVTEP  = 0x010000b1
	actionGlean      = 0x010000b2
	actionLocal      = 0x010000b3
	actionRouteDrop  = 0x010000b4
	actionSource     = 0x010000c0
	actionARPReply   = 0x010000d0
	actionNDReply    = 0x010000d2
	actionNDHold     = 0x010000da
	actionForged     = 0x010000d4
	actionForgedMAC  = 0x010000d6

	actionARPReplyExcept = 0x010000d8
	actionNDReplyExcept  = 0x010000d9

	actionGuardedMember = 0x01000042
	actionNoFlood       = 0x01000064
	actionBound         = 0x010000e0
	actionSnoop         = 0x010000e2
)

// CPUPort is where packet-ins leave and packet-outs enter.
const CPUPort = 510

// DropPort is the egress port that drops (mark_to_drop).
const DropPort = 511

// CPUCloneSession is the clone session that punt.copy uses.
const CPUCloneSession = 1

// SampleCloneSession is that of copies of frames that were dropped: without it there are none.
const SampleCloneSession = 2

// LocalInstance is the replica instance that all local ports of a bridge share;
// those of VTEPs start above it.
const LocalInstance = 1
