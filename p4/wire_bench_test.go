package p4

import (
	"net/netip"
	"testing"
)

// BenchmarkAppendEntity is what one entry costs on its way to a target.
func BenchmarkAppendEntity(b *testing.B) {
	for _, v := range []interface{ Entry() Entry }{
		FDB{Bridge: 1, MAC: mac2, Kind: ToVTEP, VTEP: 3, VNI: 10_001},
		Route{VRF: 1, Prefix: netip.MustParsePrefix("10.1.2.3/32"), Kind: RouteVTEP, VTEP: 3, VNI: 5000, Source: mac1,
			Destination: mac2},
	} {
		e := v.Entry()
		b.Run(e.Key.Table(), func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf = e.AppendEntity(buf[:0])
			}
		})
	}
}
