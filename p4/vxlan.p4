// SPDX-License-Identifier: Apache-2.0
// VXLAN (RFC 7348) over an IPv4 underlay: termination in ingress, encapsulation
// in egress.
#ifndef P4EVPN_VXLAN
#define P4EVPN_VXLAN

// Decides whether a frame of an uplink ends here. Ingress only decides: the
// outer headers are taken off in egress, so that a punt carries them still.
control terminate_vxlan(inout headers_t hdr,
                        inout metadata_t meta,
                        inout standard_metadata_t standard_metadata) {
    @brief("Tenant frames that arrived by VXLAN, by bridge id")
    @name(".bridge_vxlan_in") @id(0x12000002)
    counter(4096, CounterType.packets_and_bytes) bridge_vxlan_in;

    @brief("Packets that arrived by an L3 VNI, by VRF id")
    @name(".vrf_vxlan_in") @id(0x12000008)
    counter(4096, CounterType.packets_and_bytes) vrf_vxlan_in;

    @brief("Frames that arrived from each known VTEP")
    @name(".vxlan.peer_in") @id(0x13000001)
    direct_counter(CounterType.packets_and_bytes) peer_in;

    @brief("One of our VTEP addresses: VXLAN to it ends here")
    @name(".vxlan.terminate") @id(0x01000010)
    action terminate() {
        meta.origin = ORIGIN_VXLAN;
        meta.terminated = 1;
    }

    @name(".vxlan.pass") @id(0x01000011)
    action pass() { }

    @brief("Our own VTEP addresses")
    @name(".vxlan.local") @id(0x02000010)
    table local {
        key = { hdr.ipv4.destination: exact @name("destination"); }
        actions = { terminate; @defaultonly pass; }
        const default_action = pass;
        size = 1024;
    }

    @brief("A VTEP that may send to us")
    @name(".vxlan.accept") @id(0x01000012)
    action accept_peer() { peer_in.count(); }

    @name(".vxlan.unknown_vtep") @id(0x01000013)
    action unknown_vtep() { meta.drop_reason = DROP_UNKNOWN_VTEP; }

    @brief("VTEPs that may send to us; the zero-length prefix lets in all")
    @name(".vxlan.peer") @id(0x02000011)
    table peer {
        key = { hdr.ipv4.source: lpm @name("source"); }
        actions = { accept_peer; @defaultonly unknown_vtep; }
        const default_action = unknown_vtep;
        counters = peer_in;
        size = 65536;
    }

    @brief("The VNI is a bridge's")
    @name(".vxlan.to_bridge") @id(0x01000014)
    action to_bridge(bridge_t bridge) { meta.bridge = bridge; }

    @brief("The VNI is a VRF's; frames are for router_mac")
    @name(".vxlan.to_vrf") @id(0x01000016)
    action to_vrf(vrf_t vrf, mac_t router_mac) {
        meta.vrf = vrf;
        meta.routed = 1;
        meta.router_mac = router_mac;
    }

    @name(".vxlan.unknown_vni") @id(0x01000015)
    action unknown_vni() { meta.drop_reason = DROP_UNKNOWN_VNI; }

    @brief("What a VNI at one of our VTEP addresses stands for")
    @name(".vxlan.vni") @id(0x02000012)
    table vni {
        key = {
            hdr.ipv4.destination: exact @name("destination");
            hdr.vxlan.vni: exact @name("vni");
        }
        actions = { to_bridge; to_vrf; @defaultonly unknown_vni; }
        const default_action = unknown_vni;
        size = 8192;
    }

    apply {
        standard_metadata.egress_spec = meta.host_port;
        if (hdr.udp.isValid() && hdr.udp.destination == UDP_PORT_VXLAN &&
            hdr.ipv4.isValid() && !hdr.vlan.isValid()) {
            local.apply();
        }
        if (meta.origin == ORIGIN_VXLAN) {
            if (!hdr.inner_ethernet.isValid() || (hdr.vxlan.flags & 0x08) == 0) {
                meta.drop_reason = DROP_BAD_VXLAN;
            } else if (standard_metadata.checksum_error == 1) {
                meta.drop_reason = DROP_BAD_CHECKSUM;
            } else if (peer.apply().hit) {
                if (vni.apply().hit) {
                    if (hdr.inner_ethernet.ether_type == ETHERTYPE_VLAN ||
                        hdr.inner_ethernet.ether_type == ETHERTYPE_SVLAN ||
                        hdr.inner_ethernet.ether_type == ETHERTYPE_QINQ1 ||
                        hdr.inner_ethernet.ether_type == ETHERTYPE_QINQ2 ||
                        hdr.inner_ethernet.ether_type == ETHERTYPE_QINQ3) {
                        // RFC 7348 section 6.1.
                        meta.drop_reason = DROP_INNER_VLAN;
                    } else if (meta.bridge != 0) {
                        bridge_vxlan_in.count((bit<32>)meta.bridge);
                    } else if (hdr.inner_ethernet.destination != meta.router_mac) {
                        meta.drop_reason = DROP_WRONG_ROUTER_MAC;
                    } else {
                        vrf_vxlan_in.count((bit<32>)meta.vrf);
                    }
                }
            }
        }
    }
}

