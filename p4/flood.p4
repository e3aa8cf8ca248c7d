// SPDX-License-Identifier: Apache-2.0
// Flooding by ingress replication (RFC 7432 section 12.2, RFC 8365 section 9):
// the group of a bridge holds its local ports, all with instance 1, and an
// instance of its own for each VTEP that advertised a type-3 route.
#ifndef P4EVPN_FLOOD
#define P4EVPN_FLOOD

control finish_replica(inout headers_t hdr,
                       inout metadata_t meta,
                       inout standard_metadata_t standard_metadata,
                       inout bit<1> prune) {
    @brief("The replica is for a VTEP, which asked for this VNI")
    @name(".flood.to_vtep") @id(0x01000080)
    action to_vtep(vtep_t vtep, vni_t vni) {
        meta.vtep = vtep;
        meta.vni = vni;
    }

    @brief("The replica is for a bridge port")
    @name(".flood.local") @id(0x01000081)
    action local() { }

    @brief("Whom each replica of a bridge's group is for")
    @name(".flood.replica") @id(0x02000080)
    table replica {
        key = {
            meta.bridge: exact @name("bridge");
            standard_metadata.egress_rid: exact @name("instance");
        }
        actions = { to_vtep; @defaultonly local; }
        const default_action = local;
        size = 262144;
    }

    apply {
        if (replica.apply().hit) {
            // Split horizon: from VXLAN never to VXLAN.
            if (meta.origin == ORIGIN_VXLAN || meta.local_only == 1) {
                prune = 1;
            }
        } else if (meta.origin == ORIGIN_BRIDGE &&
                   standard_metadata.egress_port == meta.ingress_port) {
            prune = 1;
        }
    }
}

#endif
