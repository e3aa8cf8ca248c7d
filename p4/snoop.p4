// SPDX-License-Identifier: Apache-2.0
// DHCP snooping: copies for the controller, which binds addresses to the stations behind
// guarded ports.
#ifndef P4EVPN_SNOOP
#define P4EVPN_SNOOP

// A copy of what a station behind a guarded port asks, and of what may be its server's
// answer: of trusted ports and VTEPs, also where it was routed.
control snoop_dhcp(inout headers_t hdr, inout metadata_t meta) {
    @brief("Copy answers of DHCP servers")
    @name(".snoop.answer") @id(0x010000e2)
    action answer() { meta.copy_reason = PUNT_DHCP; }

    @name(".snoop.pass") @id(0x010000e3)
    action pass() { }

    @brief("Bridges with guarded ports")
    @name(".snoop.bridge") @id(0x020000e2)
    table snooped {
        key = { meta.bridge: exact @name("bridge"); }
        actions = { answer; @defaultonly pass; }
        const default_action = pass;
        size = 4096;
    }

    apply {
        // What a tenant encapsulated itself is payload.
        if (meta.drop_reason == DROP_NONE && meta.copy_reason == 0 &&
            (meta.terminated == 1 || !hdr.vxlan.isValid())) {
            if (meta.dhcp == DHCP_TO_SERVER) {
                if (meta.guarded == 1) {
                    meta.copy_reason = PUNT_DHCP;
                }
            } else if (meta.terminated == 1 || meta.trusted == 1) {
                snooped.apply();
            }
            if (meta.copy_reason == 0) {
                // Nobody asked for it.
            } else if (meta.ether_type == ETHERTYPE_IPV6) {
                meta.copy_reason = PUNT_DHCPV6;
                if (meta.terminated == 1) {
                    meta.copy_reason = PUNT_VXLAN_DHCPV6;
                }
            } else if (meta.terminated == 1) {
                meta.copy_reason = PUNT_VXLAN_DHCP;
            }
        }
    }
}

#endif
