// SPDX-License-Identifier: Apache-2.0
// ARP and neighbour discovery answered in the pipeline (RFC 9161), so that a
// host finds its gateway and its neighbours while the controller is down.
#ifndef P4EVPN_NEIGHBOUR
#define P4EVPN_NEIGHBOUR

// RFC 4291 section 2.7.1: ff02::1 and ff02::1:ff00:0/104. RFC 2464 section 7.
const bit<128> ALL_NODES      = 0xff020000000000000000000000000001;
const mac_t    ALL_NODES_MAC  = 0x333300000001;
const bit<104> SOLICITED_NODE = 0xff0200000000000000000001ff;

// Options of neighbour discovery: RFC 4861 section 4.6.1, RFC 3971 section 5.3.2.
const bit<8> OPTION_SOURCE_MAC = 1;
const bit<8> OPTION_TARGET_MAC = 2;
const bit<8> OPTION_NONCE      = 14;

// Lengths of ICMPv6 messages: a solicitation without options, an advertisement.
const bit<16> SOLICITATION_LEN  = 24;
const bit<16> ADVERTISEMENT_LEN = 32;

// Decides on an answer to what came by a bridge port or by VXLAN. Only a question
// to all is answered, or one to the gateway about itself (RFC 9161 section 3.3):
// who is asked for himself shows whether he is there. A host never hears of
// itself: that would be a duplicate address to it.
control answer_request(inout headers_t hdr,
                       inout metadata_t meta,
                       inout standard_metadata_t standard_metadata) {
    mac_t answer = 0;
    port_t at = 0;       // where the target is, 0 behind no port of ours
    bit<1> by_vxlan = 0; // who asks by VXLAN is answered too
    bit<2> kind = 0;     // of the answer
    mac_t asker = 0;
    bit<1> free = 0;     // asks whether the address is
    bit<128> target = 0;

    @brief("The host with this address is at mac, behind no port of ours")
    @name(".arp.reply") @id(0x010000d0)
    action arp_reply(mac_t mac) { answer = mac; }

    @brief("The host with this address is at mac: not to be told to port, where it is; vxlan: to be told to who asks by VXLAN")
    @name(".arp.reply_except") @id(0x010000d8)
    action arp_reply_except(mac_t mac, port_t port, bit<1> vxlan) {
        answer = mac;
        at = port;
        by_vxlan = vxlan;
    }

    @name(".arp.pass") @id(0x010000d1)
    action arp_pass() { }

    @brief("IPv4 hosts and gateway addresses of each bridge")
    @name(".arp.host") @id(0x020000d0)
    table arp_host {
        key = {
            meta.bridge: exact @name("bridge");
            hdr.arp.target: exact @name("target");
        }
        actions = { arp_reply; arp_reply_except; @defaultonly arp_pass; }
        const default_action = arp_pass;
        size = 262144;
    }

    @brief("The host with this address is at mac, behind no port of ours; router says whether it routes")
    @name(".nd.reply") @id(0x010000d2)
    action nd_reply(mac_t mac, bit<1> router) {
        answer = mac;
        meta.router = router;
        meta.override = 1;
    }

    @brief("The host with this address is at mac: not to be told to port, where it is; vxlan: to be told to who asks by VXLAN; router and override are the flags")
    @name(".nd.reply_except") @id(0x010000d9)
    action nd_reply_except(mac_t mac, port_t port, bit<1> vxlan, bit<1> router, bit<1> override) {
        answer = mac;
        at = port;
        by_vxlan = vxlan;
        meta.router = router;
        meta.override = override;
    }

    @brief("The host with this address is at mac, and answers itself: its flags are not known")
    @name(".nd.hold") @id(0x010000da) @noWarn("unused")
    action nd_hold(mac_t mac) { }

    @name(".nd.pass") @id(0x010000d3)
    action nd_pass() { }

    @brief("IPv6 hosts and gateway addresses of each bridge")
    @name(".nd.host") @id(0x020000d1)
    table nd_host {
        key = {
            meta.bridge: exact @name("bridge");
            target: exact @name("target");
        }
        actions = { nd_reply; nd_reply_except; nd_hold; @defaultonly nd_pass; }
        const default_action = nd_pass;
        size = 262144;
    }

    apply {
        if (meta.arp == 1) {
            if (hdr.arp.hardware_type == 1 && hdr.arp.protocol_type == ETHERTYPE_IPV4 &&
                hdr.arp.hardware_length == 6 && hdr.arp.protocol_length == 4 &&
                hdr.arp.operation == 1 && hdr.arp.sender != hdr.arp.target &&
                (meta.destination == BROADCAST || meta.routed == 1)) {
                kind = REPLY_ARP;
                asker = hdr.arp.sender_mac;
                if (hdr.arp.sender == 0) {
                    free = 1; // RFC 5227 section 2.1.1
                }
                arp_host.apply();
            }
        } else if (hdr.icmpv6.type == NEIGHBOUR_SOLICITATION && hdr.icmpv6.code == 0) {
            bit<4> version = hdr.ipv6.version;
            bit<8> hop_limit = hdr.ipv6.hop_limit;
            bit<128> source = hdr.ipv6.source;
            bit<128> destination = hdr.ipv6.destination;
            if (meta.terminated == 1) {
                version = hdr.inner_ipv6.version;
                hop_limit = hdr.inner_ipv6.hop_limit;
                source = hdr.inner_ipv6.source;
                destination = hdr.inner_ipv6.destination;
            }
            // Valid by RFC 4861 section 7.1.1, and with at most one option: the
            // source link-layer address, or from no address a nonce (RFC 7527).
            bit<32> flags = 0;
            bit<8> option = 0;
            bit<8> option_length = 0;
            mac_t option_value = 0;
            if (hdr.neighbour.isValid()) {
                flags = hdr.neighbour.flags;
                target = hdr.neighbour.target;
                option = hdr.neighbour.option;
                option_length = hdr.neighbour.option_length;
                option_value = hdr.neighbour.mac;
                if (option_length != 1) {
                    // Nobody's.
                } else if (option == OPTION_SOURCE_MAC && source != 0) {
                    kind = REPLY_ND;
                } else if (option == OPTION_NONCE && source == 0) {
                    kind = REPLY_DAD;
                }
            } else if (meta.icmpv6_length == SOLICITATION_LEN && hdr.neighbour_target.isValid() && source == 0) {
                flags = hdr.neighbour_target.flags;
                target = hdr.neighbour_target.target;
                kind = REPLY_DAD;
            }
            asker = option_value;
            if (kind == REPLY_DAD) {
                asker = meta.source;
                free = 1;
            }
            if (kind != 0 && version == 6 && hop_limit == 255 &&
                ((meta.destination[40:40] == 1 && destination[127:24] == SOLICITED_NODE) ||
                 (meta.routed == 1 && kind == REPLY_ND))) {
                nd_host.apply();
            }
            if (answer != 0) {
                // 0: its own checksum makes it a whole (RFC 1071 section 1).
                bit<32> sum = 0;
                hash(sum, HashAlgorithm.csum16, 32w0,
                     { source, destination, 16w0, meta.icmpv6_length, 24w0, PROTOCOL_ICMPV6,
                       hdr.icmpv6.type, hdr.icmpv6.code, hdr.icmpv6.checksum, flags, target,
                       option, option_length, option_value }, 32w65536);
                if (sum != 0) {
                    answer = 0;
                }
            }
        }
        if (answer == 0 || answer == asker || at == standard_metadata.ingress_port ||
            (meta.terminated == 1 && by_vxlan == 0) ||
            // Whoever is behind a port of ours says himself that he is there.
            (free == 1 && at != 0) ||
            (meta.routed == 1 && answer != meta.destination)) {
            kind = 0;
        }
        if (kind != 0) {
            meta.reply = kind;
            meta.routed = 0;
            if (meta.icmpv6 == 1 && !hdr.neighbour.isValid()) {
                meta.length = meta.length + (ADVERTISEMENT_LEN - SOLICITATION_LEN);
            }
            if (meta.terminated == 1) {
                // By the bridge, to where the asker is.
                meta.origin = ORIGIN_ROUTED;
                meta.destination = meta.source;
            } else {
                standard_metadata.egress_spec = standard_metadata.ingress_port;
            }
            meta.source = answer;
        }
    }
}

