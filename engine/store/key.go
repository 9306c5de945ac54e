package store

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// In the database an address is a blob of 4 or 16 bytes, so that those of a prefix
// are next to each other, and a prefix is its first address and its length. A time is
// in milliseconds since 1970, UTC.

var errBadRow = errors.New("a row that cannot be")

func addrBlob(a netip.Addr) []byte {
	if !a.IsValid() {
		return nil
	}
	return a.Unmap().WithZone("").AsSlice()
}

// blobAddr is the inverse of addrBlob.
func blobAddr(b []byte) (netip.Addr, error) {
	if b == nil {
		return netip.Addr{}, nil
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok || a.Is4In6() {
		return netip.Addr{}, fmt.Errorf("%w: the address %.40x", errBadRow, b)
	}
	return a, nil
}

// prefixOf makes a prefix of what a row holds. No address means none.
func prefixOf(addr []byte, bits int64) (netip.Prefix, error) {
	a, err := blobAddr(addr)
	if err != nil || !a.IsValid() {
		return netip.Prefix{}, err
	}
	p := netip.PrefixFrom(a, int(min(max(bits, -1), 129)))
	if !p.IsValid() || p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%w: the prefix %s/%d", errBadRow, a, bits)
	}
	return p, nil
}

// lastAddr is the last address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// millis is a time as the database keeps it; the zero time is NULL.
func millis(t time.Time) driver.Value {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// timeOf is the inverse of millis for what is not NULL.
func timeOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// The times that there are go from the zero time to the end of the year 9998: of others JSON has no text, in some time zones.
const firstMilli, lastMilli = -62135596800000, 253370764799999

// checkMillis refuses times that there are not.
func checkMillis(times ...int64) error {
	for _, ms := range times {
		if ms < firstMilli || ms > lastMilli {
			return fmt.Errorf("%w: the time %d", errBadRow, ms)
		}
	}
	return nil
}
