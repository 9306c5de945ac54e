package nft_test

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"testing"
	"time"

	"moonlatch/engine/nft"
)

// spread yields n elements that all differ, in prefix, timeout and comment, first being the prefix of the first one.
func spread(first string, n int) iter.Seq[nft.Element] {
	return func(yield func(nft.Element) bool) {
		p := prefix(first)
		for i := range n {
			b := p.Addr().AsSlice()
			low := b[len(b)-4:]
			binary.BigEndian.PutUint32(low, binary.BigEndian.Uint32(low)+uint32(i)<<(-p.Bits()&31))
			addr, _ := netip.AddrFromSlice(b)
			e := nft.Element{
				Prefix:  netip.PrefixFrom(addr, p.Bits()),
				Timeout: time.Hour + time.Duration(i)*time.Second,
				Comment: fmt.Sprintf("element %d", i),
			}
			if !yield(e) {
				return
			}
		}
	}
}

// TestLoad reads back every element of sets that take many transactions.
func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		set, first string
		n          int
	}{
		{"host4", "10.0.0.0/32", 40_000},
		{"host6", "2001:db8::/128", 20_000},
		{"net4", "10.0.0.0/28", 20_000},
		{"net6", "2001:db8::/124", 10_000},
		{"host4", "10.0.0.0/32", 1},
	} {
		t.Run(fmt.Sprint(tt.set, " ", tt.n), func(t *testing.T) {
			c := open(t, sets)
			for range 2 { // the second time in the memory of the first; what is there already stays
				if n, err := c.Load(table, tt.set, spread(tt.first, tt.n)); n != tt.n || err != nil {
					t.Fatalf("%d added, %v", n, err)
				}
			}
			got, err := c.Elements(table, tt.set)
			must(t, err)
			for i := range got {
				if e := &got[i]; e.Expires > 0 && e.Expires <= e.Timeout {
					e.Expires = 0
				}
			}
			want := slices.Collect(spread(tt.first, tt.n))
			if len(got) != len(want) {
				t.Fatalf("the set holds %d elements, want %d", len(got), len(want))
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("element %d is %+v, want %+v", i, got[i], want[i])
				}
			}
		})
	}
}

func TestLoadNothing(t *testing.T) {
	c := open(t, sets)
	before, err := c.GenID()
	must(t, err)
	if n, err := c.Load(table, "host4", spread("10.0.0.0/32", 0)); n != 0 || err != nil {
		t.Errorf("%d added, %v", n, err)
	}
	if after, err := c.GenID(); err != nil || after != before {
		t.Errorf("the generation went from %d to %d, %v", before, after, err)
	}
}

// TestLoadRefused: what is refused is named, and ends the load, wherever it stands.
func TestLoadRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		n     int
		set   string
		last  nft.Element // instead of the nth
		is    error
		text  string
		early bool // the rest is not asked for
	}{
		"the set is full":                 {n: 300_000, set: "host4", is: nft.ErrFull, text: "add to set host4", early: true},
		"no such set":                     {n: 2, set: "none", is: nft.ErrNotExist, text: "add to set none", early: true},
		"the last one is of a wrong kind": {n: 60_000, set: "roomy4", last: nft.Element{Prefix: prefix("2001:db8::1")}, text: "2001:db8::1/128: the set holds addresses of 32 bits"},
		"the kernel refuses the last one": {n: 60_000, set: "net4", last: nft.Element{Prefix: prefix("10.0.0.0/24")}, is: nft.ErrExist, text: "element 10.0.1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, sets)
			command(t, "add set inet t roomy4 { type ipv4_addr; flags timeout; }; add set inet t next4 { type ipv4_addr; flags timeout; }", "-f", "-")
			if n, err := c.Load(table, "next4", spread("10.0.0.0/32", 50_000)); n != 50_000 || err != nil {
				t.Fatalf("%d added, %v", n, err)
			}
			taken := 0
			added, err := c.Load(table, tt.set, func(yield func(nft.Element) bool) {
				for e := range spread("10.0.0.0/32", tt.n) {
					if taken++; taken == tt.n && tt.last.Prefix.IsValid() {
						e = tt.last
					}
					if !yield(e) {
						return
					}
				}
			})
			if err == nil {
				t.Fatal("no error")
			}
			if tt.is == nil {
				tt.is = err
			}
			wantErr(t, err, tt.is, tt.text)
			info, infoErr := c.SetInfo(table, tt.set)
			if infoErr == nil && !info.Interval && info.Count >= 0 && info.Count != added {
				t.Errorf("%d added, and the set holds %d", added, info.Count)
			}
			if early := taken < tt.n; early != tt.early {
				t.Errorf("%d of %d elements were asked for", taken, tt.n)
			}
			add(t, c, "net4", elements("192.0.2.0/24")) // the client is fine, and so is the memory for the next load
			if n, err := c.Load(table, "next4", spread("10.0.0.0/32", 100_000)); n != 100_000 || err != nil {
				t.Errorf("%d added, %v", n, err)
			}
			if info, err := c.SetInfo(table, "next4"); err != nil || info.Count >= 0 && info.Count != 100_000 {
				t.Errorf("the next set holds %d, %v", info.Count, err)
			}
		})
	}
}
