package ban

import (
	"net/netip"
	"testing"
	"time"
)

// many returns a change that bans n hosts of each kind, each for a time of its own, by four authors.
func many(now time.Duration, n int) (c change) {
	authors := []note{{by: "portscan", origin: Local}, {by: "synflood", origin: Local}, {by: "alice", origin: Manual}, {by: "portscan", origin: Manual}}
	for i := range n {
		until := now + time.Hour + time.Duration(i)*time.Minute
		if i%100 == 0 {
			until = forever
		}
		for _, target := range []netip.Prefix{
			host(i),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 1, 0, byte(i >> 8), byte(i)}), 64),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 2, 0, byte(i >> 8), byte(i), 15: 1}), 128),
		} {
			c.put = append(c.put, held{targetOf(target), authors[len(c.put)%len(authors)], until})
		}
	}
	return c
}

// TestMendMany compares each of thousands of bans with what it was before the table was destroyed.
func TestMendMany(t *testing.T) {
	const n = 10_000
	b := open(t, Config{})
	must(t, b.write(t.Context(), many(b.clock(), n)))
	bans := func() []listed {
		out := listBans(t, b)
		for i := range out {
			out[i].Why = ""
		}
		return out
	}
	before := bans()
	command(t, "flush", "ruleset")
	restored, err := b.Mend(t.Context())
	must(t, err)
	after := bans()
	if !restored || len(before) != 3*n || len(after) != len(before) {
		t.Fatalf("restored %t: %d bans, of %d before", restored, len(after), len(before))
	}
	for i := range before {
		if late := after[i].Left - before[i].Left; late == -time.Minute {
			after[i].Left = before[i].Left // the minute was over meanwhile
		}
		if after[i] != before[i] {
			t.Fatalf("%+v is now %+v", before[i], after[i])
		}
	}
}

// TestMendAgain: what could not be put back is put back the next time.
func TestMendAgain(t *testing.T) {
	client := connect(t)
	broken := false
	b := open(t, Config{NFT: client, Now: func() time.Time {
		if broken {
			client.Close() // when the table is there, and nothing in it
		}
		return time.Now()
	}})
	for _, p := range []string{"2001:db8::1", "2001:db8:1::/64"} {
		mustBan(t, b, ask(p, time.Hour))
	}
	command(t, "flush", "ruleset")
	broken = true
	if restored, err := b.Mend(t.Context()); !restored || err == nil {
		t.Fatalf("restored %t, %v; want an error", restored, err)
	}
	broken = false
	b.nft = connect(t)
	if restored, err := b.Mend(t.Context()); !restored || err != nil {
		t.Errorf("restored %t, %v", restored, err)
	}
	if got := len(listBans(t, b)); got != 2 {
		t.Errorf("%d bans are back, want 2", got)
	}
	if again, err := b.Mend(t.Context()); again || err != nil {
		t.Errorf("mended a whole table: %t, %v", again, err)
	}
}

// TestUnbanAllOfADestroyedTable: what was lifted after somebody destroyed the table does not come back with it.
func TestUnbanAllOfADestroyedTable(t *testing.T) {
	b := open(t, Config{})
	mustBan(t, b, manual("192.0.2.1", time.Hour))
	mustBan(t, b, manual("192.0.2.128/25", time.Hour))
	command(t, "flush", "ruleset")
	if n, err := b.UnbanAll(t.Context()); n != 0 || err != nil {
		t.Errorf("%d bans were lifted, %v", n, err)
	}
	if _, err := b.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantBans(t, b)
}
