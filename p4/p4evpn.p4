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
#include "punt.p4"

// BMv2's standard_metadata.instance_type of what a multicast group made.
const bit<32> INSTANCE_REPLICATION = 5;

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

    classify_port() ports;
    terminate_vxlan() vxlan;
    classify_bridge() bridges;
    learn_source() sources;
    trap_frame() traps;
    forward() forwarding;
    hash_flow() flow;
    inject() injection;

    // The tenant's frame, wherever it is in what arrived.
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
        meta.ingress_port = standard_metadata.ingress_port;
        if (hdr.packet_out.isValid()) {
            injection.apply(hdr, meta, standard_metadata);
        } else {
            ports.apply(hdr, meta, standard_metadata);
            if (meta.host_port != 0) {
                vxlan.apply(hdr, meta, standard_metadata);
            }
        }

        if (meta.origin == ORIGIN_BRIDGE) {
            bridges.apply(hdr, meta, standard_metadata);
        }
        if (meta.bridge != 0 && meta.drop_reason == DROP_NONE) {
            if (meta.origin == ORIGIN_VXLAN) {
                view_inner_frame();
            } else if (hdr.vlan.isValid() && meta.origin == ORIGIN_BRIDGE) {
                view_tagged_frame();
            } else if (meta.origin == ORIGIN_CPU) {
                view_injected_frame();
            } else {
                view_frame();
            }
            if (meta.source[40:40] == 1 || meta.source == 0) {
                meta.drop_reason = DROP_BAD_SOURCE;
            } else if (meta.origin == ORIGIN_BRIDGE) {
                sources.apply(hdr, meta, standard_metadata);
            }
            if (meta.drop_reason == DROP_NONE) {
                traps.apply(hdr, meta, standard_metadata);
                if (meta.diverted == 0) {
                    if (meta.destination[47:4] == 44w0x0180c200000) {
                        // IEEE 802.1Q table 8-1: a bridge never relays these.
                        meta.drop_reason = DROP_RESERVED_GROUP;
                    } else {
                        forwarding.apply(hdr, meta, standard_metadata);
                    }
                    if (meta.origin != ORIGIN_VXLAN) {
                        flow.apply(hdr, meta);
                    }
                }
            }
        }

        if (meta.drop_reason != DROP_NONE) {
            ingress_drops.count((bit<32>)meta.drop_reason);
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

    finish_replica() replicas;
    encapsulate() tunnels;
    tag_frame() tags;

    bit<1> prune = 0;

    // Leaves only the tenant's frame, without a tag.
    action strip_outer() {
        hdr.ethernet = hdr.inner_ethernet;
        hdr.inner_ethernet.setInvalid();
        hdr.vxlan.setInvalid();
        hdr.udp.setInvalid();
        hdr.ipv4.setInvalid();
    }
    action strip_tag() {
        hdr.ethernet.ether_type = hdr.vlan.ether_type;
        hdr.vlan.setInvalid();
    }
    action add_packet_in() {
        hdr.packet_in.setValid();
        hdr.packet_in.reason = meta.punt_reason;
        hdr.packet_in.ingress_port = (bit<16>)meta.ingress_port;
        hdr.packet_in.bridge = meta.bridge;
    }

    apply {
        if (standard_metadata.instance_type == INSTANCE_REPLICATION) {
            replicas.apply(hdr, meta, standard_metadata, prune);
        }
        if (prune == 1) {
            // A replica that no one should get is no loss: it is not counted.
            mark_to_drop(standard_metadata);
        } else {
            if (meta.bridge != 0) {
                if (meta.origin == ORIGIN_VXLAN) {
                    strip_outer();
                } else if (meta.origin == ORIGIN_BRIDGE && hdr.vlan.isValid()) {
                    strip_tag();
                }
                if (standard_metadata.egress_port == CPU_PORT) {
                    add_packet_in();
                } else if (meta.vtep != 0) {
                    tunnels.apply(hdr, meta, standard_metadata);
                } else {
                    tags.apply(hdr, meta, standard_metadata);
                }
            }
            if (meta.drop_reason != DROP_NONE) {
                egress_drops.count((bit<32>)meta.drop_reason);
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
    }
}

@pkginfo(name="p4evpn", version="0.1.0")
V1Switch(frame_parser(), verify_checksums(), ingress(), egress(),
         compute_checksums(), frame_deparser()) main;
