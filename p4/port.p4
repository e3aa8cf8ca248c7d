// SPDX-License-Identifier: Apache-2.0
// What a port is: a bridge port, an uplink, or the host port beside an uplink.
#ifndef P4EVPN_PORT
#define P4EVPN_PORT

control classify_port(inout headers_t hdr,
                      inout metadata_t meta,
                      inout standard_metadata_t standard_metadata) {
    @brief("Frames and bytes that arrived, by port")
    @name(".port_in") @id(0x12000001)
    counter(512, CounterType.packets_and_bytes) port_in;

    @brief("A tenant's port: its frames are bridged")
    @name(".port.bridge_port") @id(0x01000001)
    action bridge_port() { meta.origin = ORIGIN_BRIDGE; }

    @brief("An uplink: what is not VXLAN to us goes to host_port")
    @name(".port.uplink") @id(0x01000002)
    action uplink(port_t host_port) {
        meta.origin = ORIGIN_PASS;
        meta.host_port = host_port;
    }

    @brief("The Linux side of an uplink: its frames leave by uplink_port as they are")
    @name(".port.host") @id(0x01000003)
    action host(port_t uplink_port) {
        meta.origin = ORIGIN_PASS;
        standard_metadata.egress_spec = uplink_port;
    }

    @name(".port.unknown") @id(0x01000004)
    action unknown() { meta.drop_reason = DROP_UNKNOWN_PORT; }

    @brief("The kind of each port")
    @name(".port.kind") @id(0x02000001)
    table kind {
        key = { standard_metadata.ingress_port: exact @name("ingress_port"); }
        actions = { bridge_port; uplink; host; @defaultonly unknown; }
        const default_action = unknown;
        size = 512;
    }

    apply {
        port_in.count((bit<32>)standard_metadata.ingress_port);
        kind.apply();
    }
}

#endif
