/* A v1model program for the tests of the P4Runtime server: each match kind,
 * idle timeout, direct and indirect counters, meter, constant entries, digest,
 * multicast, clone, packet-in and packet-out. CPU port 510, drop port 511.
 *
 * p4c-bm2-ss --arch v1model --p4runtime-files kinds.p4info.txtpb -o kinds.json kinds.p4
 */
#include <core.p4>
#include <v1model.p4>

const bit<9> CPU_PORT = 510;

header ethernet_t { bit<48> dst; bit<48> src; bit<16> type; }

@controller_header("packet_in")
header packet_in_t { bit<9> ingress_port; bit<7> reason; }

@controller_header("packet_out")
header packet_out_t { bit<9> egress_port; bit<7> mode; }

struct headers_t {
    packet_in_t  packet_in;
    packet_out_t packet_out;
    ethernet_t   ethernet;
}

struct metadata_t { bit<16> group; }

struct seen_t { bit<48> src; bit<9> port; bool known; int<16> delta; }

parser parse(packet_in p, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        transition select(sm.ingress_port) {
            CPU_PORT: from_cpu;
            default: ethernet;
        }
    }
    state from_cpu { p.extract(hdr.packet_out); transition ethernet; }
    state ethernet { p.extract(hdr.ethernet); transition accept; }
}

control verify_sum(inout headers_t hdr, inout metadata_t meta) { apply {} }
control compute_sum(inout headers_t hdr, inout metadata_t meta) { apply {} }

control ingress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    counter(16, CounterType.packets_and_bytes) by_port;
    meter(16, MeterType.packets) police;
    bit<2> colour = 0;
    direct_counter(CounterType.packets_and_bytes) host_hits;

    action drop() { mark_to_drop(sm); }
    action forward(bit<9> port) { sm.egress_spec = port; }
    action flood(bit<16> group) { sm.mcast_grp = group; }
    action copy(bit<16> session) { clone(CloneType.I2E, (bit<32>)session); }
    action to_cpu(bit<7> reason) {
        hdr.packet_in.setValid();
        hdr.packet_in.ingress_port = sm.ingress_port;
        hdr.packet_in.reason = reason;
        sm.egress_spec = CPU_PORT;
    }
    action report() {
        digest<seen_t>(1, { hdr.ethernet.src, sm.ingress_port, false, -2 });
    }

    table source {
        key = { hdr.ethernet.src: exact; sm.ingress_port: exact; }
        actions = { NoAction; report; }
        default_action = report();
        size = 1024;
        support_timeout = true;
    }
    table host {
        key = { hdr.ethernet.dst: exact; }
        actions = { drop; forward; flood; to_cpu; @tableonly copy; @defaultonly NoAction; }
        default_action = NoAction();
        size = 4;
        counters = host_hits;
    }
    table prefix {
        key = { hdr.ethernet.src: lpm; }
        actions = { drop; forward; NoAction; }
        const default_action = NoAction();
        size = 64;
    }
    table rule {
        key = {
            hdr.ethernet.dst: ternary;
            hdr.ethernet.type: range;
            sm.ingress_port: optional;
        }
        actions = { drop; forward; to_cpu; NoAction; }
        default_action = NoAction();
        size = 64;
    }
    table fixed {
        key = { hdr.ethernet.type: exact; }
        actions = { to_cpu; NoAction; }
        default_action = NoAction();
        const entries = {
            0x88cc: to_cpu(2);
            0x8809: to_cpu(3);
        }
    }
    table nokey {
        actions = { drop; NoAction; }
        default_action = NoAction();
    }
    apply {
        if (hdr.packet_out.isValid()) {
            sm.egress_spec = hdr.packet_out.egress_port;
            hdr.packet_out.setInvalid();
        } else {
            by_port.count((bit<32>)sm.ingress_port);
            source.apply();
            host.apply();
            prefix.apply();
            rule.apply();
            fixed.apply();
            nokey.apply();
            police.execute_meter((bit<32>)sm.ingress_port, colour);
            if (colour == 2) {
                mark_to_drop(sm);
            }
        }
    }
}

control egress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) { apply {} }

control deparse(packet_out p, in headers_t hdr) {
    apply { p.emit(hdr.packet_in); p.emit(hdr.packet_out); p.emit(hdr.ethernet); }
}

V1Switch(parse(), verify_sum(), ingress(), egress(), compute_sum(), deparse()) main;
