// SPDX-License-Identifier: Apache-2.0
// Headers and metadata: what the parser finds and what the controls agree on.
#ifndef P4EVPN_HEADERS
#define P4EVPN_HEADERS

typedef bit<9>  port_t;
typedef bit<48> mac_t;
typedef bit<32> ipv4_addr_t;
typedef bit<24> vni_t;
typedef bit<12> vlan_id_t;
// A bridge is a broadcast domain; its id is also its multicast group. 0: none.
typedef bit<16> bridge_t;
// A VRF is a routing domain. 0: none.
typedef bit<16> vrf_t;
// A VTEP id stands for one remote tunnel end. 0: none.
typedef bit<16> vtep_t;
// An adjacency is a neighbour of an uplink: the two MACs of the underlay hop.
typedef bit<16> adjacency_t;
// Several routers that flows of a prefix choose among. 0: none.
typedef bit<16> next_hops_t;
typedef bit<8>  reason_t;

const port_t CPU_PORT = 510;

const bit<64> FLOWS = 0x100000000; // how many a hash tells apart

const bit<16> ETHERTYPE_VLAN = 0x8100;
const bit<16> ETHERTYPE_IPV4 = 0x0800;
const bit<16> ETHERTYPE_ARP  = 0x0806;
const bit<16> ETHERTYPE_IPV6 = 0x86dd;
// Further VLAN tags: IEEE 802.1ad, and what came before it.
const bit<16> ETHERTYPE_SVLAN = 0x88a8;
const bit<16> ETHERTYPE_QINQ1 = 0x9100;
const bit<16> ETHERTYPE_QINQ2 = 0x9200;
const bit<16> ETHERTYPE_QINQ3 = 0x9300;
const bit<8>  PROTOCOL_ICMP  = 1;
const bit<8>  ICMP_REDIRECT  = 5;
const bit<8>  PROTOCOL_TCP   = 6;
const bit<8>  PROTOCOL_UDP   = 17;
const bit<8>  PROTOCOL_ICMPV6 = 58;
// What else may stand between an IPv6 header and what it carries (IANA's
// registry of IPv6 extension header types; ESP hides all that follows).
const bit<8>  IPV6_HOP_BY_HOP  = 0;
const bit<8>  IPV6_ROUTING     = 43;
const bit<8>  IPV6_FRAGMENT    = 44;
const bit<8>  IPV6_AH          = 51;
const bit<8>  IPV6_DESTINATION = 60;
const bit<8>  IPV6_MOBILITY    = 135;
const bit<8>  IPV6_HIP         = 139;
const bit<8>  IPV6_SHIM6       = 140;
const bit<16> UDP_PORT_DHCP_SERVER   = 67;
const bit<16> UDP_PORT_DHCP_CLIENT   = 68;
const bit<16> UDP_PORT_DHCPV6_CLIENT = 546;
const bit<16> UDP_PORT_DHCPV6_SERVER = 547;
const bit<16> UDP_PORT_VXLAN = 4789;

// Lengths in bytes.
const bit<16> ETHERNET_LEN   = 14;
const bit<16> IPV4_LEN       = 20;
const bit<16> IPV6_LEN       = 40;
const bit<16> VLAN_LEN       = 4;
const bit<16> PACKET_OUT_LEN = 7;
const bit<16> UDP_ENCAP_LEN  = 16; // UDP and VXLAN
const bit<16> IPV4_ENCAP_LEN = 36; // IPv4, UDP and VXLAN
const bit<16> VXLAN_ENCAP_LEN = 50; // Ethernet, IPv4, UDP and VXLAN

// Where a frame came from. The class of its port decides, and for uplinks
// whether the frame is VXLAN to one of our VTEP addresses.
const bit<3> ORIGIN_BRIDGE = 1; // a bridge port: a tenant's frame
const bit<3> ORIGIN_VXLAN  = 2; // a remote VTEP: a tenant's frame, encapsulated
const bit<3> ORIGIN_CPU    = 3; // injected into a bridge by the controller
const bit<3> ORIGIN_PASS   = 4; // uplink to host port and back, injected raw
const bit<3> ORIGIN_ROUTED = 5; // left the bridge or VNI that it came by: it may
                                // go back the way it came

