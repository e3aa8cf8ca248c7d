// A program that does a little of everything, for the tests of this package.
// The first byte of a frame says what is done to the rest.

#include <core.p4>
#include <v1model.p4>

const bit<32> EGRESS_CLONE = 2;
const bit<32> RECIRCULATED = 4;
const bit<32> RESUBMITTED = 6;

error { BadMark }

header calc_t {
    bit<8>   op;
    bit<8>   a;
    bit<8>   b;
    int<8>   s;
    int<8>   t;
    bit<128> w;
    bit<128> v;
    bit<64>  q;
}

// 0x80..0x8f: a stack of labels, then options of variable length.
header mark_t  { bit<8> op; }
header label_t { bit<7> value; bit<1> last; }
header options_t { bit<8> length; varbit<64> data; bit<8> after; }
header odd_t { bit<3> x; bit<70> y; bit<7> z; }

struct headers_t {
    calc_t     calc;
    mark_t     mark;
    label_t[3] labels;
    options_t  options;
    odd_t      odd;
}

struct metadata_t {
    @field_list(1) bit<8> round;
    bit<16> hash;
    bit<2>  color;
    bit<8>  group;
}

parser p(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t std) {
    value_set<bit<8>>(4) nobody;
    state start {
        transition select(packet.lookahead<bit<8>>()) {
            nobody: stack;
            0x80: stack;
            0x81: options;
            0x82: odd;
            0x83: skip;
            0x84 &&& 0xfc: stack;
            default: calc;
        }
    }
    state calc { packet.extract(hdr.calc); transition accept; }
    state stack { packet.extract(hdr.mark); transition labels; }
    state labels {
        packet.extract(hdr.labels.next);
        transition select(hdr.labels.last.last) {
            1: accept;
            default: labels;
        }
    }
    state options {
        packet.extract(hdr.mark);
        bit<8> length = packet.lookahead<bit<8>>();
        verify(length != 0xff, error.BadMark);
        packet.extract(hdr.options, (bit<32>)length * 8);
        transition accept;
    }
    state odd { packet.extract(hdr.mark); packet.extract(hdr.odd); transition accept; }
    state skip { packet.extract(hdr.mark); packet.advance(16); transition labels; }
}

