// SPDX-License-Identifier: Apache-2.0
// Frames to the controller and from it.
#ifndef P4EVPN_PUNT
#define P4EVPN_PUNT

// packet_out.mode: any other value is raw.
const bit<8> INJECT_BRIDGE = 1;

// A frame of the controller: out of a port as it is, or forwarded in a bridge.
control inject(inout headers_t hdr,
               inout metadata_t meta,
               inout standard_metadata_t standard_metadata) {
    apply {
        if (hdr.packet_out.mode == INJECT_BRIDGE) {
            meta.origin = ORIGIN_CPU;
            meta.bridge = hdr.packet_out.bridge;
        } else {
            meta.origin = ORIGIN_PASS;
            standard_metadata.egress_spec = (port_t)hdr.packet_out.egress_port;
        }
        hdr.packet_out.setInvalid();
    }
}

control trap_frame(inout headers_t hdr,
                   inout metadata_t meta,
                   inout standard_metadata_t standard_metadata) {
    @brief("A copy goes to the controller, the frame goes on")
    @name(".punt.copy") @id(0x01000090)
    action copy(reason_t reason) {
        meta.punt_reason = reason;
        clone_preserving_field_list(CloneType.I2E, 1, 1);
    }

    @brief("The frame goes to the controller and nowhere else")
    @name(".punt.divert") @id(0x01000091)
    action divert(reason_t reason) {
        meta.punt_reason = reason;
        meta.diverted = 1;
        standard_metadata.egress_spec = CPU_PORT;
    }

    @name(".punt.pass") @id(0x01000092)
    action pass() { }

    @brief("Frames of bridges that the controller wants to see; origin: 1 bridge port, 2 VXLAN")
    @name(".punt.trap") @id(0x02000090)
    table trap {
        key = {
            meta.bridge: ternary @name("bridge");
            meta.ether_type: ternary @name("ether_type");
            meta.destination: ternary @name("mac");
            meta.origin: ternary @name("origin");
        }
        actions = { copy; divert; @defaultonly pass; }
        const default_action = pass;
        size = 1024;
    }

    apply { trap.apply(); }
}

#endif
