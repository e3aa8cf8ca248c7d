// SPDX-License-Identifier: Apache-2.0
// Bridging: membership, source learning, forwarding database (FDB).
#ifndef P4EVPN_BRIDGE
#define P4EVPN_BRIDGE

const mac_t BROADCAST = 0xffffffffffff;

// (port, VLAN) to bridge, for frames of bridge ports.
control classify_bridge(inout headers_t hdr,
                        inout metadata_t meta,
                        inout standard_metadata_t standard_metadata) {
    @brief("The port belongs to the bridge with this VLAN; gateway: the bridge has one that nobody else may claim to be; trusted: routers and DHCP servers are behind the port; stacked: it carries a tag inside the bridge's")
    @name(".bridge.member") @id(0x01000040)
    action member(bridge_t bridge, bit<1> gateway, bit<1> trusted, bit<1> stacked) {
        meta.bridge = bridge;
        meta.gateway = gateway;
        meta.trusted = trusted;
        meta.stacked = stacked;
    }

    @brief("As member, and stations behind the port send from the addresses that are bound to them alone")
    @name(".bridge.guarded_member") @id(0x01000042)
    action guarded_member(bridge_t bridge, bit<1> gateway, bit<1> trusted, bit<1> stacked) {
        member(bridge, gateway, trusted, stacked);
        meta.guarded = 1;
    }

    @name(".bridge.not_member") @id(0x01000041)
    action not_member() { meta.drop_reason = DROP_NOT_MEMBER; }

    @brief("Which bridge a frame of a port and VLAN is for; VLAN 0 is untagged or priority-tagged")
    @name(".bridge.vlan") @id(0x02000040)
    table vlan {
        key = {
            standard_metadata.ingress_port: exact @name("ingress_port");
            meta.vlan_id: exact @name("vlan_id");
        }
        actions = { member; guarded_member; @defaultonly not_member; }
        const default_action = not_member;
        size = 65536;
    }

    apply {
        if (hdr.vlan.isValid()) {
            meta.tagged = 1;
            meta.vlan_id = hdr.vlan.vlan_id;
        }
        // A tag of VLAN 0 inside the bridge's is no customer's VLAN: hosts take
        // such a frame as the bridge's own, whatever it carries.
        if (vlan.apply().hit && meta.inner_tag == 1 && (meta.stacked == 0 || meta.inner_vlan == 0)) {
            meta.drop_reason = DROP_STACKED_TAGS;
        }
    }
}

// Learns and ages source MACs of bridge ports. The entry's key holds the port,
// so that a MAC that moves is reported again.
control learn_source(inout headers_t hdr,
                     inout metadata_t meta,
                     inout standard_metadata_t standard_metadata) {
    @brief("The source is known at this port")
    @name(".bridge.known") @id(0x01000050)
    action known() { }

    @brief("The source is declined: forward its frames, report it no more")
    @name(".bridge.ignore") @id(0x01000051)
    action ignore() { }

    @brief("The source is declined: drop its frames")
    @name(".bridge.discard") @id(0x01000052)
    action discard() { meta.drop_reason = DROP_DECLINED_SOURCE; }

    @brief("The source is new here: report it by digest")
    @name(".bridge.learn") @id(0x01000053)
    action learn() {
        digest<learn_t>(1, { meta.bridge, meta.source, (bit<16>)standard_metadata.ingress_port });
    }

    @brief("Source MACs of bridge ports; entries age")
    @name(".bridge.source") @id(0x02000050)
    table source {
        key = {
            meta.bridge: exact @name("bridge");
            meta.source: exact @name("mac");
            standard_metadata.ingress_port: exact @name("ingress_port");
        }
        actions = { known; ignore; discard; @defaultonly learn; }
        const default_action = learn;
        size = 262144;
        support_timeout = true;
    }

    @name(".gateway.forged_mac") @id(0x010000d6)
    action forged_mac() { meta.drop_reason = DROP_FORGED_GATEWAY; }

    @name(".gateway.other_mac") @id(0x010000d7)
    action other_mac() { }

    @brief("The gateway's MACs in each bridge: no tenant has them")
    @name(".gateway.mac") @id(0x020000d4)
    table gateway_mac {
        key = {
            meta.bridge: exact @name("bridge");
            meta.source: exact @name("mac");
        }
        actions = { forged_mac; @defaultonly other_mac; }
        const default_action = other_mac;
        size = 8192;
    }

    apply {
        // What has an entry is no gateway's.
        if (!source.apply().hit && meta.gateway == 1) {
            gateway_mac.apply();
        }
    }
}

