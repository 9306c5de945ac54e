package nft_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/nft"
)

func TestTables(t *testing.T) {
	c := open(t, "add table inet t; add table ip a; add table bridge b; add table netdev d; add table arp x; add table ip6 y")
	got, err := c.Tables()
	must(t, err)
	seen := make(map[nft.Table]bool)
	for _, table := range got {
		seen[table] = true
	}
	want := map[nft.Table]bool{
		table: true, {Family: nft.IPv4, Name: "a"}: true, {Family: nft.Bridge, Name: "b"}: true,
		{Family: nft.Netdev, Name: "d"}: true, {Family: nft.ARP, Name: "x"}: true, {Family: nft.IPv6, Name: "y"}: true,
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
	var lines []string
	for _, table := range got {
		lines = append(lines, "table "+table.String())
	}
	if diff := cmp.Diff(strings.TrimSpace(command(t, "", "list", "tables")), strings.Join(lines, "\n")); diff != "" {
		t.Errorf("nft lists other tables: %s", diff)
	}
}

func TestRules(t *testing.T) {
	c := open(t, `
		table inet t {
			counter named { }
			chain b { }
			chain a {
				type filter hook output priority filter; policy accept;
				udp dport 9 counter comment "discard"
				udp dport 9 counter packets 3 bytes 300 counter packets 4 bytes 400 comment "two counters"
				counter name named
				accept
				ip daddr { 192.0.2.1, 192.0.2.2 } log prefix "counter" comment "no counter"
			}
			chain c { counter comment "other chain" ; }
		}
		table inet other { chain a { counter comment "other table" ; }; }`)
	conn, err := net.Dial("udp", "127.0.0.1:9")
	must(t, err)
	defer conn.Close()
	conn.Write(make([]byte, 100)) // 128 bytes with its IPv4 and UDP headers
	conn.Write(nil)               // may fail because nobody listens, after it was sent
	got, err := c.Rules(table)
	must(t, err)
	for i := range got {
		handle := fmt.Sprintf("# handle %d", got[i].Handle)
		if !strings.Contains(command(t, "", "-a", "list", "table", "inet", "t"), handle) {
			t.Errorf("nft knows no %s", handle)
		}
		got[i].Handle = 0
	}
	if len(got) == 0 || got[0].Packets == 0 {
		t.Fatalf("got %+v, want a packet counted by the first rule", got)
	}
	packets, bytes := got[0].Packets, got[0].Bytes
	if bytes < 128 {
		t.Errorf("got %d bytes counted, want 128 or more", bytes)
	}
	want := []nft.Rule{
		{Chain: "a", Comment: "discard", HasCounter: true, Packets: packets, Bytes: bytes},
		{Chain: "a", Comment: "two counters", HasCounter: true, Packets: 7 + 2*packets, Bytes: 700 + 2*bytes},
		{Chain: "a"},
		{Chain: "a"},
		{Chain: "a", Comment: "no counter"},
		{Chain: "c", Comment: "other chain", HasCounter: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCounters(t *testing.T) {
	c := open(t, `table inet t {
		counter one { packets 1 bytes 100 }
		counter two { packets 18446744073709551615 bytes 2 }
		quota q { 25 mbytes }
	}`)
	got, err := c.Counters(table)
	must(t, err)
	want := []nft.Counter{{Name: "one", Packets: 1, Bytes: 100}, {Name: "two", Packets: 1<<64 - 1, Bytes: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestChains(t *testing.T) {
	c := open(t, `
		table inet t { chain a { type filter hook input priority 0; }; chain b { }; }
		table inet other { chain c { }; }
		table ip t { chain d { }; }`)
	got, err := c.Chains(table)
	must(t, err)
	want := []nft.Chain{{Name: "a", Base: true}, {Name: "b"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestListingWhatDoesNotExist(t *testing.T) {
	c := open(t, "add table inet t")
	none := nft.Table{Family: nft.Inet, Name: "none"}
	if rules, err := c.Rules(table); err != nil || len(rules) != 0 {
		t.Errorf("an empty table has rules %v, error %v", rules, err)
	}
	if counters, err := c.Counters(table); err != nil || len(counters) != 0 {
		t.Errorf("an empty table has counters %v, error %v", counters, err)
	}
	if chains, err := c.Chains(table); err != nil || len(chains) != 0 {
		t.Errorf("an empty table has chains %v, error %v", chains, err)
	}
	_, err := c.Chains(none)
	wantErr(t, err, nft.ErrNotExist, "inet none")
	_, err = c.Rules(none)
	wantErr(t, err, nft.ErrNotExist, "inet none")
	_, err = c.Counters(none)
	wantErr(t, err, nft.ErrNotExist, "inet none")
	_, err = c.Rules(nft.Table{Family: nft.IPv6, Name: "t"})
	wantErr(t, err, nft.ErrNotExist, "ip6 t")
}

// openWithRules loads a table with n rules that have a counter and a comment, in pieces: in a user namespace, nft may not send
// more than some 400 at once.
func openWithRules(t testing.TB, n int) *nft.Client {
	t.Helper()
	c := open(t, "table inet t { set s { type ipv4_addr; flags timeout; }; chain c { }; }")
	for i := 0; i < n; {
		var b strings.Builder
		for range min(400, n-i) {
			fmt.Fprintf(&b, "add rule inet t c ip saddr 10.%d.%d.1 tcp dport %d counter accept comment \"rule %d\"\n", i/250, i%250, i%60000+1, i)
			i++
		}
		command(t, b.String(), "-f", "-")
	}
	return c
}

func TestManyRules(t *testing.T) {
	const n = 10_000
	c := openWithRules(t, n)
	start := time.Now()
	rules, err := c.Rules(table)
	took := time.Since(start)
	must(t, err)
	if len(rules) != n {
		t.Fatalf("got %d rules, want %d", len(rules), n)
	}
	for i, r := range rules {
		if want := fmt.Sprintf("rule %d", i); r.Comment != want || !r.HasCounter {
			t.Fatalf("rule %d is %+v, want comment %q", i, r, want)
		}
	}
	t.Logf("%d rules in %v", n, took)
	if took > 3*time.Second {
		t.Errorf("listing %d rules took %v", n, took)
	}
}

func TestRulesWhileOthersChangeTheRuleset(t *testing.T) {
	c := openWithRules(t, 3000)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			tx := c.Begin()
			tx.ReplaceElements(table, "s", elements("192.0.2.1"))
			if err := tx.Commit(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	interrupted := 0
	for range 8 {
		rules, err := c.Rules(table)
		if errors.Is(err, nft.ErrInterrupted) {
			interrupted++
		} else if err != nil {
			t.Fatal(err)
		}
		if len(rules) != 3000 { // none of those transactions is about rules
			t.Fatalf("got %d rules, want 3000 (error %v)", len(rules), err)
		}
	}
	if interrupted == 0 {
		t.Error("no listing was reported as interrupted: the kernel's mark goes unnoticed")
	}
}

func TestGenID(t *testing.T) {
	c := open(t, "table inet t { set s { type ipv4_addr; flags timeout; }; }")
	id := func() uint32 {
		id, err := c.GenID()
		must(t, err)
		return id
	}
	before := id()
	if again := id(); again != before {
		t.Errorf("the generation id went from %d to %d by itself", before, again)
	}
	tx := c.Begin()
	tx.AddElements(table, "s", elements("192.0.2.1"))
	must(t, tx.Commit())
	if after := id(); after == before {
		t.Error("a transaction did not change the generation id")
	}
}
