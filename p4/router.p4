// SPDX-License-Identifier: Apache-2.0
// Routing between the bridges of a VRF, and to and from VTEPs by L3 VNIs
// (RFC 9135, RFC 9136). Ingress chooses the next hop, egress rewrites.
#ifndef P4EVPN_ROUTER
#define P4EVPN_ROUTER

const bit<16> IPV4_LINK_LOCAL = 0xa9fe; // 169.254.0.0/16
const bit<10> LINK_LOCAL = 0x3fa; // fe80::/10

// Whether a frame of a bridge is for the gateway's own MAC, and so to be routed.
control enter_router(inout headers_t hdr,
                     inout metadata_t meta,
                     inout standard_metadata_t standard_metadata) {
    @brief("Frames for this MAC are routed in the VRF")
    @name(".router.enter") @id(0x010000a0)
    action enter(vrf_t vrf) {
        meta.vrf = vrf;
        meta.routed = 1;
    }

    @name(".router.bridge") @id(0x010000a1)
    action bridge() { }

    @brief("MACs of the gateway in each bridge: an SVI's, and the anycast one")
    @name(".router.mac") @id(0x020000a0)
    table own_mac {
        key = {
            meta.bridge: exact @name("bridge");
            meta.destination: exact @name("mac");
        }
        actions = { enter; @defaultonly bridge; }
        const default_action = bridge;
        size = 8192;
    }

    apply { own_mac.apply(); }
}