// Decides where a frame of a bridge goes, and finds the path of what goes to a
// VTEP, which routing may have decided already.
control forward(inout headers_t hdr,
                inout metadata_t meta,
                inout standard_metadata_t standard_metadata) {
    @brief("The MAC is behind a bridge port")
    @name(".bridge.to_port") @id(0x01000060)
    action to_port(port_t port) { standard_metadata.egress_spec = port; }

    @brief("The MAC is behind a VTEP, which asked for this VNI")
    @name(".bridge.to_vtep") @id(0x01000061)
    action to_vtep(vtep_t vtep, vni_t vni) {
        meta.vtep = vtep;
        meta.vni = vni;
    }

    @brief("Frames to this MAC are dropped")
    @name(".bridge.drop") @id(0x01000062)
    action drop() { meta.drop_reason = DROP_FDB; }

    @brief("The MAC is unknown: to the multicast group of the bridge")
    @name(".bridge.flood") @id(0x01000063)
    action flood() { standard_metadata.mcast_grp = meta.bridge; }

    @brief("The forwarding database: where each MAC of a bridge is")
    @name(".bridge.fdb") @id(0x02000060)
    table fdb {
        key = {
            meta.bridge: exact @name("bridge");
            meta.destination: exact @name("mac");
        }
        actions = { to_port; to_vtep; drop; @defaultonly flood; }
        const default_action = flood;
        size = 262144;
    }

    @brief("The bridge does not flood frames to unknown stations")
    @name(".bridge.no_flood") @id(0x01000064)
    action no_flood() { meta.drop_reason = DROP_UNKNOWN_STATION; }

    @name(".bridge.may_flood") @id(0x01000065)
    action may_flood() { }

    @brief("Bridges that do not flood frames to unknown stations")
    @name(".bridge.unknown") @id(0x02000061)
    table unknown {
        key = { meta.bridge: exact @name("bridge"); }
        actions = { no_flood; @defaultonly may_flood; }
        const default_action = may_flood;
        size = 4096;
    }

    @brief("What a port has flooded, by port and 1 broadcast, 2 multicast, 3 to unknown stations")
    @name(".storm_rate") @id(0x14000005)
    meter(2048, MeterType.packets) storm_rate;

    choose_path() path;

    bit<2> colour;

    // Cells of uplinks and of the CPU port are never configured.
    action police(bit<2> kind) {
        storm_rate.execute_meter((bit<32>)(meta.ingress_port ++ kind), colour);
    }

    apply {
        if (meta.vtep == 0) {
            if (meta.destination[47:4] == 44w0x0180c200000) {
                // IEEE 802.1Q table 8-1: a bridge never relays these.
                meta.drop_reason = DROP_RESERVED_GROUP;
            } else if (meta.destination[40:40] == 1) {
                flood();
                if (meta.destination == BROADCAST) {
                    police(DROP_STORM_BROADCAST[1:0]);
                    if (colour == 2) {
                        meta.drop_reason = DROP_STORM_BROADCAST;
                    }
                } else {
                    police(DROP_STORM_MULTICAST[1:0]);
                    if (colour == 2) {
                        meta.drop_reason = DROP_STORM_MULTICAST;
                    }
                }
            } else if (fdb.apply().hit) {
                if (meta.vtep == 0 && meta.origin == ORIGIN_BRIDGE &&
                    standard_metadata.egress_spec == standard_metadata.ingress_port) {
                    meta.drop_reason = DROP_HAIRPIN;
                } else if (meta.vtep != 0 && (meta.origin == ORIGIN_VXLAN || meta.local_only == 1)) {
                    meta.drop_reason = DROP_SPLIT_HORIZON;
                }
            } else if (!unknown.apply().hit) {
                police(DROP_STORM_UNKNOWN[1:0]);
                if (colour == 2) {
                    meta.drop_reason = DROP_STORM_UNKNOWN;
                }
            }
        }
        if (meta.vtep != 0 && meta.drop_reason == DROP_NONE) {
            path.apply(hdr, meta, standard_metadata);
        }
    }
}

// Gives a frame the form that its bridge port wants: untagged or tagged.
control tag_frame(inout headers_t hdr,
                  inout metadata_t meta,
                  inout standard_metadata_t standard_metadata) {
    bit<1> carries = 0;

    @brief("The port takes the bridge's frames untagged")
    @name(".bridge.untagged") @id(0x01000070)
    action untagged() { }

    @brief("The port takes the bridge's frames with this VLAN tag; stacked: also those with a tag of their own")
    @name(".bridge.tagged") @id(0x01000071)
    action tagged(vlan_id_t vlan_id, bit<1> stacked) {
        carries = stacked;
        hdr.pushed_vlan.setValid();
        hdr.pushed_vlan.pcp = 0;
        hdr.pushed_vlan.dei = 0;
        hdr.pushed_vlan.vlan_id = vlan_id;
        hdr.pushed_vlan.ether_type = hdr.ethernet.ether_type;
        hdr.ethernet.ether_type = ETHERTYPE_VLAN;
    }

    @name(".bridge.no_egress_member") @id(0x01000072)
    action no_egress_member() { meta.drop_reason = DROP_NOT_MEMBER; }

    @brief("How a bridge's frames leave by a port")
    @name(".bridge.egress_vlan") @id(0x02000070)
    table egress_vlan {
        key = {
            standard_metadata.egress_port: exact @name("egress_port");
            meta.bridge: exact @name("bridge");
        }
        actions = { untagged; tagged; @defaultonly no_egress_member; }
        const default_action = no_egress_member;
        size = 65536;
    }

    apply {
        if (egress_vlan.apply().hit && meta.inner_tag == 1 && carries == 0) {
            meta.drop_reason = DROP_STACKED_TAGS;
        }
    }
}

#endif
