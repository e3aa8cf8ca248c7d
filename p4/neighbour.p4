// SPDX-License-Identifier: Apache-2.0
// ARP and neighbour discovery answered in the pipeline (RFC 9161), so that a
// host finds its gateway and its neighbours while the controller is down.
#ifndef P4EVPN_NEIGHBOUR
#define P4EVPN_NEIGHBOUR

// Decides on an answer. Only what came by a bridge port is asked here, and a
// host never hears of itself: that would be a duplicate address to it.
control answer_request(inout headers_t hdr,
                       inout metadata_t meta,
                       inout standard_metadata_t standard_metadata) {
    mac_t answer = 0;

    @brief("The host with this address is at mac")
    @name(".arp.reply") @id(0x010000d0)
    action arp_reply(mac_t mac) { answer = mac; }

    @name(".arp.pass") @id(0x010000d1)
    action arp_pass() { }

    @brief("IPv4 hosts and gateway addresses of each bridge")
    @name(".arp.host") @id(0x020000d0)
    table arp_host {
        key = {
            meta.bridge: exact @name("bridge");
            hdr.arp.target: exact @name("target");
        }
        actions = { arp_reply; @defaultonly arp_pass; }
        const default_action = arp_pass;
        size = 262144;
    }

    @brief("The host with this address is at mac; router says whether it routes")
    @name(".nd.reply") @id(0x010000d2)
    action nd_reply(mac_t mac, bit<1> router) {
        answer = mac;
        meta.router = router;
    }

    @name(".nd.pass") @id(0x010000d3)
    action nd_pass() { }

    @brief("IPv6 hosts and gateway addresses of each bridge")
    @name(".nd.host") @id(0x020000d1)
    table nd_host {
        key = {
            meta.bridge: exact @name("bridge");
            hdr.neighbour.target: exact @name("target");
        }
        actions = { nd_reply; @defaultonly nd_pass; }
        const default_action = nd_pass;
        size = 262144;
    }

    apply {
        if (hdr.arp.isValid()) {
            if (hdr.arp.hardware_type == 1 && hdr.arp.protocol_type == ETHERTYPE_IPV4 &&
                hdr.arp.hardware_length == 6 && hdr.arp.protocol_length == 4 &&
                hdr.arp.operation == 1 && hdr.arp.sender != hdr.arp.target) {
                arp_host.apply();
                if (answer != 0 && answer != hdr.arp.sender_mac) {
                    meta.reply = REPLY_ARP;
                }
            }
        } else if (hdr.neighbour.isValid()) {
            // Valid by RFC 4861 section 7.1.1. Without the source link-layer
            // address, as in duplicate address detection, there is no room for
            // ours.
            if (hdr.icmpv6.type == NEIGHBOUR_SOLICITATION &&
                hdr.ipv6.version == 6 && hdr.ipv6.hop_limit == 255 && hdr.ipv6.source != 0 &&
                standard_metadata.checksum_error == 0 &&
                hdr.neighbour.option == 1 && hdr.neighbour.option_length == 1) {
                nd_host.apply();
                if (answer != 0 && answer != hdr.neighbour.mac) {
                    meta.reply = REPLY_ND;
                }
            }
        }
        if (meta.reply != 0) {
            meta.source = answer;
            standard_metadata.egress_spec = standard_metadata.ingress_port;
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
            hdr.ipv6.destination = hdr.ipv6.source;
            hdr.ipv6.source = hdr.neighbour.target;
            hdr.ipv6.hop_limit = 255;
            hdr.icmpv6.type = NEIGHBOUR_ADVERTISEMENT;
            // Router, solicited, override.
            hdr.neighbour.flags = meta.router ++ 31w0x60000000;
            hdr.neighbour.option = 2; // target link-layer address
            hdr.neighbour.mac = meta.source;
        }
    }
}

#endif
