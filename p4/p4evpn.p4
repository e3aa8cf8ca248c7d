// SPDX-License-Identifier: Apache-2.0
// p4evpn: an EVPN gateway's forwarding, for v1model (BMv2 and the embedded
// switch). Ingress decides and rewrites nothing; egress does all rewriting.
// The order of one pass is documented in docs/architecture.md.
#include <core.p4>
#include <v1model.p4>

#include "headers.p4"
#include "parser.p4"
#include "port.p4"
#include "vxlan.p4"
#include "bridge.p4"
#include "flood.p4"
#include "router.p4"
#include "guard.p4"
#include "neighbour.p4"
#include "source.p4"
#include "punt.p4"
#include "snoop.p4"
#include "tenant.p4"

// BMv2's values of standard_metadata.instance_type that we look at.
const bit<32> INSTANCE_INGRESS_CLONE = 1;
const bit<32> INSTANCE_REPLICATION   = 5;

control verify_checksums(inout headers_t hdr, inout metadata_t meta) {
    apply {
        // Of tunnels only: a tenant's packet is carried as it is.
        verify_checksum(hdr.vxlan.isValid() && hdr.ipv4.isValid(),
            { hdr.ipv4.version, hdr.ipv4.ihl, hdr.ipv4.dscp, hdr.ipv4.ecn,
              hdr.ipv4.total_length, hdr.ipv4.identification, hdr.ipv4.flags,
              hdr.ipv4.fragment_offset, hdr.ipv4.ttl, hdr.ipv4.protocol,
              hdr.ipv4.source, hdr.ipv4.destination },
            hdr.ipv4.checksum, HashAlgorithm.csum16);
    }
}

control ingress(inout headers_t hdr,
                inout metadata_t meta,
                inout standard_metadata_t standard_metadata) {
    @brief("Frames that ingress dropped, by reason")
    @name(".ingress_drops") @id(0x12000004)
    counter(64, CounterType.packets_and_bytes) ingress_drops;

    @brief("The same by port and reason")
    @name(".port_drops") @id(0x1200000d)
    counter(32768, CounterType.packets_and_bytes) port_drops;

    @brief("The same by bridge id and reason, of frames that were in one")
    @name(".bridge_drops") @id(0x1200000e)
    counter(262144, CounterType.packets_and_bytes) bridge_drops;

    @brief("Dropped frames of which a copy goes to the controller, by reason")
    @name(".drop_sample_rate") @id(0x14000006)
    meter(64, MeterType.packets) drop_sample_rate;

    bit<2> sampled = 0; // the meter's colour

    classify_port() ports;
    terminate_vxlan() vxlan;
    classify_bridge() bridges;
    view_tenant() view;
    decide() decision;
    snoop_dhcp() snooping;
    punt_frame() punts;
    inject() injection;

    // Nothing without its clone session.
    action send_sample() { clone_preserving_field_list(CloneType.I2E, 2, 1); }

    apply {
        meta.ingress_port = standard_metadata.ingress_port;
        if (hdr.packet_out.isValid()) {
            injection.apply(hdr, meta, standard_metadata);
        } else {
            ports.apply(hdr, meta, standard_metadata);
            if (meta.host_port != 0) {
                vxlan.apply(hdr, meta, standard_metadata);
            } else if (meta.origin == ORIGIN_BRIDGE) {
                bridges.apply(hdr, meta, standard_metadata);
            }
        }
        if ((meta.bridge != 0 || meta.vrf != 0) && meta.drop_reason == DROP_NONE) {
            if (hdr.ethernet.isValid()) {
                meta.in_bridge = meta.bridge;
                view.apply(hdr, meta, standard_metadata);
                decision.apply(hdr, meta, standard_metadata);
                if (meta.dhcp != 0) {
                    snooping.apply(hdr, meta);
                }
                punts.apply(hdr, meta, standard_metadata);
            } else {
                meta.drop_reason = DROP_TRUNCATED;
            }
        }
        if (meta.drop_reason != DROP_NONE) {
            ingress_drops.count((bit<32>)meta.drop_reason);
            port_drops.count((bit<32>)(meta.ingress_port ++ meta.drop_reason[5:0]));
            if (meta.in_bridge == 0) {
                meta.in_bridge = meta.bridge; // it came no further than there
            }
            if (meta.in_bridge != 0) {
                bridge_drops.count((bit<32>)(meta.in_bridge[11:0] ++ meta.drop_reason[5:0]));
            }
            // A frame has one copy: that of a trap is of more use.
            if (meta.copy_reason == 0 && meta.origin != ORIGIN_CPU) {
                drop_sample_rate.execute_meter((bit<32>)meta.drop_reason, sampled);
                if (sampled == 0) {
                    meta.copy_reason = COPY_DROPPED | meta.drop_reason;
                    send_sample();
                }
            }
            mark_to_drop(standard_metadata);
        }
    }
}