control ingress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t std) {
    register<bit<64>>(4) cells;
    register<bit<128>>(2) wide_cells;
    meter(4, MeterType.packets) rate;
    action_selector(HashAlgorithm.crc16, 16, 14) choices;

    action sat_add()  { hdr.calc.a = hdr.calc.a |+| hdr.calc.b; hdr.calc.s = hdr.calc.s |+| hdr.calc.t; }
    action sat_sub()  { hdr.calc.a = hdr.calc.a |-| hdr.calc.b; hdr.calc.s = hdr.calc.s |-| hdr.calc.t; }
    action add()      { hdr.calc.a = hdr.calc.a + hdr.calc.b; hdr.calc.s = hdr.calc.s + hdr.calc.t; hdr.calc.w = hdr.calc.w + hdr.calc.v; }
    action subtract() { hdr.calc.a = hdr.calc.a - hdr.calc.b; hdr.calc.s = hdr.calc.s - hdr.calc.t; hdr.calc.w = hdr.calc.w - hdr.calc.v; }
    action multiply() { hdr.calc.a = hdr.calc.a * hdr.calc.b; hdr.calc.w = hdr.calc.w * hdr.calc.v; hdr.calc.q = hdr.calc.q * hdr.calc.q; }
    action left()     { hdr.calc.w = hdr.calc.w << hdr.calc.a; hdr.calc.q = hdr.calc.q << hdr.calc.a; }
    action right()    { hdr.calc.w = hdr.calc.w >> hdr.calc.a; hdr.calc.q = hdr.calc.q >> hdr.calc.a; hdr.calc.s = hdr.calc.s >> 1; }
    action bitwise()  { hdr.calc.w = (hdr.calc.w ^ hdr.calc.v) | 1; hdr.calc.a = ~(hdr.calc.a & hdr.calc.b); }
    action slices()   { hdr.calc.q = hdr.calc.w[95:32]; hdr.calc.a = hdr.calc.w[71:64]; hdr.calc.v[15:8] = 8w0xee; hdr.calc.b[3:0] = hdr.calc.b[7:4]; }
    action casts()    { hdr.calc.q = (bit<64>)(int<64>)(int<16>)hdr.calc.s; hdr.calc.w = hdr.calc.v[63:0] ++ hdr.calc.q; }
    action compare() {
        hdr.calc.a = (hdr.calc.s < hdr.calc.t ? 8w1 : 0) | (hdr.calc.w < hdr.calc.v ? 8w2 : 0) |
                     (hdr.calc.w == hdr.calc.v ? 8w4 : 0) | (hdr.calc.q > 5 && hdr.calc.b >= 7 ? 8w8 : 0);
    }
    action saturate64() { hdr.calc.q = hdr.calc.q |+| (bit<64>)hdr.calc.a; }
    action hashes() {
        hash(meta.hash, HashAlgorithm.crc16, 16w0, { hdr.calc.w }, 32w65536);
        hdr.calc.q[15:0] = meta.hash;
        hash(meta.hash, HashAlgorithm.csum16, 16w0, { hdr.calc.w }, 32w65536);
        hdr.calc.q[31:16] = meta.hash;
        hash(meta.hash, HashAlgorithm.xor16, 16w0, { hdr.calc.w }, 32w65536);
        hdr.calc.q[47:32] = meta.hash;
        hash(meta.hash, HashAlgorithm.identity, 16w100, { hdr.calc.a }, 32w10);
        hdr.calc.q[63:48] = meta.hash;
    }
    action crc32()    { bit<32> sum; hash(sum, HashAlgorithm.crc32, 32w0, { hdr.calc.w, hdr.calc.b }, 64w0x100000000); hdr.calc.q = (bit<64>)sum; }
    action remember() {
        cells.write((bit<32>)hdr.calc.a, hdr.calc.q);
        wide_cells.write((bit<32>)hdr.calc.a, hdr.calc.w);
    }
    action recall() {
        cells.read(hdr.calc.q, (bit<32>)hdr.calc.a);
        wide_cells.read(hdr.calc.w, (bit<32>)hdr.calc.a);
    }
    action metered()  { rate.execute_meter((bit<32>)hdr.calc.a, meta.color); hdr.calc.b = (bit<8>)meta.color; }
    action again()    { meta.round = 0x5a; resubmit_preserving_field_list(1); }
    action short()    { truncate(10); }
    action dice()     { random(hdr.calc.a, 3, 7); }
    action gone()     { mark_to_drop(std); }
    action nothing()  { }
    @name("quit") action quit() { hdr.calc.a = 0x77; exit; }

    table operation {
        key = { hdr.calc.op: exact; }
        actions = {
            sat_add; sat_sub; add; subtract; multiply; left; right; bitwise; slices; casts; compare; saturate64;
            hashes; crc32; remember; recall; metered; again; short; dice; gone; quit; nothing;
        }
        const entries = {
            1: sat_add(); 2: sat_sub(); 3: add(); 4: subtract(); 5: multiply(); 6: left(); 7: right(); 8: bitwise();
            9: slices(); 10: casts(); 11: compare(); 12: saturate64(); 13: hashes(); 14: crc32(); 15: remember();
            16: recall(); 17: metered(); 18: again(); 19: short(); 20: dice(); 21: gone(); 22: quit();
        }
        const default_action = nothing();
    }

    action pushed()  { hdr.labels.push_front(1); hdr.labels[0].setValid(); hdr.labels[0].value = 0x55; hdr.labels[0].last = 0; }
    action popped()  { hdr.labels.pop_front(1); }
    action indexed() { hdr.labels[(bit<8>)hdr.labels[0].value & 1].value = 0x33; }

    action to(bit<9> port) { std.egress_spec = port; }
    action tag(bit<128> w, bit<8> a) { hdr.calc.w = w; hdr.calc.a = a; }

    table by_range {
        key = { hdr.calc.b: range @name("b"); hdr.calc.a: exact @name("a"); }
        actions = { to; nothing; }
        default_action = nothing();
        size = 64;
    }
    table by_option {
        key = { hdr.calc.q: optional @name("q"); hdr.calc.w: ternary @name("w"); }
        actions = { tag; nothing; }
        default_action = nothing();
        size = 64;
    }
    table by_prefix {
        key = { hdr.calc.a: exact @name("a"); hdr.calc.v: lpm @name("v"); }
        actions = { to; nothing; }
        default_action = nothing();
        size = 64;
    }
    direct_meter<bit<2>>(MeterType.packets) own_rate;
    action metered_to(bit<9> port) { own_rate.read(meta.color); std.egress_spec = port; }
    table by_rate {
        key = { hdr.calc.a: exact @name("a"); }
        actions = { metered_to; nothing; }
        default_action = nothing();
        meters = own_rate;
        size = 16;
    }
    table by_choice {
        key = { hdr.calc.op: exact @name("op"); hdr.calc.w: selector; }
        actions = { to; nothing; }
        implementation = choices;
        size = 16;
    }

    apply {
        std.egress_spec = 1;
        if (hdr.calc.isValid()) {
            if (std.instance_type == RESUBMITTED) {
                hdr.calc.b = meta.round;
            } else {
                operation.apply();
            }
            if (hdr.calc.op == 0x40) {
                by_range.apply();
            } else if (hdr.calc.op == 0x41) {
                by_option.apply();
            } else if (hdr.calc.op == 0x42) {
                if (!by_prefix.apply().hit) {
                    std.egress_spec = 9;
                }
            } else if (hdr.calc.op == 0x43) {
                switch (by_choice.apply().action_run) {
                    to: { hdr.calc.b = 0xcc; }
                }
            } else if (hdr.calc.op == 0x45) {
                by_rate.apply();
                hdr.calc.b = (bit<8>)meta.color;
            } else if (hdr.calc.op == 0x44) {
                std.mcast_grp = (bit<16>)hdr.calc.a;
            }
        } else if (hdr.mark.isValid()) {
            if (hdr.mark.op == 0x84) {
                pushed();
            } else if (hdr.mark.op == 0x85) {
                popped();
            } else if (hdr.mark.op == 0x86) {
                indexed();
            }
            if (std.parser_error != error.NoError) {
                hdr.mark.op = 0xe0;
                if (std.parser_error == error.BadMark) {
                    hdr.mark.op = 0xe1;
                } else if (std.parser_error == error.StackOutOfBounds) {
                    hdr.mark.op = 0xe2;
                } else if (std.parser_error == error.PacketTooShort) {
                    hdr.mark.op = 0xe3;
                } else if (std.parser_error == error.HeaderTooShort) {
                    hdr.mark.op = 0xe4;
                }
            }
            if (hdr.odd.isValid()) {
                hdr.odd.y = hdr.odd.y + 1;
            }
        }
    }
}

