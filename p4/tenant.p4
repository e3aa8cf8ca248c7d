// SPDX-License-Identifier: Apache-2.0
// The tenant's frame: where it is in what arrived, what becomes of it, and how
// it is freed of what it came in.
#ifndef P4EVPN_TENANT
#define P4EVPN_TENANT

// Looks at the tenant's frame through the headers that it came in.
control view_tenant(inout headers_t hdr,
                    inout metadata_t meta,
                    inout standard_metadata_t standard_metadata) {
    action view_frame() {
        meta.destination = hdr.ethernet.destination;
        meta.source = hdr.ethernet.source;
        meta.ether_type = hdr.ethernet.ether_type;
        meta.length = (bit<16>)standard_metadata.packet_length;
    }
    action view_injected_frame() {
        view_frame();
        meta.length = meta.length - PACKET_OUT_LEN;
    }
    action view_tagged_frame() {
        view_frame();
        meta.ether_type = hdr.vlan.ether_type;
        meta.length = meta.length - VLAN_LEN;
    }
    action view_inner_frame() {
        meta.destination = hdr.inner_ethernet.destination;
        meta.source = hdr.inner_ethernet.source;
        meta.ether_type = hdr.inner_ethernet.ether_type;
        meta.length = (bit<16>)standard_metadata.packet_length - VXLAN_ENCAP_LEN;
    }

    apply {
        if (meta.terminated == 1) {
            view_inner_frame();
        } else if (meta.tagged == 1) {
            view_tagged_frame();
        } else if (meta.origin == ORIGIN_CPU) {
            view_injected_frame();
        } else {
            view_frame();
        }
        // What a tenant encapsulated itself is payload.
        if (meta.terminated == 1 || !hdr.vxlan.isValid()) {
            if (hdr.arp.isValid()) {
                meta.arp = 1;
            } else if (hdr.icmpv6.isValid()) {
                meta.icmpv6 = 1;
                meta.icmpv6_type = hdr.icmpv6.type;
            }
        }
    }
}

// What becomes of the frame: judge its source, learn, trap, answer, guard, route,
// bridge, in this order.
control decide(inout headers_t hdr,
               inout metadata_t meta,
               inout standard_metadata_t standard_metadata) {
    @brief("Packets routed and sent on, by VRF id")
    @name(".vrf_routed") @id(0x12000007)
    counter(4096, CounterType.packets_and_bytes) vrf_routed;

    guard_source() source;
    learn_source() sources;
    trap_frame() traps;
    guard_gateway() guard;
    answer_request() answers;
    enter_router() router;
    route_packet() routes;
    forward() forwarding;
    hash_flow() flow;

    apply {
        if (meta.routed == 1 && meta.origin == ORIGIN_CPU) {
            // The controller's packet: its MAC addresses do not matter.
        } else if (meta.source[40:40] == 1 || meta.source == 0) {
            meta.drop_reason = DROP_BAD_SOURCE;
        } else if (meta.origin == ORIGIN_BRIDGE) {
            if (meta.guarded == 1) {
                source.apply(hdr, meta, standard_metadata);
            }
            // From what is spoofed nothing is learned.
            if (meta.drop_reason == DROP_NONE) {
                sources.apply(hdr, meta, standard_metadata);
            }
        }
        if (meta.drop_reason == DROP_NONE && meta.bridge != 0) {
            traps.apply(hdr, meta, standard_metadata);
            if (meta.punt_reason == 0) {
                router.apply(hdr, meta, standard_metadata);
                if (meta.origin != ORIGIN_CPU && (meta.arp == 1 || meta.icmpv6 == 1)) {
                    answers.apply(hdr, meta, standard_metadata);
                }
                if (meta.origin == ORIGIN_BRIDGE && meta.gateway == 1) {
                    guard.apply(hdr, meta);
                }
            }
        }
        if (meta.drop_reason == DROP_NONE && meta.punt_reason == 0 &&
            (meta.reply == 0 || meta.origin == ORIGIN_ROUTED)) {
            flow.apply(hdr, meta);
            if (meta.routed == 1) {
                routes.apply(hdr, meta, standard_metadata);
            }
            if (meta.drop_reason == DROP_NONE && meta.punt_reason == 0) {
                forwarding.apply(hdr, meta, standard_metadata);
                if (meta.routed == 1 && meta.drop_reason == DROP_NONE && meta.punt_reason == 0) {
                    vrf_routed.count((bit<32>)meta.vrf);
                }
            }
        }
    }
}

// Takes off what the frame came in: outer headers, or its tag.
control strip_frame(inout headers_t hdr, inout metadata_t meta) {
    action strip_outer() {
        hdr.ethernet = hdr.inner_ethernet;
        hdr.ipv4 = hdr.inner_ipv4;
        hdr.ipv6 = hdr.inner_ipv6;
        hdr.udp.setInvalid();
        hdr.vxlan.setInvalid();
        hdr.inner_ethernet.setInvalid();
        hdr.inner_ipv4.setInvalid();
        hdr.inner_ipv6.setInvalid();
    }
    action strip_tag() {
        hdr.ethernet.ether_type = hdr.vlan.ether_type;
        hdr.vlan.setInvalid();
    }

    apply {
        if (meta.terminated == 1) {
            strip_outer();
        } else if (meta.tagged == 1) {
            strip_tag();
        }
    }
}

#endif