// Why a frame was dropped: the index of the drop counters, below 64.
const reason_t DROP_NONE            = 0;
const reason_t DROP_UNKNOWN_PORT    = 1;
const reason_t DROP_NOT_MEMBER      = 2;
const reason_t DROP_UNKNOWN_VTEP    = 3;
const reason_t DROP_UNKNOWN_VNI     = 4;
const reason_t DROP_BAD_VXLAN       = 5;
const reason_t DROP_BAD_CHECKSUM    = 6;
const reason_t DROP_INNER_VLAN      = 7;
const reason_t DROP_BAD_SOURCE      = 8;
const reason_t DROP_RESERVED_GROUP  = 9;
const reason_t DROP_DECLINED_SOURCE = 10;
const reason_t DROP_FDB             = 11;
const reason_t DROP_HAIRPIN         = 12;
const reason_t DROP_SPLIT_HORIZON   = 13;
const reason_t DROP_NO_PATH         = 14;
const reason_t DROP_NO_TUNNEL       = 15;
const reason_t DROP_NO_ADJACENCY    = 16;
const reason_t DROP_WRONG_ROUTER_MAC = 17;
const reason_t DROP_BAD_IP          = 18;
const reason_t DROP_IP_OPTIONS      = 19;
const reason_t DROP_MARTIAN         = 20;
const reason_t DROP_ROUTE           = 21;
const reason_t DROP_MTU             = 22;
const reason_t DROP_PUNT_RATE       = 23;
const reason_t DROP_NO_INTERFACE    = 24;
const reason_t DROP_NO_ROUTE        = 25;
const reason_t DROP_TRUNCATED       = 26; // no Ethernet header
const reason_t DROP_FORGED_GATEWAY  = 27; // a tenant says that it is the gateway
const reason_t DROP_STACKED_TAGS    = 28; // one VLAN tag more than the port carries
const reason_t DROP_ROGUE_ROUTER    = 29; // a router advertisement or redirect of a tenant
const reason_t DROP_ROGUE_DHCP      = 30; // a tenant answers as a DHCP server
const reason_t DROP_HIDDEN          = 31; // may be one of these, behind what is not looked through
// What a port is policed for; the last two bits are those of the cell of storm_rate.
const reason_t DROP_SPOOFED         = 32; // a source address that is not bound to the station
const reason_t DROP_STORM_BROADCAST = 33; // more broadcasts than the port may send
const reason_t DROP_STORM_MULTICAST = 34;
const reason_t DROP_STORM_UNKNOWN   = 35; // the same of frames to unknown stations
const reason_t DROP_UNKNOWN_STATION = 36; // the bridge does not flood frames to unknown stations

// Why a frame went to the controller; 1 and 2, and 7 and 8 for what came by VXLAN,
// are those of its own traps, for ARP and ND. No two that share a meter of a port, or
// of a bridge, have the same last two bits.
const reason_t PUNT_GLEAN = 3; // for a host of an attached subnet, unknown
const reason_t PUNT_LOCAL = 4; // for the gateway itself
const reason_t PUNT_TTL   = 5; // TTL or hop limit is used up
const reason_t PUNT_MTU   = 6; // routed, and does not fit
// A copy of a frame that was dropped, as it came: the reason of that in the lower bits.
const reason_t COPY_DROPPED = 64;
// Copies of DHCP: of what came by VXLAN, and of bridge ports.
const reason_t PUNT_VXLAN_DHCP   = 9;
const reason_t PUNT_VXLAN_DHCPV6 = 10;
const reason_t PUNT_DHCP         = 11;
const reason_t PUNT_DHCPV6       = 12;

header ethernet_t {
    mac_t   destination;
    mac_t   source;
    bit<16> ether_type;
}

header vlan_t {
    bit<3>    pcp;
    bit<1>    dei;
    vlan_id_t vlan_id;
    bit<16>   ether_type;
}

