// SPDX-License-Identifier: Apache-2.0
// IP source guard (RFC 7039): behind a guarded port a station sends from the addresses
// that are bound to it, and speaks for these alone.
#ifndef P4EVPN_SOURCE
#define P4EVPN_SOURCE

const bit<2> JUDGE_PASS    = 0;
const bit<2> JUDGE_IPV4    = 1;
const bit<2> JUDGE_IPV6    = 2;
const bit<2> JUDGE_SPOOFED = 3;

// What is not seen to have a bound address is dropped, but for what a station without
// one must say: DHCP, duplicate address detection of what it was given, neighbour and
// listener discovery by its link-local address or none. What is no IP passes.
control guard_source(inout headers_t hdr,
                     inout metadata_t meta,
                     inout standard_metadata_t standard_metadata) {
    bit<2> judge = JUDGE_PASS;
    ipv4_addr_t address = 0;
    bit<128> address6 = 0;
    bit<1> extended = 0;
    bit<1> hides = 0;

    action spoofed() { meta.drop_reason = DROP_SPOOFED; }

    @brief("The address is the station's, at this port")
    @name(".source.bound") @id(0x010000e0)
    action bound() { }

    @name(".source.unbound") @id(0x010000e1)
    action unbound() { meta.drop_reason = DROP_SPOOFED; }

    @brief("IPv4 addresses of the stations behind guarded ports")
    @name(".source.ipv4") @id(0x020000e0)
    table ipv4 {
        key = {
            meta.bridge: exact @name("bridge");
            standard_metadata.ingress_port: exact @name("ingress_port");
            meta.source: exact @name("mac");
            address: exact @name("address");
        }
        actions = { bound; @defaultonly unbound; }
        const default_action = unbound;
        size = 65536;
    }

    @brief("IPv6 addresses of the stations behind guarded ports")
    @name(".source.ipv6") @id(0x020000e1)
    table ipv6 {
        key = {
            meta.bridge: exact @name("bridge");
            standard_metadata.ingress_port: exact @name("ingress_port");
            meta.source: exact @name("mac");
            address6: exact @name("address");
        }
        actions = { bound; @defaultonly unbound; }
        const default_action = unbound;
        size = 65536;
    }

    look_behind() behind;

    apply {
        if (meta.hidden == 1 || meta.inner_tag == 1) {
            judge = JUDGE_SPOOFED;
        } else if (meta.ether_type == ETHERTYPE_ARP) {
            judge = JUDGE_IPV4;
            address = hdr.arp.sender;
            if (address == 0) {
                // A probe (RFC 5227) is for an address that its sender is to have.
                address = hdr.arp.target;
            }
            if (meta.arp == 0 || hdr.arp.sender_mac != meta.source) {
                judge = JUDGE_SPOOFED;
            }
        } else if (meta.ether_type == ETHERTYPE_IPV4) {
            judge = JUDGE_IPV4;
            address = hdr.ipv4.source;
            if (!hdr.ipv4.isValid()) {
                judge = JUDGE_SPOOFED;
            } else if (address == 0 && hdr.ipv4.destination == 0xffffffff && hdr.udp.isValid() &&
                       hdr.udp.destination == UDP_PORT_DHCP_SERVER) {
                judge = JUDGE_PASS; // RFC 2131 section 4.1
            }
        } else if (meta.ether_type == ETHERTYPE_IPV6) {
            behind.apply(hdr, extended, hides);
            judge = JUDGE_IPV6;
            address6 = hdr.ipv6.source;
            if (!hdr.ipv6.isValid() || hides == 1) {
                judge = JUDGE_SPOOFED;
            } else if (meta.icmpv6 == 1 &&
                       (hdr.icmpv6.type == NEIGHBOUR_ADVERTISEMENT ||
                        (hdr.icmpv6.type == NEIGHBOUR_SOLICITATION && address6 == 0))) {
                // The target is what the sender says that it has.
                if (hdr.neighbour.isValid()) {
                    address6 = hdr.neighbour.target;
                } else if (hdr.neighbour_target.isValid()) {
                    address6 = hdr.neighbour_target.target;
                } else {
                    judge = JUDGE_SPOOFED;
                }
                if (hdr.ipv6.source != 0 && hdr.ipv6.source != address6 &&
                    hdr.ipv6.source[127:118] != LINK_LOCAL) {
                    judge = JUDGE_SPOOFED;
                }
            } else if (address6 == 0 && hdr.ipv6.destination[127:112] == 0xff02 &&
                       (meta.icmpv6 == 1 || hdr.ipv6.next_header == IPV6_HOP_BY_HOP)) {
                judge = JUDGE_PASS; // router solicitations, listener reports (RFC 3590)
            }
            if (judge == JUDGE_IPV6 && address6[127:118] == LINK_LOCAL) {
                judge = JUDGE_PASS; // a host makes these itself (RFC 4862 section 5.3)
            }
            if (hdr.neighbour.isValid() && meta.icmpv6 == 1 && hdr.neighbour.mac != meta.source &&
                (hdr.neighbour.option == OPTION_SOURCE_MAC || hdr.neighbour.option == OPTION_TARGET_MAC)) {
                judge = JUDGE_SPOOFED;
            }
        }
        if (judge == JUDGE_SPOOFED) {
            spoofed();
        } else if (judge == JUDGE_IPV4) {
            ipv4.apply();
        } else if (judge == JUDGE_IPV6) {
            ipv6.apply();
        }
    }
}

#endif
