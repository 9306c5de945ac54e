package main

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"moonlatch/engine/nft"
)

// slowPolicy lets each source in once an hour.
const slowPolicy = `
local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "replies", ct = "established", fw.accept }
input { "ssh", tcp = 22, limit = "1/h burst 1 per src", fw.accept }
`

// TestFullLimitShutsNobodyOut fills the kernel's memory of a limit per source, as a
// flood of forged sources does.
func TestFullLimitShutsNobodyOut(t *testing.T) {
	w := confirmed(t, slowPolicy)
	if !reachesWithin(w.client, ssh, generous) {
		t.Fatal("the client's first connection is refused")
	}
	if reaches(w.client, ssh) {
		t.Error("the client's second connection within the hour is not refused")
	}
	must(t, w.server.Do(func() error { return fillLimit("limit.input.ssh.1.4") }))
	for range 2 {
		if !reachesWithin(w.attacker, net.JoinHostPort(serverForAttacker, "22"), generous) {
			t.Error("with the limit's memory full, a new source is shut out")
		}
	}
	if reaches(w.client, ssh) {
		t.Error("the client that is known exceeds the limit")
	}
}

// fillLimit puts addresses into a set of generation 1 until there is no room.
func fillLimit(set string) error {
	c, err := nft.Open(nft.Config{})
	if err != nil {
		return err
	}
	defer c.Close()
	t := nft.Table{Family: nft.Inet, Name: "moonlatch_1"}
	for size, i := 4096, uint32(0); size > 0; {
		elements := make([]nft.Element, size)
		for n := range elements {
			k := i + uint32(n)
			addr := netip.AddrFrom4([4]byte{10, byte(k >> 16), byte(k >> 8), byte(k)})
			elements[n] = nft.Element{Prefix: netip.PrefixFrom(addr, 32), Timeout: 5 * time.Minute}
		}
		tx := c.Begin()
		tx.AddElements(t, set, elements)
		switch err := tx.Commit(); {
		case errors.Is(err, nft.ErrFull):
			size /= 2 // a transaction is whole or not at all
		case err != nil:
			return err
		default:
			i += uint32(size)
		}
	}
	return nil
}