control egress(inout headers_t hdr,
               inout metadata_t meta,
               inout standard_metadata_t standard_metadata) {
    @brief("Frames that left, by port")
    @name(".port_out") @id(0x12000005)
    counter(512, CounterType.packets_and_bytes) port_out;

    @brief("Frames that egress dropped, by reason")
    @name(".egress_drops") @id(0x12000006)
    counter(64, CounterType.packets_and_bytes) egress_drops;

    @brief("The same by the port that they came from, and reason")
    @name(".port_egress_drops") @id(0x1200000f)
    counter(32768, CounterType.packets_and_bytes) port_egress_drops;

    finish_replica() replicas;
    strip_frame() strip;
    rewrite_routed() routed;
    write_answer() answer;
    encapsulate() tunnels;
    tag_frame() tags;

    bit<1> prune = 0;
    ipv4_addr_t vtep = 0; // that the frame came from

    action add_packet_in(reason_t reason) {
        hdr.packet_in.setValid();
        hdr.packet_in.reason = reason;
        hdr.packet_in.ingress_port = (bit<16>)meta.ingress_port;
        hdr.packet_in.bridge = meta.in_bridge;
        hdr.packet_in.vrf = meta.vrf;
        hdr.packet_in.vtep = vtep;
    }

    apply {
        if (standard_metadata.instance_type == INSTANCE_REPLICATION) {
            replicas.apply(hdr, meta, standard_metadata, prune);
        }
        if (prune == 1) {
            // A replica that no one should get is no loss: it is not counted.
            mark_to_drop(standard_metadata);
        } else {
            if (meta.terminated == 1) {
                vtep = hdr.ipv4.source;
            }
            if (meta.copy_reason < COPY_DROPPED) {
                strip.apply(hdr, meta);
            }
            if (meta.punt_reason != 0) {
                add_packet_in(meta.punt_reason);
            } else if (standard_metadata.instance_type == INSTANCE_INGRESS_CLONE) {
                add_packet_in(meta.copy_reason);
            } else if (meta.bridge != 0 || meta.vrf != 0) {
                if (meta.reply != 0) {
                    answer.apply(hdr, meta);
                } else if (meta.routed == 1) {
                    routed.apply(hdr, meta, standard_metadata);
                }
                if (meta.vtep != 0 && meta.inner_tag == 1) {
                    meta.drop_reason = DROP_INNER_VLAN; // RFC 7348 section 6.1
                } else if (meta.vtep != 0) {
                    tunnels.apply(hdr, meta, standard_metadata);
                } else {
                    tags.apply(hdr, meta, standard_metadata);
                }
            }
            if (meta.drop_reason != DROP_NONE) {
                egress_drops.count((bit<32>)meta.drop_reason);
                port_egress_drops.count((bit<32>)(meta.ingress_port ++ meta.drop_reason[5:0]));
                mark_to_drop(standard_metadata);
            } else {
                port_out.count((bit<32>)standard_metadata.egress_port);
            }
        }
    }
}

control compute_checksums(inout headers_t hdr, inout metadata_t meta) {
    apply {
        update_checksum(hdr.encap_ipv4.isValid(),
            { hdr.encap_ipv4.version, hdr.encap_ipv4.ihl, hdr.encap_ipv4.dscp, hdr.encap_ipv4.ecn,
              hdr.encap_ipv4.total_length, hdr.encap_ipv4.identification, hdr.encap_ipv4.flags,
              hdr.encap_ipv4.fragment_offset, hdr.encap_ipv4.ttl, hdr.encap_ipv4.protocol,
              hdr.encap_ipv4.source, hdr.encap_ipv4.destination },
            hdr.encap_ipv4.checksum, HashAlgorithm.csum16);
        update_checksum(meta.reply == REPLY_ND || meta.reply == REPLY_DAD,
            { hdr.ipv6.source, hdr.ipv6.destination, 16w0, hdr.ipv6.payload_length,
              24w0, hdr.ipv6.next_header, hdr.icmpv6.type, hdr.icmpv6.code,
              hdr.neighbour.flags, hdr.neighbour.target, hdr.neighbour.option,
              hdr.neighbour.option_length, hdr.neighbour.mac },
            hdr.icmpv6.checksum, HashAlgorithm.csum16);
    }
}

@pkginfo(name="p4evpn", version="0.1.0")
V1Switch(frame_parser(), verify_checksums(), ingress(), egress(),
         compute_checksums(), frame_deparser()) main;