// Chooses the uplink towards meta.vtep, for each flow one of those that lead there.
control choose_path(inout headers_t hdr,
                    inout metadata_t meta,
                    inout standard_metadata_t standard_metadata) {
    @brief("The uplink towards the VTEP, and the largest tenant frame that fits, in bytes")
    @name(".underlay.uplink") @id(0x01000020)
    action uplink(port_t port, bit<16> mtu) {
        standard_metadata.egress_spec = port;
        meta.mtu = mtu;
    }

    @name(".underlay.no_path") @id(0x01000021)
    action no_path() { meta.drop_reason = DROP_NO_PATH; }

    @brief("By which uplink each VTEP is reached that one leads to")
    @name(".underlay.path") @id(0x02000020)
    table path {
        key = { meta.vtep: exact @name("vtep"); }
        actions = { uplink; @defaultonly no_path; }
        const default_action = no_path;
        size = 65536;
    }

#ifndef P4EVPN_NO_SELECTORS
    @brief("An uplink, its neighbour that leads to the VTEP, and the largest tenant frame that fits, in bytes")
    @name(".underlay.hop") @id(0x01000022)
    action hop(port_t port, adjacency_t adjacency, bit<16> mtu) {
        standard_metadata.egress_spec = port;
        meta.adjacency = adjacency;
        meta.mtu = mtu;
    }

    @brief("What flows choose among; a group has each uplink several times, so that its flows stay when another one goes")
    @name(".underlay.uplinks") @id(0x11000020)
    @max_group_size(64)
    action_selector(HashAlgorithm.identity, 131072, 8) uplinks;

    @brief("By which uplinks each VTEP is reached that several lead to")
    @name(".underlay.flows") @id(0x02000021)
    table flows {
        key = {
            meta.vtep: exact @name("vtep");
            meta.uplink_hash: selector;
        }
        actions = { hop; }
        implementation = uplinks;
        size = 65536;
    }
#endif

    apply {
#ifndef P4EVPN_NO_SELECTORS
        flows.apply();
#endif
        // A group without members leaves none either.
        if (meta.adjacency == 0) {
            path.apply();
        }
        if (meta.drop_reason == DROP_NONE && meta.length > meta.mtu) {
            if (meta.routed == 1) {
                meta.punt_reason = PUNT_MTU;
            } else {
                meta.drop_reason = DROP_MTU;
            }
        }
    }
}

// What tells flows apart, and the DSCP that is carried over. The outer UDP source port and
// the choices of a path each have bits of the hash of their own, so that none of them says
// anything of the others.
control hash_flow(in headers_t hdr, inout metadata_t meta) {
    bit<16> source_port = 0;
    bit<16> destination_port = 0;
    apply {
        if (meta.terminated == 1) {
            if (hdr.inner_ports.isValid()) {
                source_port = hdr.inner_ports.source;
                destination_port = hdr.inner_ports.destination;
            }
        } else if (hdr.tcp.isValid()) {
            source_port = hdr.tcp.source;
            destination_port = hdr.tcp.destination;
        } else if (hdr.udp.isValid()) {
            source_port = hdr.udp.source;
            destination_port = hdr.udp.destination;
        }
        if (meta.terminated == 1 && hdr.inner_ipv4.isValid()) {
            meta.dscp = hdr.inner_ipv4.dscp;
            hash(meta.flow, HashAlgorithm.crc32, 32w0,
                 { hdr.inner_ipv4.source, hdr.inner_ipv4.destination, hdr.inner_ipv4.protocol,
                   source_port, destination_port }, FLOWS);
        } else if (meta.terminated == 1 && hdr.inner_ipv6.isValid()) {
            meta.dscp = hdr.inner_ipv6.dscp;
            hash(meta.flow, HashAlgorithm.crc32, 32w0,
                 { hdr.inner_ipv6.source, hdr.inner_ipv6.destination, hdr.inner_ipv6.next_header,
                   source_port, destination_port }, FLOWS);
        } else if (meta.terminated == 0 && hdr.ipv4.isValid()) {
            meta.dscp = hdr.ipv4.dscp;
            hash(meta.flow, HashAlgorithm.crc32, 32w0,
                 { meta.destination, meta.source, hdr.ipv4.source, hdr.ipv4.destination,
                   hdr.ipv4.protocol, source_port, destination_port }, FLOWS);
        } else if (meta.terminated == 0 && hdr.ipv6.isValid()) {
            meta.dscp = hdr.ipv6.dscp;
            hash(meta.flow, HashAlgorithm.crc32, 32w0,
                 { meta.destination, meta.source, hdr.ipv6.source, hdr.ipv6.destination,
                   hdr.ipv6.next_header, source_port, destination_port }, FLOWS);
        } else {
            hash(meta.flow, HashAlgorithm.crc32, 32w0,
                 { meta.destination, meta.source, meta.ether_type }, FLOWS);
        }
        meta.uplink_hash = meta.flow[21:14];
        meta.next_hop_hash = meta.flow[29:22];
    }
}

