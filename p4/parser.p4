// SPDX-License-Identifier: Apache-2.0
// Parser and deparser. A frame that ends early is no error here: what could be
// extracted is valid, the rest is payload, and bridging carries it unchanged.
#ifndef P4EVPN_PARSER
#define P4EVPN_PARSER

// Types of ICMPv6 (RFC 4861 section 4).
const bit<8> ROUTER_SOLICITATION     = 133;
const bit<8> ROUTER_ADVERTISEMENT    = 134;
const bit<8> NEIGHBOUR_SOLICITATION  = 135;
const bit<8> NEIGHBOUR_ADVERTISEMENT = 136;
const bit<8> REDIRECT                = 137;

parser frame_parser(packet_in packet,
                    out headers_t hdr,
                    inout metadata_t meta,
                    inout standard_metadata_t standard_metadata) {
    state start {
        transition select(standard_metadata.ingress_port) {
            CPU_PORT: parse_packet_out;
            default: parse_ethernet;
        }
    }
    state parse_packet_out {
        packet.extract(hdr.packet_out);
        transition parse_ethernet;
    }
    state parse_ethernet {
        packet.extract(hdr.ethernet);
        transition select(hdr.ethernet.ether_type) {
            ETHERTYPE_VLAN: parse_vlan;
            ETHERTYPE_ARP: parse_arp;
            ETHERTYPE_IPV4: parse_ipv4;
            ETHERTYPE_IPV6: parse_ipv6;
            ETHERTYPE_SVLAN: see_inner_tag;
            ETHERTYPE_QINQ1: see_inner_tag;
            ETHERTYPE_QINQ2: see_inner_tag;
            ETHERTYPE_QINQ3: see_inner_tag;
            0x0000 &&& 0xfc00: see_llc; // a length (IEEE 802.3): below 0x0600
            0x0400 &&& 0xfe00: see_llc;
            default: accept;
        }
    }
    state parse_vlan {
        packet.extract(hdr.vlan);
        transition select(hdr.vlan.ether_type) {
            ETHERTYPE_ARP: parse_arp;
            ETHERTYPE_IPV4: parse_ipv4;
            ETHERTYPE_IPV6: parse_ipv6;
            ETHERTYPE_VLAN: see_inner_tag;
            ETHERTYPE_SVLAN: see_inner_tag;
            ETHERTYPE_QINQ1: see_inner_tag;
            ETHERTYPE_QINQ2: see_inner_tag;
            ETHERTYPE_QINQ3: see_inner_tag;
            0x0000 &&& 0xfc00: see_llc;
            0x0400 &&& 0xfe00: see_llc;
            default: accept;
        }
    }
    // What stands behind the tag is not looked at.
    state see_inner_tag {
        meta.inner_tag = 1;
        meta.inner_vlan = packet.lookahead<bit<16>>()[11:0];
        transition accept;
    }
    // IP and ARP in LLC and SNAP (RFC 1042, IEEE 802.1H).
    state see_llc {
        transition select(packet.lookahead<bit<64>>()) {
            0xaaaa030000000800 &&& 0xffffffffff00ffff: hide;
            0xaaaa030000000806 &&& 0xffffffffff00ffff: hide;
            0xaaaa0300000086dd &&& 0xffffffffff00ffff: hide;
            0xaaaa030000008100 &&& 0xffffffffff00ffff: hide;
            default: accept;
        }
    }
    state hide {
        meta.hidden = 1;
        transition accept;
    }
    state parse_arp {
        packet.extract(hdr.arp);
        transition accept;
    }
    state parse_ipv4 {
        packet.extract(hdr.ipv4);
        // Behind options no ports are looked for, and fragments are one flow.
        transition select(hdr.ipv4.ihl, hdr.ipv4.flags[0:0], hdr.ipv4.fragment_offset, hdr.ipv4.protocol) {
            (5, 0, 0, PROTOCOL_TCP): parse_tcp;
            (5, 0, 0, PROTOCOL_UDP): parse_udp;
            (5, 1, 0, PROTOCOL_UDP): see_fragment_port;
            (5, _, 0, PROTOCOL_ICMP): see_icmp;
            default: accept;
        }
    }
    state see_icmp {
        meta.icmp_type = packet.lookahead<bit<8>>();
        transition accept;
    }
    state parse_ipv6 {
        packet.extract(hdr.ipv6);
        transition select(hdr.ipv6.next_header) {
            PROTOCOL_TCP: parse_tcp;
            PROTOCOL_UDP: parse_udp;
            PROTOCOL_ICMPV6: parse_icmpv6;
            IPV6_FRAGMENT: parse_ipv6_fragment;
            default: accept;
        }
    }
    state parse_ipv6_fragment {
        packet.extract(hdr.ipv6_fragment);
        transition select(hdr.ipv6_fragment.offset, hdr.ipv6_fragment.next_header) {
            (0, PROTOCOL_ICMPV6): see_fragmented_icmpv6;
            (0, PROTOCOL_UDP): see_fragment_port;
            default: accept;
        }
    }
    // Neighbour discovery in fragments is nobody's (RFC 6980).
    state see_fragmented_icmpv6 {
        transition select(packet.lookahead<bit<8>>()) {
            ROUTER_SOLICITATION: hide;
            ROUTER_ADVERTISEMENT: hide;
            NEIGHBOUR_SOLICITATION: hide;
            NEIGHBOUR_ADVERTISEMENT: hide;
            REDIRECT: hide;
            default: accept;
        }
    }
    state see_fragment_port {
        meta.fragment_port = packet.lookahead<bit<32>>()[15:0];
        transition accept;
    }
    state parse_icmpv6 {
        meta.icmpv6_length = hdr.ipv6.payload_length;
        transition parse_neighbour_discovery;
    }
    state parse_inner_icmpv6 {
        meta.icmpv6_length = hdr.inner_ipv6.payload_length;
        transition parse_neighbour_discovery;
    }
    state parse_neighbour_discovery {
        packet.extract(hdr.icmpv6);
        transition select(hdr.icmpv6.type, hdr.icmpv6.code, meta.icmpv6_length) {
            (NEIGHBOUR_SOLICITATION, 0, 32): parse_neighbour;
            (NEIGHBOUR_ADVERTISEMENT, 0, 32): parse_neighbour;
            (NEIGHBOUR_SOLICITATION, _, _): parse_neighbour_target;
            (NEIGHBOUR_ADVERTISEMENT, _, _): parse_neighbour_target;
            (REDIRECT, _, _): parse_neighbour_target;
            default: accept;
        }
    }
    state parse_neighbour_target {
        packet.extract(hdr.neighbour_target);
        transition accept;
    }
    state parse_neighbour {
        packet.extract(hdr.neighbour);
        transition accept;
    }
    state parse_tcp {
        packet.extract(hdr.tcp);
        transition accept;
    }
    state parse_udp {
        packet.extract(hdr.udp);
        transition select(hdr.udp.destination) {
            UDP_PORT_VXLAN: parse_vxlan;
            UDP_PORT_DHCP_SERVER: see_dhcp_to_server;
            UDP_PORT_DHCP_CLIENT: see_dhcp_to_client;
            UDP_PORT_DHCPV6_SERVER: see_dhcp_to_server;
            UDP_PORT_DHCPV6_CLIENT: see_dhcp_to_client;
            default: accept;
        }
    }
    state see_dhcp_to_server {
        meta.dhcp = DHCP_TO_SERVER;
        transition accept;
    }
    state see_dhcp_to_client {
        meta.dhcp = DHCP_TO_CLIENT;
        transition accept;
    }
    state parse_vxlan {
        packet.extract(hdr.vxlan);
        packet.extract(hdr.inner_ethernet);
        transition select(hdr.inner_ethernet.ether_type) {
            ETHERTYPE_ARP: parse_arp;
            ETHERTYPE_IPV4: parse_inner_ipv4;
            ETHERTYPE_IPV6: parse_inner_ipv6;
            default: accept;
        }
    }
    state parse_inner_ipv4 {
        packet.extract(hdr.inner_ipv4);
        transition select(hdr.inner_ipv4.ihl, hdr.inner_ipv4.flags[0:0], hdr.inner_ipv4.fragment_offset,
                          hdr.inner_ipv4.protocol) {
            (5, 0, 0, PROTOCOL_TCP): parse_inner_ports;
            (5, 0, 0, PROTOCOL_UDP): parse_inner_udp;
            (5, _, 0, PROTOCOL_ICMP): see_icmp;
            default: accept;
        }
    }
    state parse_inner_ipv6 {
        packet.extract(hdr.inner_ipv6);
        transition select(hdr.inner_ipv6.next_header) {
            PROTOCOL_TCP: parse_inner_ports;
            PROTOCOL_UDP: parse_inner_udp;
            PROTOCOL_ICMPV6: parse_inner_icmpv6;
            default: accept;
        }
    }
    state parse_inner_ports {
        packet.extract(hdr.inner_ports);
        transition accept;
    }
    state parse_inner_udp {
        packet.extract(hdr.inner_ports);
        transition select(hdr.inner_ports.destination) {
            UDP_PORT_DHCP_CLIENT: see_dhcp_to_client;
            UDP_PORT_DHCPV6_CLIENT: see_dhcp_to_client;
            default: accept;
        }
    }
}

control frame_deparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.packet_in);
        packet.emit(hdr.encap_ethernet);
        packet.emit(hdr.encap_ipv4);
        packet.emit(hdr.encap_udp);
        packet.emit(hdr.encap_vxlan);
        packet.emit(hdr.ethernet);
        packet.emit(hdr.pushed_vlan);
        packet.emit(hdr.vlan);
        packet.emit(hdr.ipv4);
        packet.emit(hdr.ipv6);
        packet.emit(hdr.ipv6_fragment);
        packet.emit(hdr.tcp);
        packet.emit(hdr.udp);
        packet.emit(hdr.vxlan);
        packet.emit(hdr.inner_ethernet);
        packet.emit(hdr.inner_ipv4);
        packet.emit(hdr.inner_ipv6);
        packet.emit(hdr.inner_ports);
        // Of the frame, or of the one inside VXLAN.
        packet.emit(hdr.arp);
        packet.emit(hdr.icmpv6);
        packet.emit(hdr.neighbour);
        packet.emit(hdr.neighbour_target);
    }
}

#endif
