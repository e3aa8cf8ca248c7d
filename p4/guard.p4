// SPDX-License-Identifier: Apache-2.0
// What no tenant may say where the bridge has a gateway: that it is the gateway,
// and, behind a port that is not trusted, that it is a router or a DHCP server.
#ifndef P4EVPN_GUARD
#define P4EVPN_GUARD

// Whether neighbour discovery may be behind what is not looked through. Extension
// headers are not walked, but it has a hop limit of 255 (RFC 4861 section 7.1).
control look_behind(in headers_t hdr, out bit<1> extended, out bit<1> hides) {
    apply {
        bit<8> next_header = hdr.ipv6.next_header;
        extended = 0;
        hides = 0;
        if (hdr.ipv6_fragment.isValid()) {
            // What a later fragment begins with is no header.
            next_header = PROTOCOL_UDP;
            if (hdr.ipv6_fragment.offset == 0) {
                next_header = hdr.ipv6_fragment.next_header;
            }
        }
        if (next_header == IPV6_HOP_BY_HOP || next_header == IPV6_ROUTING ||
            next_header == IPV6_FRAGMENT || next_header == IPV6_AH ||
            next_header == IPV6_DESTINATION || next_header == IPV6_MOBILITY ||
            next_header == IPV6_HIP || next_header == IPV6_SHIM6) {
            extended = 1;
            if (hdr.ipv6.hop_limit == 255) {
                hides = 1;
            }
        }
    }
}

// Looks for the claim, not for one form of it. What may be a claim and cannot be
// seen to be none is dropped too (RFC 7113 section 3).
control guard_gateway(inout headers_t hdr, inout metadata_t meta) {
    ipv4_addr_t claimed = 0;
    bit<128> target = 0;
    bit<1> asks = 0;
    bit<16> port = 0;
    bit<1> extended = 0;
    bit<1> hides = 0;

    look_behind() behind;

    action rogue_router() { meta.drop_reason = DROP_ROGUE_ROUTER; }
    action rogue_dhcp() { meta.drop_reason = DROP_ROGUE_DHCP; }
    action hide() { meta.drop_reason = DROP_HIDDEN; }

    @name(".gateway.forged") @id(0x010000d4)
    action forged() { meta.drop_reason = DROP_FORGED_GATEWAY; }

    @name(".gateway.pass") @id(0x010000d5)
    action pass() { }

    @brief("The gateway's IPv4 addresses in each bridge: no tenant is the sender of ARP or ICMP")
    @name(".gateway.ipv4") @id(0x020000d2)
    table ipv4 {
        key = {
            meta.bridge: exact @name("bridge");
            claimed: exact @name("address");
        }
        actions = { forged; @defaultonly pass; }
        const default_action = pass;
        size = 65536;
    }

    @brief("The gateway's IPv6 addresses in each bridge: no tenant is the sender of ICMPv6")
    @name(".gateway.ipv6") @id(0x020000d3)
    table ipv6 {
        key = {
            meta.bridge: exact @name("bridge");
            hdr.ipv6.source: exact @name("address");
        }
        actions = { forged; @defaultonly pass; }
        const default_action = pass;
        size = 65536;
    }

    @brief("The gateway's IPv6 addresses in each bridge: no tenant says where they are")
    @name(".gateway.ipv6_target") @id(0x020000d5)
    table ipv6_target {
        key = {
            meta.bridge: exact @name("bridge");
            target: exact @name("address");
        }
        actions = { forged; @defaultonly pass; }
        const default_action = pass;
        size = 65536;
    }

    apply {
        if (meta.hidden == 1) {
            hide();
        } else if (meta.arp == 1) {
            claimed = hdr.arp.sender;
            asks = 1;
        } else if (hdr.ipv4.isValid()) {
            port = meta.fragment_port;
            if (hdr.ipv4.protocol == PROTOCOL_ICMP) {
                claimed = hdr.ipv4.source; // of a redirect (RFC 792)
                asks = 1;
            } else if (hdr.udp.isValid()) {
                port = hdr.udp.destination;
            } else if (hdr.ipv4.protocol == PROTOCOL_UDP && hdr.ipv4.ihl != 5 && meta.trusted == 0) {
                hide();
            }
            if (port == UDP_PORT_DHCP_CLIENT && meta.trusted == 0) {
                rogue_dhcp();
            }
        } else if (hdr.ipv6.isValid()) {
            port = meta.fragment_port;
            if (hdr.udp.isValid()) {
                port = hdr.udp.destination;
            }
            if (meta.icmpv6 == 1) {
                ipv6.apply();
                if (hdr.neighbour.isValid()) {
                    target = hdr.neighbour.target;
                } else if (hdr.neighbour_target.isValid()) {
                    target = hdr.neighbour_target.target;
                }
                // A solicitation from no address says that its sender takes the
                // target (RFC 4862 section 5.4.3), unless it is told otherwise.
                if (hdr.icmpv6.type != NEIGHBOUR_SOLICITATION ||
                    (hdr.ipv6.source == 0 && meta.reply != REPLY_DAD)) {
                    ipv6_target.apply();
                }
                if (meta.trusted == 0 && meta.drop_reason == DROP_NONE &&
                    (hdr.icmpv6.type == ROUTER_ADVERTISEMENT || hdr.icmpv6.type == REDIRECT)) {
                    rogue_router();
                }
            } else if (port == UDP_PORT_DHCPV6_CLIENT && meta.trusted == 0) {
                rogue_dhcp();
            } else {
                behind.apply(hdr, extended, hides);
                // DHCPv6 servers answer a link-local address.
                if (hides == 1 || (extended == 1 && meta.trusted == 0 &&
                                   hdr.ipv6.destination[127:118] == LINK_LOCAL)) {
                    hide();
                }
            }
        }
        if (asks == 1) {
            ipv4.apply();
        }
    }
}

#endif
