package ruleset

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go4.org/netipx"
)

func collect(a *Addresses) []string {
	out := []string{}
	for r := range a.Ranges() {
		out = append(out, r.String())
	}
	return out
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		name string
		add  []string
		want []string
	}{
		{"nothing", nil, []string{}},
		{"one", []string{"192.0.2.1-192.0.2.1"}, []string{"192.0.2.1-192.0.2.1"}},
		{"twice", []string{"192.0.2.1-192.0.2.1", "192.0.2.1-192.0.2.1"}, []string{"192.0.2.1-192.0.2.1"}},
		{"neighbours", []string{"192.0.2.2-192.0.2.2", "192.0.2.1-192.0.2.1"}, []string{"192.0.2.1-192.0.2.2"}},
		{"a gap of one", []string{"192.0.2.3-192.0.2.3", "192.0.2.1-192.0.2.1"}, []string{"192.0.2.1-192.0.2.1", "192.0.2.3-192.0.2.3"}},
		{"one inside another", []string{"10.0.0.0-10.255.255.255", "10.1.0.0-10.1.0.9"}, []string{"10.0.0.0-10.255.255.255"}},
		{"both ends of IPv4", []string{"255.255.255.255-255.255.255.255", "0.0.0.0-0.0.0.0", "255.255.255.0-255.255.255.255"}, []string{"0.0.0.0-0.0.0.0", "255.255.255.0-255.255.255.255"}},
		{"all of IPv6", []string{"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::-2001:db8::1"}, []string{"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}},
		{"neighbours over 64 bits", []string{"2001:db8:0:1::-2001:db8:0:1::", "2001:db8::-2001:db8::ffff:ffff:ffff:ffff"}, []string{"2001:db8::-2001:db8:0:1::"}},
		{"families apart", []string{"::c000:201-::c000:201", "192.0.2.1-192.0.2.1"}, []string{"192.0.2.1-192.0.2.1", "::c000:201-::c000:201"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b AddressesBuilder
			for _, s := range tt.add {
				b.Add(netipx.MustParseIPRange(s))
			}
			if diff := cmp.Diff(tt.want, collect(b.Addresses())); diff != "" {
				t.Errorf("ranges (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAddressesAsIPSet compares random sets with another implementation.
func TestAddressesAsIPSet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var ours AddressesBuilder
		var theirs netipx.IPSetBuilder
		for range random.IntN(40) {
			from := random.Uint32N(200)
			a, b := netip.AddrFrom4([4]byte{192, 0, 2, byte(from)}), netip.AddrFrom4([4]byte{192, 0, 2, byte(from + random.Uint32N(9))})
			if random.IntN(2) == 0 {
				a, b = wide(from), wide(from+random.Uint32N(9))
			}
			r := netipx.IPRangeFrom(a, b)
			ours.Add(r)
			theirs.AddRange(r)
		}
		set, err := theirs.IPSet()
		if err != nil {
			t.Fatal(err)
		}
		a := ours.Addresses()
		if got, want := slices.Collect(a.Ranges()), set.Ranges(); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		if a.Len() != len(set.Ranges()) {
			t.Fatalf("%d ranges, want %d", a.Len(), len(set.Ranges()))
		}
		var prefixes netipx.IPSetBuilder
		for _, f := range []family{ipv4, ipv6} {
			for p := range a.half(f).Prefixes() {
				prefixes.AddPrefix(p)
			}
		}
		if again, err := prefixes.IPSet(); err != nil || !again.Equal(set) {
			t.Fatalf("the prefixes are of %v, %v; want %v", again, err, set)
		}
	}
}

// wide returns addresses around one whose last 64 bits are all ones.
func wide(n uint32) netip.Addr {
	b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	binary.BigEndian.PutUint64(b[8:], uint64(n)-100)
	if n >= 100 {
		b[7] = 1
	}
	return netip.AddrFrom16(b)
}

// TestSingles: a list of addresses is held one by one, though some are neighbours; networks are not.
func TestSingles(t *testing.T) {
	const n = 2 * textSize
	for _, tt := range []struct {
		name   string
		add    func(i uint32) string
		n      uint64
		single bool
	}{
		{"every second address", func(i uint32) string { return r4(2*i, 0) }, n, true},
		{"pairs", func(i uint32) string { return r4(3*i, 1) }, 2 * n, true},
		{"threes", func(i uint32) string { return r4(4*i, 2) }, 3 * n, false},
		{"IPv6 addresses", func(i uint32) string { return r6(2*i, 0) }, n, true},
		{"IPv6 pairs", func(i uint32) string { return r6(3*i, 1) }, 2 * n, true},
		{"IPv6 threes", func(i uint32) string { return r6(4*i, 2) }, 3 * n, false},
		{"IPv6 ranges over 64 bits", func(i uint32) string {
			return netipx.IPRangeFrom(address6(uint128{uint64(4 * i), 0}), address6(uint128{uint64(4*i + 1), 0})).String()
		}, 0, false},
		{"IPv6 networks", func(i uint32) string {
			a := address6(uint128{uint64(2 * i), 0})
			return netipx.RangeOfPrefix(netip.PrefixFrom(a, 64)).String()
		}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b AddressesBuilder
			for i := range uint32(n) {
				b.Add(netipx.MustParseIPRange(tt.add(i)))
			}
			a := b.Addresses()
			count, single := a.singles()
			if single != tt.single || single && count != tt.n {
				t.Errorf("%d addresses, single %t; want %d, %t", count, single, tt.n, tt.single)
			}
			elements := uint64(0)
			for p := range a.Prefixes() {
				if elements++; single && !p.IsSingleIP() {
					t.Fatalf("%s is no single address", p)
				}
			}
			if single && elements != tt.n {
				t.Errorf("%d elements, want %d", elements, tt.n)
			}
		})
	}
}

func r4(from, more uint32) string {
	return netipx.IPRangeFrom(address4(10<<24+from), address4(10<<24+from+more)).String()
}

func r6(from, more uint32) string {
	return netipx.IPRangeFrom(address6(uint128{1, uint64(from)}), address6(uint128{1, uint64(from + more)})).String()
}

// TestDigestOfLargeSets: what the kernel would not tell apart has one digest, and a single address makes another.
func TestDigestOfLargeSets(t *testing.T) {
	digest := func(skip uint32) string {
		var b AddressesBuilder
		for i := range uint32(2 * textSize) {
			if i != skip {
				b.Add(netipx.MustParseIPRange(r4(2*i, 0)))
			}
		}
		r := Ruleset{Sets: []*Set{{Name: "feed", Addrs: b.Addresses()}}}
		return r.Digest()
	}
	seven, again, eight := digest(7), digest(7), digest(8)
	if seven != again || seven == eight {
		t.Error("the digest does not tell which addresses there are")
	}
}