control egress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t std) {
    apply {
        if (hdr.calc.isValid()) {
            if (hdr.calc.op == 0x50 && std.instance_type != EGRESS_CLONE) {
                meta.round = 0x21;
                clone_preserving_field_list(CloneType.E2E, 5, 1);
            } else if (std.instance_type == EGRESS_CLONE) {
                hdr.calc.b = meta.round;
            }
            if (hdr.calc.op == 0x51 && std.instance_type != RECIRCULATED && hdr.calc.a < 3) {
                hdr.calc.a = hdr.calc.a + 1;
                recirculate_preserving_field_list(0);
            }
            if (hdr.calc.op == 0x44) {
                hdr.calc.q = (bit<64>)std.egress_rid;
            }
            if (hdr.calc.op == 0x52) {
                hdr.calc.q = (bit<64>)std.packet_length;
            }
        }
    }
}

control verify_sums(inout headers_t hdr, inout metadata_t meta) { apply { } }

control update_sums(inout headers_t hdr, inout metadata_t meta) {
    apply {
        update_checksum_with_payload(hdr.calc.isValid() && hdr.calc.op == 0x60,
            { hdr.calc.op, hdr.calc.a, 16w0x1234, hdr.calc.w }, hdr.calc.q, HashAlgorithm.csum16);
    }
}

control deparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.calc);
        packet.emit(hdr.mark);
        packet.emit(hdr.labels);
        packet.emit(hdr.options);
        packet.emit(hdr.odd);
    }
}

V1Switch(p(), verify_sums(), ingress(), egress(), update_sums(), deparser()) main;
