package nft_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"moonlatch/engine/nft"
)

// hosts returns n addresses with a timeout.
func hosts(n int) []nft.Element {
	out := make([]nft.Element, n)
	for i := range out {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 10<<24+uint32(i))
		out[i] = nft.Element{Prefix: netip.PrefixFrom(netip.AddrFrom4(a), 32), Timeout: time.Hour}
	}
	return out
}

func TestManyElements(t *testing.T) {
	const n = 50_000
	want := hosts(n)
	check := func(t *testing.T, c *nft.Client, set string) {
		add(t, c, set, want)
		got, err := c.Elements(table, set) // while the kernel enlarges a hash set in the background
		must(t, err)
		if !slices.Equal(prefixesOf(got), prefixesOf(want)) {
			t.Fatalf("got %d elements, which are not the %d that were added", len(got), n)
		}
		tx := c.Begin()
		tx.DeleteElements(table, set, prefixesOf(want[:n-1]))
		must(t, tx.Commit())
		if got, err := c.Elements(table, set); err != nil || len(got) != 1 {
			t.Errorf("got %d elements, %v, want 1", len(got), err)
		}
	}
	for range 3 {
		t.Run("hash", func(t *testing.T) { check(t, open(t, sets), "host4") })
	}
	t.Run("interval", func(t *testing.T) { check(t, open(t, sets), "net4") })
}

func TestTooBigChangesNothing(t *testing.T) {
	const n = 1_000_000
	c := open(t, "table inet t { set s { type ipv4_addr; flags timeout; }; }")
	tx := c.Begin()
	tx.AddElements(table, "s", hosts(n))
	err := tx.Commit()
	info, infoErr := c.SetInfo(table, "s")
	must(t, infoErr)
	if err == nil { // there are no user namespaces here, so the tests run as the machine's root
		if info.Count >= 0 && info.Count != n {
			t.Errorf("got %d elements, want %d", info.Count, n)
		}
		return
	}
	wantErr(t, err, nft.ErrTooBig, "root", "net.core.wmem_max")
	if got := listed(t, "s"); got != nil || info.Count > 0 {
		t.Errorf("got %d elements, want none", len(got))
	}
	add(t, c, "s", hosts(100_000)) // and the client is fine
}