// Makes the answer out of the request, in egress. meta.source is the MAC that
// was asked for.
control write_answer(inout headers_t hdr, inout metadata_t meta) {
    apply {
        hdr.ethernet.destination = hdr.ethernet.source;
        hdr.ethernet.source = meta.source;
        if (meta.reply == REPLY_ARP) {
            ipv4_addr_t asked = hdr.arp.target;
            hdr.arp.operation = 2;
            hdr.arp.target_mac = hdr.arp.sender_mac;
            hdr.arp.target = hdr.arp.sender;
            hdr.arp.sender_mac = meta.source;
            hdr.arp.sender = asked;
        } else {
            bit<1> solicited = 1;
            hdr.ipv6.destination = hdr.ipv6.source;
            if (meta.reply == REPLY_DAD) {
                // RFC 4861 section 7.2.4.
                solicited = 0;
                hdr.ethernet.destination = ALL_NODES_MAC;
                hdr.ipv6.destination = ALL_NODES;
                if (hdr.neighbour_target.isValid()) {
                    hdr.neighbour.setValid();
                    hdr.neighbour.target = hdr.neighbour_target.target;
                    hdr.neighbour.option_length = 1;
                    hdr.neighbour_target.setInvalid();
                    hdr.ipv6.payload_length = ADVERTISEMENT_LEN;
                }
            }
            hdr.ipv6.source = hdr.neighbour.target;
            hdr.ipv6.hop_limit = 255;
            hdr.icmpv6.type = NEIGHBOUR_ADVERTISEMENT;
            hdr.neighbour.flags = meta.router ++ solicited ++ meta.override ++ 29w0;
            hdr.neighbour.option = OPTION_TARGET_MAC;
            hdr.neighbour.mac = meta.source;
        }
    }
}

#endif