header ipv4_t {
    bit<4>      version;
    bit<4>      ihl;
    bit<6>      dscp;
    bit<2>      ecn;
    bit<16>     total_length;
    bit<16>     identification;
    bit<3>      flags;
    bit<13>     fragment_offset;
    bit<8>      ttl;
    bit<8>      protocol;
    bit<16>     checksum;
    ipv4_addr_t source;
    ipv4_addr_t destination;
}

header ipv6_t {
    bit<4>   version;
    bit<6>   dscp;
    bit<2>   ecn;
    bit<20>  flow_label;
    bit<16>  payload_length;
    bit<8>   next_header;
    bit<8>   hop_limit;
    bit<128> source;
    bit<128> destination;
}

// ARP for IPv4 over Ethernet (RFC 826).
header arp_t {
    bit<16>     hardware_type;
    bit<16>     protocol_type;
    bit<8>      hardware_length;
    bit<8>      protocol_length;
    bit<16>     operation; // 1 request, 2 reply
    mac_t       sender_mac;
    ipv4_addr_t sender;
    mac_t       target_mac;
    ipv4_addr_t target;
}

header icmpv6_t {
    bit<8>  type;
    bit<8>  code;
    bit<16> checksum;
}

// A neighbour solicitation with its source link-layer address, and the
// advertisement that answers it (RFC 4861 sections 4.3, 4.4, 4.6.1): both have
// this length.
header neighbour_t {
    bit<32>  flags;
    bit<128> target;
    bit<8>   option;
    bit<8>   option_length; // in units of 8 bytes
    mac_t    mac;
}

// How a solicitation, an advertisement or a redirect of any other length begins
// (RFC 4861 sections 4.3 to 4.5).
header neighbour_target_t {
    bit<32>  flags;
    bit<128> target;
}

// RFC 8200 section 4.5.
header ipv6_fragment_t {
    bit<8>  next_header;
    bit<8>  reserved;
    bit<13> offset;
    bit<2>  reserved2;
    bit<1>  more;
    bit<32> identification;
}

// The first four bytes of TCP: all that a flow hash needs.
header tcp_ports_t {
    bit<16> source;
    bit<16> destination;
}

header udp_t {
    bit<16> source;
    bit<16> destination;
    bit<16> length;
    bit<16> checksum;
}

// RFC 7348 section 5.
header vxlan_t {
    bit<8>  flags; // 0x08: the VNI is valid
    bit<24> reserved;
    vni_t   vni;
    bit<8>  reserved2;
}

@controller_header("packet_in")
header packet_in_t {
    reason_t reason;       // of the trap
    bit<16>  ingress_port; // the uplink when the frame came by VXLAN
    bridge_t bridge;       // that it came in, 0 if it came by an L3 VNI
    vrf_t    vrf;
    ipv4_addr_t vtep;      // that it came from by VXLAN, else 0
}

@controller_header("packet_out")
header packet_out_t {
    bit<8>   mode; // 0: out of egress_port as it is; 1: forward in bridge;
                   // 2: the same, to local ports only; 3: route in vrf
    bit<16>  egress_port;
    bridge_t bridge;
    vrf_t    vrf;
}

const bit<2> DHCP_TO_SERVER = 1;
const bit<2> DHCP_TO_CLIENT = 2;

const bit<2> REPLY_ARP = 1;
const bit<2> REPLY_ND  = 2;
const bit<2> REPLY_DAD = 3; // to a solicitation from no address

struct headers_t {
    packet_in_t  packet_in;
    packet_out_t packet_out;

    // Pushed by encapsulation.
    ethernet_t   encap_ethernet;
    ipv4_t       encap_ipv4;
    udp_t        encap_udp;
    vxlan_t      encap_vxlan;

