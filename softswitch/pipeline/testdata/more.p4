// More of v1model for the tests of this package: header unions, parser value
// sets, clones from ingress with preserved fields, checksums that are verified,
// action profiles and selectors, direct counters, const entries with
// priorities, assertions and log messages.

#include <core.p4>
#include <v1model.p4>

const bit<32> INGRESS_CLONE = 1;

header top_t   { bit<8> kind; bit<8> a; bit<16> sum; }
header short_t { bit<16> x; }
header long_t  { bit<48> y; }
header note_t  { bit<8> instance; bit<9> port; bit<7> mark; bit<8> bad; }

header_union body_t {
    short_t s;
    long_t  l;
}

struct pair_t {
    @match(exact) bit<8> kind;
    @match(exact) bit<9> port;
}

struct headers_t {
    note_t note;
    top_t  top;
    body_t body;
    top_t  again;
}

struct metadata_t {
    @field_list(2) bit<9> from;
    @field_list(2) bit<7> mark;
    bit<8> other;
}

parser p(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t std) {
    value_set<bit<8>>(3) long_kinds;
    value_set<pair_t>(2) again_kinds;
    state start {
        packet.extract(hdr.top);
        transition select(hdr.top.kind, hdr.top.a) {
            (0 .. 15, _): accept;
            (_, 7 .. 9): small;
            default: more;
        }
    }
    state more {
        transition select(hdr.top.kind) {
            long_kinds: large;
            0x20 &&& 0xf0: small;
            default: pair;
        }
    }
    state pair {
        transition select(hdr.top.kind, std.ingress_port) {
            again_kinds: second;
            default: accept;
        }
    }
    state small { packet.extract(hdr.body.s); transition accept; }
    state large { packet.extract(hdr.body.l); transition accept; }
    state second { packet.extract(hdr.again); transition accept; }
}

control verify_sums(inout headers_t hdr, inout metadata_t meta) {
    apply {
        verify_checksum(hdr.top.kind == 3, { hdr.top.kind, hdr.top.a }, hdr.top.sum, HashAlgorithm.csum16);
        verify_checksum_with_payload(hdr.top.kind == 4, { hdr.top.kind, hdr.top.a }, hdr.top.sum, HashAlgorithm.crc16);
    }
}

control ingress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t std) {
    direct_counter(CounterType.packets_and_bytes) hits;
    counter(4, CounterType.bytes) seen;
    meter(2, MeterType.bytes) rate;
    action_profile(8) plain;
    action_selector(HashAlgorithm.crc16, 8, 16) spread;

    action to(bit<9> port)      { std.egress_spec = port; }
    action mark(bit<7> m)       { meta.mark = m; meta.from = std.ingress_port; clone_preserving_field_list(CloneType.I2E, 9, 2); }
    action swap()               { hdr.body.l.setValid(); hdr.body.l.y = 0x112233445566; }
    action shrink()             { hdr.body.s.setValid(); hdr.body.s.x = 0xabcd; }
    action same()               { hdr.top.a = (bit<8>)(hdr.top == hdr.again ? 8w1 : 8w2); }
    action gone()               { mark_to_drop(std); }
    action vanish(inout standard_metadata_t copy) { mark_to_drop(copy); }
    action stay()               { }

    table by_kind {
        key = { hdr.top.kind: exact; }
        actions = { to; mark; swap; shrink; same; gone; vanish(std); stay; }
        default_action = stay();
        counters = hits;
        size = 32;
    }
    table constant {
        key = { hdr.top.kind: ternary; hdr.top.a: range; }
        actions = { to; stay; }
        const entries = {
            (0x40 &&& 0xf0, 5 .. 6): to(3);
            (0x40 &&& 0xf0, _): to(2);
            (_, 5): to(4);
        }
        const default_action = stay();
    }
    table routes {
        key = { hdr.body.l.y: lpm; }
        actions = { to; stay; }
        const entries = {
            0x0a0000000000 &&& 0xff0000000000: to(5);
            0x0a0b00000000 &&& 0xffff00000000: to(6);
        }
        const default_action = stay();
    }
    table profiled {
        key = { hdr.top.a: exact; }
        actions = { to; stay; }
        implementation = plain;
        size = 8;
    }
    table selected {
        key = { hdr.top.a: exact; hdr.body.s.x: selector; hdr.top.sum: selector; }
        actions = { to; stay; }
        implementation = spread;
        size = 8;
    }

    apply {
        std.egress_spec = 1;
        if (hdr.top.isValid()) {
            seen.count((bit<32>)hdr.top.a);
            by_kind.apply();
            constant.apply();
            if (hdr.body.l.isValid()) {
                routes.apply();
            }
            if (hdr.top.kind == 0x50) {
                profiled.apply();
            } else if (hdr.top.kind == 0x2f && hdr.body.s.isValid()) {
                selected.apply();
            }
            if (hdr.top.kind == 0x62) {
                bit<2> color = 3;
                rate.execute_meter((bit<32>)hdr.top.a, color);
                hdr.top.sum = (bit<16>)color;
            }
            if (std.checksum_error == 1) {
                hdr.top.a = 0xee;
            }
            assert(hdr.top.kind != 0x66);
            log_msg("kind {} of {}", {hdr.top.kind, hdr.top.a});
        }
    }
}

control egress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t std) {
    apply {
        if (hdr.top.isValid() && hdr.top.kind == 0x61) {
            hdr.top.a = (bit<8>)std.enq_qdepth + (bit<8>)std.deq_qdepth;
            hdr.top.sum = (bit<16>)std.deq_timedelta;
            if (std.egress_global_timestamp < std.ingress_global_timestamp) {
                hdr.top.sum = 1;
            }
        }
        if (std.instance_type == INGRESS_CLONE) {
            hdr.note.setValid();
            hdr.note.instance = (bit<8>)std.instance_type;
            hdr.note.port = meta.from;
            hdr.note.mark = meta.mark;
            hdr.note.bad = meta.other;
        }
    }
}

control update_sums(inout headers_t hdr, inout metadata_t meta) {
    apply {
        update_checksum(hdr.top.isValid() && hdr.top.kind == 5, { hdr.top.kind, hdr.top.a }, hdr.top.sum, HashAlgorithm.csum16);
    }
}

control deparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.note);
        packet.emit(hdr.top);
        packet.emit(hdr.body);
        packet.emit(hdr.again);
    }
}

V1Switch(p(), verify_sums(), ingress(), egress(), update_sums(), deparser()) main;
