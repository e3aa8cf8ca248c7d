package rtnetlink

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestNeighbourLimitsAreThoseOfTheFiles(t *testing.T) {
	tables, err := NeighbourLimits()
	if err != nil {
		t.Fatal(err)
	}
	for table, family := range map[string]string{"arp_cache": "ipv4", "ndisc_cache": "ipv6"} {
		limits, ok := tables[table]
		if !ok {
			t.Errorf("no %s among %v", table, tables)
		}
		for i, got := range limits {
			if got <= 0 {
				t.Errorf("gc_thresh%d of %s is %d", i+1, table, got)
			}
			text, err := os.ReadFile("/proc/sys/net/" + family + "/neigh/default/gc_thresh" + strconv.Itoa(i+1))
			if err != nil {
				continue // not the initial namespace
			}
			if want := strings.TrimSpace(string(text)); strconv.Itoa(got) != want {
				t.Errorf("gc_thresh%d of %s is %d, the file says %s", i+1, table, got, want)
			}
		}
	}
}

// The kernel's messages are not checked by the library that reads them.
func FuzzNeighbourTable(f *testing.F) {
	const arp = "\x02\x00\x00\x00" + // AF_INET
		"\x0e\x00\x01\x00arp_cache\x00\x00\x00" +
		"\x08\x00\x02\x00\x80\x00\x00\x00" + "\x08\x00\x03\x00\x00\x02\x00\x00" + "\x08\x00\x04\x00\x00\x04\x00\x00"
	if name, limits, ok := neighbourTable([]byte(arp)); !ok || name != "arp_cache" || limits != [3]int{128, 512, 1024} {
		f.Errorf("%q, %v, %v", name, limits, ok)
	}
	for _, seed := range []string{"", "\x02", arp, arp[:len(arp)-8], arp[:10], "\x02\x00\x00\x00\x04\x00\x01\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, message []byte) { neighbourTable(message) })
}