    // The frame as it arrived. pushed_vlan is ours, on the way out of a trunk.
    ethernet_t   ethernet;
    vlan_t       pushed_vlan;
    vlan_t       vlan;
    arp_t        arp;
    ipv4_t       ipv4;
    ipv6_t       ipv6;
    ipv6_fragment_t ipv6_fragment;
    icmpv6_t     icmpv6;
    neighbour_t  neighbour;
    neighbour_target_t neighbour_target;
    tcp_ports_t  tcp;
    udp_t        udp;
    vxlan_t      vxlan;

    // The tenant's frame inside VXLAN: copied over on termination. Its ARP and
    // ICMPv6 are in the headers above, which no frame has twice.
    ethernet_t   inner_ethernet;
    ipv4_t       inner_ipv4;
    ipv6_t       inner_ipv6;
    tcp_ports_t  inner_ports; // of TCP or UDP
}

struct metadata_t {
    // What a copy to the CPU needs beside the frame, which is parsed again.
    @field_list(1) bridge_t in_bridge;   // that the frame came in
    @field_list(1) port_t   ingress_port;
    @field_list(1) vrf_t    vrf;         // not 0 as soon as the frame is routed
    @field_list(1) bit<1>   terminated;  // came by VXLAN to us
    @field_list(1) bit<1>   tagged;      // its VLAN tag said which bridge
    @field_list(1) reason_t copy_reason; // of the trap that copied

    reason_t  drop_reason;
    reason_t  punt_reason; // not 0: to the CPU instead of being forwarded
    bit<3>    origin;
    bit<1>    gateway;     // the bridge has one: nobody else may claim to be it
    bit<1>    trusted;     // the port may have routers and DHCP servers
    bit<1>    stacked;     // the port carries frames with a tag inside the bridge's
    bit<1>    guarded;     // the port sends from addresses that are bound to its stations alone
    bit<2>    dhcp;        // UDP to DHCP_TO_SERVER or DHCP_TO_CLIENT; may be a tenant's payload
    bit<1>    inner_tag;   // the tenant's frame has a VLAN tag, beside the bridge's
    vlan_id_t inner_vlan;  // of that tag
    bit<1>    hidden;      // the parser saw what hides neighbour discovery or IP
    bit<8>    icmp_type;   // of ICMP; of what is behind the innermost IPv4 header
    bit<16>   fragment_port; // UDP destination port of a first fragment
    bit<1>    routed;
    bit<1>    local_only;  // to no VTEP
    bit<1>    arp;         // hdr.arp is the tenant's frame's, not of one inside it
    bit<1>    icmpv6;      // the same of hdr.icmpv6 and what follows it
    bit<2>    reply;       // what egress makes of a request: REPLY_ARP, REPLY_ND, REPLY_DAD
    bit<1>    router;      // the flags of the answer to a solicitation
    bit<1>    override;
    port_t    host_port;   // beside the uplink that the frame came by
    vlan_id_t vlan_id;     // of the arriving frame, 0 when untagged
    bridge_t  bridge;      // that the frame is in; routing changes it
    mac_t     destination; // of the tenant's frame; routing changes it
    mac_t     source;
    bit<16>   ether_type;
    bit<8>    icmpv6_type; // 0 for anything else
    bit<16>   icmpv6_length; // as its IPv6 header says
    bit<16>   length;      // of the tenant's frame without a tag, in bytes
    mac_t     router_mac;  // ours, that frames of an L3 VNI must be for
    ipv4_addr_t ipv4;      // destination to be routed
    bit<128>  ipv6;
    vtep_t    vtep;        // not 0: encapsulate
    vni_t     vni;
    bit<16>   mtu;         // largest tenant frame that fits the path
    bit<32>   flow;        // hash of the tenant's flow
    bit<8>    uplink_hash; // the part of it that chooses the uplink
    bit<8>    next_hop_hash; // the part of it that chooses the next hop of a prefix
    next_hops_t next_hops; // not 0: what it chooses among
    bit<6>    dscp;        // of the tenant's packet
    adjacency_t adjacency; // that the flow chose; 0: the tunnel's
}

// The digest that reports a source MAC on a bridge port.
struct learn_t {
    bridge_t bridge;
    mac_t    mac;
    bit<16>  port;
}

#endif
