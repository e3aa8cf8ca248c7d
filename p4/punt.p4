// SPDX-License-Identifier: Apache-2.0
// Frames to the controller and from it.
#ifndef P4EVPN_PUNT
#define P4EVPN_PUNT

// packet_out.mode: any other value is raw.
const bit<8> INJECT_BRIDGE = 1;
const bit<8> INJECT_LOCAL  = 2;
const bit<8> INJECT_VRF    = 3;

// A frame of the controller: out of a port as it is, forwarded in a bridge, or
// routed in a VRF.
control inject(inout headers_t hdr,
               inout metadata_t meta,
               inout standard_metadata_t standard_metadata) {
    apply {
        if (hdr.packet_out.mode == INJECT_BRIDGE) {
            meta.origin = ORIGIN_CPU;
            meta.bridge = hdr.packet_out.bridge;
        } else if (hdr.packet_out.mode == INJECT_LOCAL) {
            meta.origin = ORIGIN_CPU;
            meta.bridge = hdr.packet_out.bridge;
            meta.local_only = 1;
        } else if (hdr.packet_out.mode == INJECT_VRF) {
            meta.origin = ORIGIN_CPU;
            meta.vrf = hdr.packet_out.vrf;
            meta.routed = 1;
        } else {
            meta.origin = ORIGIN_PASS;
            standard_metadata.egress_spec = (port_t)hdr.packet_out.egress_port;
        }
        if (meta.origin == ORIGIN_CPU && meta.bridge == 0 && meta.vrf == 0) {
            meta.drop_reason = DROP_NOT_MEMBER;
        }
        hdr.packet_out.setInvalid();
    }
}

// Copies or diverts what the controller asked for.
control trap_frame(inout headers_t hdr,
                   inout metadata_t meta,
                   inout standard_metadata_t standard_metadata) {
    @brief("A copy goes to the controller, the frame goes on")
    @name(".punt.copy") @id(0x01000090)
    action copy(reason_t reason) { meta.copy_reason = reason; }

    @brief("The frame goes to the controller and nowhere else")
    @name(".punt.divert") @id(0x01000091)
    action divert(reason_t reason) { meta.punt_reason = reason; }

    @name(".punt.pass") @id(0x01000092)
    action pass() { }

    @brief("Frames of bridges that the controller wants to see; origin: 1 bridge port, 2 VXLAN")
    @name(".punt.trap") @id(0x02000090)
    table trap {
        key = {
            meta.bridge: ternary @name("bridge");
            meta.ether_type: ternary @name("ether_type");
            meta.destination: ternary @name("mac");
            meta.icmpv6_type: ternary @name("icmpv6_type");
            meta.origin: ternary @name("origin");
        }
        actions = { copy; divert; @defaultonly pass; }
        const default_action = pass;
        size = 1024;
    }

    apply { trap.apply(); }
}

// Sends to the CPU what ingress decided to: the frame itself, a copy, or both.
// Each reason has a meter, so that no tenant keeps the controller busy.
control punt_frame(inout headers_t hdr,
                   inout metadata_t meta,
                   inout standard_metadata_t standard_metadata) {
    @brief("Frames to the controller, by reason")
    @name(".punt.rate") @id(0x14000001)
    meter(16, MeterType.packets) rate;

    bit<2> colour = 0;

    action send_copy() { clone_preserving_field_list(CloneType.I2E, 1, 1); }

    apply {
        if (meta.copy_reason != 0) {
            rate.execute_meter((bit<32>)meta.copy_reason, colour);
            if (colour != 2) {
                send_copy();
            }
        }
        if (meta.punt_reason != 0 && meta.drop_reason == DROP_NONE) {
            colour = 0;
            if (meta.ingress_port == CPU_PORT) {
                // The controller's own packet: it would only come back.
                if (meta.punt_reason == PUNT_MTU) {
                    meta.drop_reason = DROP_MTU;
                } else {
                    meta.drop_reason = DROP_NO_ROUTE;
                }
            } else {
                rate.execute_meter((bit<32>)meta.punt_reason, colour);
                if (colour == 2) {
                    meta.drop_reason = DROP_PUNT_RATE;
                } else {
                    standard_metadata.mcast_grp = 0;
                    standard_metadata.egress_spec = CPU_PORT;
                }
            }
        }
    }
}

#endif
