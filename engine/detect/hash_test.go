package detect

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Keys that differ in a few bits only, as those of a scan or a provider's hosts
// do, are spread over the buckets as evenly as if by chance, and anew with each seed.
func TestBucketsSpread(t *testing.T) {
	const buckets, each = 1024, 64
	for name, k := range map[string]func(i uint64) key{
		"IPv4 neighbours":   func(i uint64) key { return key{one: address{lo: 0xffff_cb007100 + i}} },
		"IPv4 /24s":         func(i uint64) key { return key{one: address{lo: 0xffff_00000000 + i<<8}} },
		"IPv6 neighbours":   func(i uint64) key { return key{one: address{0x20010db8_00000000, i}} },
		"IPv6 /64s":         func(i uint64) key { return key{one: address{0x20010db8_00000000 + i, 0}} },
		"IPv6 /48s":         func(i uint64) key { return key{one: address{0x20010000_00000000 + i<<16, 0}} },
		"ports":             func(i uint64) key { return key{address{lo: 0xffff_cb007109}, address{lo: i}} },
		"each its own port": func(i uint64) key { return key{address{lo: 0xffff_cb007109 + i}, address{lo: i}} },
		"random":            func(uint64) key { return key{one: address{rand.Uint64(), rand.Uint64()}} },
	} {
		t.Run(name, func(t *testing.T) {
			tab := newTable(&memory{}, buckets*ways, time.Minute, k(1).two != address{})
			var held [buckets]int
			for i := range uint64(buckets * each) {
				k := k(i)
				held[tab.bucket(&k)/ways]++
			}
			for b, n := range held {
				if n < 64-6*8 || n > 64+6*8 { // six standard deviations
					t.Errorf("bucket %d has %d of %d keys, %d are expected", b, n, buckets*each, each)
				}
			}
		})
	}
}

// Nobody who does not know the seed knows which keys share a bucket.
func TestSeedsDiffer(t *testing.T) {
	same := 0
	one, two := newTable(&memory{}, 1<<16*ways, time.Minute, true), newTable(&memory{}, 1<<16*ways, time.Minute, true)
	for i := range uint64(1000) {
		k := key{address{lo: i}, address{lo: i}}
		if one.bucket(&k) == two.bucket(&k) {
			same++
		}
	}
	if same > 10 {
		t.Errorf("%d of 1000 keys have the same bucket with another seed", same)
	}
}