// The VRF's longest match. It leaves a next hop that bridging goes on with, a
// VTEP, or a reason to drop or punt.
control route_packet(inout headers_t hdr,
                     inout metadata_t meta,
                     inout standard_metadata_t standard_metadata) {
    @brief("The next hop is a host of an attached subnet: on through the bridge's FDB")
    @name(".router.to_host") @id(0x010000b0)
    action to_host(bridge_t bridge, mac_t mac) {
        meta.bridge = bridge;
        meta.destination = mac;
    }

    @brief("The next hop is a VTEP's router, by an L3 VNI (symmetric IRB)")
    @name(".router.to_vtep") @id(0x010000b1)
    action to_vtep(vtep_t vtep, vni_t vni, mac_t source, mac_t destination) {
        meta.bridge = 0;
        meta.vtep = vtep;
        meta.vni = vni;
        meta.source = source;
        meta.destination = destination;
    }

#ifndef P4EVPN_NO_SELECTORS
    @brief("The next hops are routers of several VTEPs: each flow takes one of the group")
    @name(".router.to_vteps") @id(0x010000b6)
    action to_vteps(next_hops_t group) { meta.next_hops = group; }
#endif

    @brief("The host of an attached subnet is unknown: the controller finds it")
    @name(".router.glean") @id(0x010000b2)
    action glean() { meta.punt_reason = PUNT_GLEAN; }

    @brief("The address is the gateway's own")
    @name(".router.local") @id(0x010000b3)
    action local() { meta.punt_reason = PUNT_LOCAL; }

    @brief("Packets to the prefix are dropped")
    @name(".router.drop") @id(0x010000b4)
    action drop() { meta.drop_reason = DROP_ROUTE; }

    @brief("There is no route")
    @name(".router.unreachable") @id(0x010000b5)
    action unreachable() { meta.drop_reason = DROP_NO_ROUTE; }

    @brief("IPv4 routes of the VRFs")
    @name(".router.ipv4") @id(0x020000b0)
    table ipv4 {
        key = {
            meta.vrf: exact @name("vrf");
            meta.ipv4: lpm @name("destination");
        }
        actions = {
            to_host;
            to_vtep;
#ifndef P4EVPN_NO_SELECTORS
            to_vteps;
#endif
            glean;
            local;
            drop;
            @defaultonly unreachable;
        }
        const default_action = unreachable;
        size = 262144;
    }

    @brief("IPv6 routes of the VRFs")
    @name(".router.ipv6") @id(0x020000b1)
    table ipv6 {
        key = {
            meta.vrf: exact @name("vrf");
            meta.ipv6: lpm @name("destination");
        }
        actions = {
            to_host;
            to_vtep;
#ifndef P4EVPN_NO_SELECTORS
            to_vteps;
#endif
            glean;
            local;
            drop;
            @defaultonly unreachable;
        }
        const default_action = unreachable;
        size = 262144;
    }

#ifndef P4EVPN_NO_SELECTORS
    @brief("What flows choose among; a group has each VTEP several times, so that its flows stay when another one goes")
    @name(".router.next_hops") @id(0x110000b2)
    @max_group_size(64)
    action_selector(HashAlgorithm.identity, 131072, 8) next_hops;

    @brief("The next hops of routes that have several")
    @name(".router.multipath") @id(0x020000b2)
    table multipath {
        key = {
            meta.next_hops: exact @name("group");
            meta.next_hop_hash: selector;
        }
        actions = { to_vtep; }
        implementation = next_hops;
        size = 2048;
    }

    // A group without members.
    action lead_nowhere() { meta.drop_reason = DROP_NO_PATH; }
#endif

    // A packet to the gateway itself may arrive with TTL 1, and one of the
    // controller's leave with it.
    action expire() { meta.punt_reason = PUNT_TTL; }

    // What may not cross a router: RFC 1812 section 5.3.7, RFC 6890.
    action martian() { meta.drop_reason = DROP_MARTIAN; }

    // A redirect is of the host's own subnet (RFC 792): from behind a router it
    // is none of the gateway that it names.
    action rogue_router() { meta.drop_reason = DROP_ROGUE_ROUTER; }

    bit<8> ttl = 0;
    bit<1> known = 0;

    apply {
        if (meta.ether_type == ETHERTYPE_IPV4) {
            bit<4> version = 0;
            bit<4> ihl = 0;
            bit<16> total_length = 0;
            ipv4_addr_t source = 0;
            bit<8> protocol = 0;
            if (meta.terminated == 1 && hdr.inner_ipv4.isValid()) {
                known = 1;
                version = hdr.inner_ipv4.version;
                ihl = hdr.inner_ipv4.ihl;
                total_length = hdr.inner_ipv4.total_length;
                ttl = hdr.inner_ipv4.ttl;
                source = hdr.inner_ipv4.source;
                protocol = hdr.inner_ipv4.protocol;
                meta.ipv4 = hdr.inner_ipv4.destination;
            } else if (meta.terminated == 0 && hdr.ipv4.isValid()) {
                known = 1;
                version = hdr.ipv4.version;
                ihl = hdr.ipv4.ihl;
                total_length = hdr.ipv4.total_length;
                ttl = hdr.ipv4.ttl;
                source = hdr.ipv4.source;
                protocol = hdr.ipv4.protocol;
                meta.ipv4 = hdr.ipv4.destination;
            }
            if (known == 0 || version != 4 || ihl < 5 || total_length < IPV4_LEN ||
                total_length > meta.length - ETHERNET_LEN) {
                meta.drop_reason = DROP_BAD_IP;
            } else if (ihl != 5) {
                meta.drop_reason = DROP_IP_OPTIONS;
            } else if (source[31:24] == 127 || source[31:24] == 0 || source[31:29] == 7 ||
                       meta.ipv4[31:24] == 127 || meta.ipv4[31:24] == 0 || meta.ipv4[31:29] == 7) {
                martian();
            } else if (protocol == PROTOCOL_ICMP && meta.icmp_type == ICMP_REDIRECT && meta.ingress_port != CPU_PORT) {
                rogue_router();
            } else {
                ipv4.apply();
                // RFC 3927 section 7: it goes no further than a gateway that has
                // such an address itself.
                if ((source[31:16] == IPV4_LINK_LOCAL || meta.ipv4[31:16] == IPV4_LINK_LOCAL) &&
                    (meta.in_bridge == 0 || meta.punt_reason != PUNT_LOCAL)) {
                    martian();
                }
            }
        } else if (meta.ether_type == ETHERTYPE_IPV6) {
            bit<4> version = 0;
            bit<16> payload_length = 0;
            bit<128> source = 0;
            if (meta.terminated == 1 && hdr.inner_ipv6.isValid()) {
                known = 1;
                version = hdr.inner_ipv6.version;
                payload_length = hdr.inner_ipv6.payload_length;
                ttl = hdr.inner_ipv6.hop_limit;
                source = hdr.inner_ipv6.source;
                meta.ipv6 = hdr.inner_ipv6.destination;
            } else if (meta.terminated == 0 && hdr.ipv6.isValid()) {
                known = 1;
                version = hdr.ipv6.version;
                payload_length = hdr.ipv6.payload_length;
                ttl = hdr.ipv6.hop_limit;
                source = hdr.ipv6.source;
                meta.ipv6 = hdr.ipv6.destination;
            }
            if (known == 0 || version != 6 || payload_length > meta.length - ETHERNET_LEN - IPV6_LEN) {
                meta.drop_reason = DROP_BAD_IP;
            } else if (source[127:120] == 0xff || meta.ipv6[127:120] == 0xff ||
                       source[127:1] == 0 || meta.ipv6[127:1] == 0 ||
                       source[127:32] == 0xffff || meta.ipv6[127:32] == 0xffff) {
                martian();
            } else if (meta.ipv6[127:118] == LINK_LOCAL) {
                // It goes no further than the gateway.
                if (meta.in_bridge != 0) {
                    local();
                } else {
                    martian();
                }
            } else {
                ipv6.apply();
                if (source[127:118] == LINK_LOCAL &&
                    (meta.in_bridge == 0 || meta.punt_reason != PUNT_LOCAL)) {
                    martian();
                }
            }
        } else {
            // ARP and whatever else speaks to the gateway's MAC.
            local();
        }
        if (meta.drop_reason == DROP_NONE && meta.punt_reason == 0) {
            if (ttl <= 1 && meta.ingress_port != CPU_PORT) {
                expire();
            } else {
                meta.origin = ORIGIN_ROUTED;
#ifndef P4EVPN_NO_SELECTORS
                if (meta.next_hops != 0) {
                    multipath.apply();
                    if (meta.vtep == 0) {
                        lead_nowhere();
                    }
                }
#endif
            }
        }
    }
}