control encapsulate(inout headers_t hdr,
                    inout metadata_t meta,
                    inout standard_metadata_t standard_metadata) {
    @brief("Tenant frames that left by VXLAN, by bridge id")
    @name(".bridge_vxlan_out") @id(0x12000003)
    counter(4096, CounterType.packets_and_bytes) bridge_vxlan_out;

    @brief("Packets that left by an L3 VNI, by VRF id")
    @name(".vrf_vxlan_out") @id(0x12000009)
    counter(4096, CounterType.packets_and_bytes) vrf_vxlan_out;

    @brief("Frames that left towards each VTEP")
    @name(".vxlan.tunnel_out") @id(0x13000002)
    direct_counter(CounterType.packets_and_bytes) tunnel_out;

    // Where ingress chose none: of the VTEP's one path, and of replicas.
    adjacency_t only_adjacency = 0;
    bit<16> only_mtu = 0;

    @brief("The outer addresses; of replicas, and where one path leads to the VTEP, the underlay hop to send to, the largest tenant frame that fits")
    @name(".vxlan.encap") @id(0x01000030)
    action encap(ipv4_addr_t source, ipv4_addr_t destination, adjacency_t adjacency, bit<16> mtu) {
        tunnel_out.count();
        only_adjacency = adjacency;
        only_mtu = mtu;
        hdr.encap_ethernet.setValid();
        hdr.encap_ethernet.ether_type = ETHERTYPE_IPV4;
        hdr.encap_ipv4.setValid();
        hdr.encap_ipv4.version = 4;
        hdr.encap_ipv4.ihl = 5;
        hdr.encap_ipv4.dscp = meta.dscp;
        // RFC 6040 section 4.1, compatibility mode: termination does not look
        // at the outer ECN field.
        hdr.encap_ipv4.ecn = 0;
        hdr.encap_ipv4.total_length = meta.length + IPV4_ENCAP_LEN;
        hdr.encap_ipv4.identification = 0;
        hdr.encap_ipv4.flags = 2; // do not fragment: RFC 7348 section 4.3
        hdr.encap_ipv4.fragment_offset = 0;
        hdr.encap_ipv4.ttl = 64;
        hdr.encap_ipv4.protocol = PROTOCOL_UDP;
        hdr.encap_ipv4.checksum = 0;
        hdr.encap_ipv4.source = source;
        hdr.encap_ipv4.destination = destination;
        hdr.encap_udp.setValid();
        hdr.encap_udp.source = 2w3 ++ meta.flow[13:0]; // RFC 7348 section 5
        hdr.encap_udp.destination = UDP_PORT_VXLAN;
        hdr.encap_udp.length = meta.length + UDP_ENCAP_LEN;
        hdr.encap_udp.checksum = 0;
        hdr.encap_vxlan.setValid();
        hdr.encap_vxlan.flags = 0x08;
        hdr.encap_vxlan.reserved = 0;
        hdr.encap_vxlan.vni = meta.vni;
        hdr.encap_vxlan.reserved2 = 0;
    }

    @name(".vxlan.no_tunnel") @id(0x01000031)
    action no_tunnel() { meta.drop_reason = DROP_NO_TUNNEL; }

    @brief("The tunnel to each VTEP")
    @name(".vxlan.tunnel") @id(0x02000030)
    table tunnel {
        key = { meta.vtep: exact @name("vtep"); }
        actions = { encap; @defaultonly no_tunnel; }
        const default_action = no_tunnel;
        counters = tunnel_out;
        size = 65536;
    }

    @brief("The outer MAC addresses")
    @name(".underlay.rewrite") @id(0x01000032)
    action rewrite(mac_t source, mac_t destination) {
        hdr.encap_ethernet.source = source;
        hdr.encap_ethernet.destination = destination;
    }

    @name(".underlay.no_adjacency") @id(0x01000033)
    action no_adjacency() { meta.drop_reason = DROP_NO_ADJACENCY; }

    @brief("Neighbours of the uplinks")
    @name(".underlay.adjacency") @id(0x02000031)
    table adjacency {
        key = { meta.adjacency: exact @name("adjacency"); }
        actions = { rewrite; @defaultonly no_adjacency; }
        const default_action = no_adjacency;
        size = 4096;
    }

    apply {
        if (tunnel.apply().hit) {
            if (meta.adjacency == 0) {
                meta.adjacency = only_adjacency;
                meta.mtu = only_mtu;
            }
            if (meta.length > meta.mtu) {
                meta.drop_reason = DROP_MTU; // a replica: ingress saw the rest
            } else if (adjacency.apply().hit) {
                if (meta.bridge != 0) {
                    bridge_vxlan_out.count((bit<32>)meta.bridge);
                } else {
                    vrf_vxlan_out.count((bit<32>)meta.vrf);
                }
            }
        }
    }
}

#endif
