/* Translated types: ports as names, next hops as names, VRFs as numbers of 32
 * bits.
 *
 * p4c-bm2-ss --arch v1model --p4runtime-files translated.p4info.txtpb -o translated.json translated.p4
 */
#include <core.p4>
#include <v1model.p4>

@p4runtime_translation("example.org/port", string)
type bit<9> port_id_t;
@p4runtime_translation("example.org/nexthop", string)
type bit<4> nexthop_t;
@p4runtime_translation("example.org/vrf", 32)
type bit<10> vrf_t;

header ethernet_t { bit<48> dst; bit<48> src; bit<16> type; }
struct headers_t { ethernet_t ethernet; }
struct meta_t { port_id_t port; nexthop_t nexthop; vrf_t vrf; }

parser p(packet_in pkt, out headers_t h, inout meta_t m, inout standard_metadata_t sm) {
    state start { pkt.extract(h.ethernet); transition accept; }
}
control verify_sums(inout headers_t h, inout meta_t m) { apply { } }
control update_sums(inout headers_t h, inout meta_t m) { apply { } }
control egress(inout headers_t h, inout meta_t m, inout standard_metadata_t sm) { apply { } }

control ingress(inout headers_t h, inout meta_t m, inout standard_metadata_t sm) {
    action into(vrf_t vrf) { m.vrf = vrf; }
    action via(nexthop_t nexthop) { m.nexthop = nexthop; }
    action out_of(port_id_t port) { sm.egress_spec = (bit<9>)port; }
    table vrfs { key = { m.port: exact @name("port"); } actions = { into; NoAction; } default_action = NoAction(); }
    table routes {
        key = { m.vrf: exact @name("vrf"); h.ethernet.dst: lpm @name("dst"); }
        actions = { via; NoAction; }
        default_action = NoAction();
    }
    table nexthops {
        key = { m.nexthop: optional @name("nexthop"); }
        actions = { out_of; NoAction; }
        default_action = NoAction();
    }
    apply {
        m.port = (port_id_t)sm.ingress_port;
        vrfs.apply();
        routes.apply();
        nexthops.apply();
    }
}
control deparse(packet_out pkt, in headers_t h) { apply { pkt.emit(h); } }
V1Switch(p(), verify_sums(), ingress(), egress(), update_sums(), deparse()) main;
