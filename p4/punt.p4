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
// Each reason has a meter, so that nobody keeps the controller busy, and everybody
// who can cause frames a smaller one of his own, so that nobody has it alone.
control punt_frame(inout headers_t hdr,
                   inout metadata_t meta,
                   inout standard_metadata_t standard_metadata) {
    @brief("Frames to the controller, by reason")
    @name(".punt.rate") @id(0x14000001)
    meter(16, MeterType.packets) rate;

    @brief("Those that traps took from frames of a port, by port and the last two bits of the reason")
    @name(".punt.port_rate") @id(0x14000002)
    meter(2048, MeterType.packets) port_rate;

    @brief("Those that traps took from what came by VXLAN, by bridge and the last two bits of the reason")
    @name(".punt.bridge_rate") @id(0x14000003)
    meter(16384, MeterType.packets) bridge_rate;

    @brief("Those that were to be routed, by VRF and the last two bits of the reason")
    @name(".punt.vrf_rate") @id(0x14000004)
    meter(16384, MeterType.packets) vrf_rate;

    @brief("Frames and copies that a meter kept from the controller, by reason")
    @name(".punts_limited") @id(0x1200000a)
    counter(16, CounterType.packets_and_bytes) punts_limited;

    bit<2> colour = 0;

    action send_copy() { clone_preserving_field_list(CloneType.I2E, 1, 1); }

    apply {
        if (meta.copy_reason != 0) {
            if (meta.terminated == 1) {
                bridge_rate.execute_meter((bit<32>)(meta.in_bridge[11:0] ++ meta.copy_reason[1:0]), colour);
            } else {
                port_rate.execute_meter((bit<32>)(meta.ingress_port ++ meta.copy_reason[1:0]), colour);
            }
            if (colour != 2) {
                rate.execute_meter((bit<32>)meta.copy_reason, colour);
            }
            if (colour != 2) {
                send_copy();
            } else {
                punts_limited.count((bit<32>)meta.copy_reason);
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
                if (meta.vrf != 0) {
                    vrf_rate.execute_meter((bit<32>)(meta.vrf[11:0] ++ meta.punt_reason[1:0]), colour);
                } else if (meta.terminated == 1) {
                    bridge_rate.execute_meter((bit<32>)(meta.in_bridge[11:0] ++ meta.punt_reason[1:0]), colour);
                } else {
                    port_rate.execute_meter((bit<32>)(meta.ingress_port ++ meta.punt_reason[1:0]), colour);
                }
                if (colour != 2) {
                    rate.execute_meter((bit<32>)meta.punt_reason, colour);
                }
                if (colour == 2) {
                    meta.drop_reason = DROP_PUNT_RATE;
                    punts_limited.count((bit<32>)meta.punt_reason);
                } else {
                    standard_metadata.mcast_grp = 0;
                    standard_metadata.egress_spec = CPU_PORT;
                }
            }
        }
    }
}

#endif