// Rewrites a routed packet in egress: MAC addresses, TTL. What the controller
// sends was routed by Linux already, or is its own: its TTL stays, so that the
// gateway is one hop.
control rewrite_routed(inout headers_t hdr,
                       inout metadata_t meta,
                       inout standard_metadata_t standard_metadata) {
    @brief("The gateway's MAC in the bridge")
    @name(".router.source") @id(0x010000c0)
    action source(mac_t mac) { hdr.ethernet.source = mac; }

    @name(".router.no_interface") @id(0x010000c1)
    action no_interface() { meta.drop_reason = DROP_NO_INTERFACE; }

    @brief("Source MAC of what is routed into a bridge")
    @name(".router.interface") @id(0x020000c0)
    table interface {
        key = { meta.bridge: exact @name("bridge"); }
        actions = { source; @defaultonly no_interface; }
        const default_action = no_interface;
        size = 4096;
    }

    apply {
        hdr.ethernet.destination = meta.destination;
        if (meta.bridge != 0) {
            interface.apply();
        } else {
            hdr.ethernet.source = meta.source;
        }
        if (meta.ingress_port == CPU_PORT) {
            // Its TTL stays.
        } else if (hdr.ipv4.isValid()) {
            hdr.ipv4.ttl = hdr.ipv4.ttl - 1;
            // One less in the upper byte of a word is one more there in the
            // complement. 0xffff becomes 0 (RFC 1624 section 3).
            bit<32> sum = (bit<32>)hdr.ipv4.checksum + 0x100;
            if (sum >= 0xffff) {
                sum = sum + 1;
            }
            hdr.ipv4.checksum = (bit<16>)sum;
        } else if (hdr.ipv6.isValid()) {
            hdr.ipv6.hop_limit = hdr.ipv6.hop_limit - 1;
        }
    }
}

#endif
