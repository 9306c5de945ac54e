package store

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pageOf makes one page of bans, however many they are.
func pageOf(bans ...Ban) []byte {
	var w pageWriter
	w.reset()
	for i := range bans {
		w.add(&bans[i])
	}
	return w.b
}

// someBans are one of each kind, in order.
func someBans() []Ban {
	local := Ban{Since: noon, Until: noon.Add(time.Hour), Origin: "local", By: "portscan", Why: "11 ports in 10ms"}
	var bans []Ban
	for _, target := range []string{"198.51.100.0/24", "203.0.113.0/24", "192.0.2.1/32", "192.0.2.2/32", "2001:db8::/32", "2001:db8::/64", "2001:db8:1::/64", "2001:db8::1/128"} {
		b := local
		b.Target = netip.MustParsePrefix(target)
		bans = append(bans, b)
	}
	bans[1].Until, bans[1].Origin, bans[1].By, bans[1].Why = time.Time{}, "manual", "ann", ""
	bans[2].Trial = true
	bans[3].Since = noon.Add(30 * 365 * 24 * time.Hour) // by a clock that was wrong
	bans[4].Since = time.Time{}
	return bans
}

// TestPage reads what was written, and nothing else.
func TestPage(t *testing.T) {
	bans := someBans()
	page := pageOf(bans...)
	got, err := bansOf(page)
	if d := cmp.Diff(bans, got, cmp.Comparer(samePrefix)); d != "" || err != nil {
		t.Errorf("%v: %s", err, d)
	}
	whole := map[int]bool{}
	for i := range bans {
		whole[len(pageOf(bans[:i]...))] = true
	}
	for cut := range len(page) {
		if _, err := bansOf(page[:cut]); (err == nil) != whole[cut] || err != nil && !errors.Is(err, errBadRow) {
			t.Errorf("cut to %d of %d bytes: %v", cut, len(page), err)
		}
	}
	for name, bad := range map[string][]byte{
		"twice the same":    pageOf(bans[2], bans[2]),
		"in no order":       pageOf(bans[3], bans[2]),
		"length 33":         changed(page[:len(pageOf(bans[0]))], 0, 33),
		"length 129":        changed(pageOf(bans[7]), 0, ipv6+129),
		"not the first one": changed(page[:len(pageOf(bans[0]))], 4, 1),
		"other flags":       changed(page[:len(pageOf(bans[0]))], 5, 4),
		"no such word":      append(pageOf(bans[:4]...)[:len(pageOf(bans[:4]...))-1], 99),
	} {
		if _, err := bansOf(bad); !errors.Is(err, errBadRow) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func changed(page []byte, at int, to byte) []byte {
	page = bytes.Clone(page)
	page[at] = to
	return page
}

// TestPageAllocates: bans with the words of those before cost no memory of their own, from one page to the next.
func TestPageAllocates(t *testing.T) {
	page := pageOf(someBans()...)
	var r pageReader
	if n := testing.AllocsPerRun(100, func() {
		r.start(page)
		for b := (Ban{}); r.next(&b); {
		}
	}); n != 0 || r.err() != nil {
		t.Errorf("%v allocations, %v", n, r.err())
	}
}

// FuzzPage: any bytes are bans that make the same page again, or are refused.
func FuzzPage(f *testing.F) {
	f.Add([]byte{})
	f.Add(pageOf(someBans()...))
	f.Fuzz(func(t *testing.T, page []byte) {
		bans, err := bansOf(page)
		if err != nil {
			if !errors.Is(err, errBadRow) {
				t.Error(err)
			}
			return
		}
		again, err := bansOf(pageOf(bans...))
		if d := cmp.Diff(bans, again, cmp.Comparer(samePrefix)); d != "" || err != nil {
			t.Errorf("%v: %s", err, d)
		}
		for _, b := range bans {
			if target, ok := banTarget(b.Target); !ok || target != b.Target {
				t.Errorf("%s is kept as %s, %t", b.Target, target, ok)
			}
		}
	})
}
