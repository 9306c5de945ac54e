package policy

import (
	"net/netip"
	"strconv"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

func TestRecentIsBounded(t *testing.T) {
	r := newRecent[int, string](10)
	made := 0
	get := func(k int) string {
		return r.get(k, func(k int) string { made++; return strconv.Itoa(k) })
	}
	for k := range 1000 {
		if get(k) != strconv.Itoa(k) || get(0) != "0" {
			t.Fatal("wrong value")
		}
		if n := len(r.young) + len(r.old); n > 20 {
			t.Fatalf("%d values are kept", n)
		}
	}
	if made != 1000 {
		t.Errorf("made %d values: one in use was forgotten", made)
	}
}

func TestAddressTexts(t *testing.T) {
	var texts addressTexts
	a := netip.MustParseAddr("2001:db8::")
	for range 100_000 {
		if got := texts.get(a); got != lua.LString(a.String()) {
			t.Fatalf("%s is called %v", a, got)
		}
		a = a.Next()
	}
	if n := testing.AllocsPerRun(10, func() { texts.get(a.Prev()) }); n != 0 {
		t.Errorf("a known address allocates %v times", n)
	}
}

func TestNumbers(t *testing.T) {
	var n numbers
	for i := range 1 << 16 {
		if n.get(uint16(i)) != lua.LNumber(i) {
			t.Fatalf("%d is %v", i, n.get(uint16(i)))
		}
	}
	if n := testing.AllocsPerRun(10, func() { n.get(40000) }); n != 0 {
		t.Errorf("a known number allocates %v times", n)
	}
}

// Neighbours, which a scan comes from, do not displace each other.
func TestAddressTextsSpread(t *testing.T) {
	for _, first := range []string{"203.0.113.0", "2001:db8::", "2001:db8:0:1::"} {
		var texts addressTexts
		a := netip.MustParseAddr(first)
		for range 1024 {
			texts.get(a)
			a = a.Next()
		}
		kept := 0
		for _, e := range texts {
			if e.addr.IsValid() {
				kept++
			}
		}
		if kept < 800 { // what chance alone would keep is 906
			t.Errorf("%s: %d of 1024 addresses have a place", first, kept)
		}
	}
}
