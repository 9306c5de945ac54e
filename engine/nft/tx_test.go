package nft_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"moonlatch/engine/nft"
)

func TestElementsExpireByThemselves(t *testing.T) {
	for _, tt := range []struct{ set, gone, stays string }{
		{"host4", "192.0.2.1", "192.0.2.2"}, {"net4", "192.0.2.0/24", "192.0.3.0/24"}, {"host6", "2001:db8::1", "2001:db8::2"},
	} {
		t.Run(tt.set, func(t *testing.T) {
			c := open(t, sets)
			tx := c.Begin()
			tx.AddElements(table, tt.set, []nft.Element{
				{Prefix: prefix(tt.gone), Timeout: time.Nanosecond}, // becomes the shortest that the kernel can do, not none
				{Prefix: prefix(tt.stays), Timeout: time.Hour},
			})
			must(t, tx.Commit())
			eventually(t, func() bool {
				_, ok, err := c.Element(table, tt.set, prefix(tt.gone))
				must(t, err)
				return !ok
			})
			got, err := c.Elements(table, tt.set)
			must(t, err)
			if diff := cmp.Diff(prefixes(tt.stays), prefixesOf(got), cmpPrefix); diff != "" {
				t.Errorf("%s: %s", tt.set, diff)
			}
			tx = c.Begin()
			tx.DeleteElements(table, tt.set, prefixes(tt.gone))
			wantErr(t, tx.Commit(), nft.ErrNotExist, tt.set)
		})
	}
}

func TestTransactionIsAllOrNothing(t *testing.T) {
	c := open(t, sets+`
		table inet other { chain c { accept; drop; }; }`)
	other := nft.Table{Family: nft.Inet, Name: "other"}
	add(t, c, "host4", elements("192.0.2.9"))
	rules, err := c.Rules(other)
	must(t, err)
	before := command(t, "", "-s", "list", "ruleset")
	good := func(tx *nft.Tx) {
		tx.AddElements(table, "host4", elements("192.0.2.1"))
		tx.DeleteElements(table, "host4", prefixes("192.0.2.9"))
		tx.FlushSet(table, "host4")
		tx.DeleteSet(table, "ports")
		tx.AddKeys(table, "lease", time.Hour, nft.KeyIPv4)
		tx.DeleteRule(other, "c", rules[0].Handle)
	}
	bad := map[string]struct {
		op   func(*nft.Tx)
		want error
		text string
	}{
		"absent element": {func(tx *nft.Tx) { tx.DeleteElements(table, "net4", prefixes("10.0.0.0/8")) }, nft.ErrNotExist, "10.0.0.0"},
		"absent key":     {func(tx *nft.Tx) { tx.DeleteKeys(table, "lease", nft.KeyIPv6) }, nft.ErrNotExist, "0x0a"},
		"absent table":   {func(tx *nft.Tx) { tx.DeleteTable(nft.Table{Family: nft.Inet, Name: "none"}) }, nft.ErrNotExist, "delete table inet none"},
		"absent set":     {func(tx *nft.Tx) { tx.FlushSet(table, "none") }, nft.ErrNotExist, "flush set none"},
		"absent chain":   {func(tx *nft.Tx) { tx.DeleteRule(other, "none", 1) }, nft.ErrNotExist, "chain none"},
		"absent rule":    {func(tx *nft.Tx) { tx.DeleteRule(other, "c", 4711) }, nft.ErrNotExist, "rule 4711"},
		"overlap": {func(tx *nft.Tx) { tx.AddElements(table, "net4", elements("10.0.0.0/8", "10.1.0.0/16")) },
			nft.ErrExist, "net4"},
	}
	for name, tt := range bad {
		for _, order := range []string{"first", "last"} {
			tx := c.Begin()
			if order == "first" {
				tt.op(tx)
			}
			good(tx)
			if order == "last" {
				tt.op(tx)
			}
			wantErr(t, tx.Commit(), tt.want, tt.text)
			if diff := cmp.Diff(before, command(t, "", "-s", "list", "ruleset")); diff != "" {
				t.Fatalf("%s %s: a transaction that failed changed the ruleset: %s", name, order, diff)
			}
		}
	}
	tx := c.Begin()
	good(tx)
	must(t, tx.Commit())
	after := command(t, "", "-s", "list", "ruleset")
	if strings.Contains(after, "192.0.2") || strings.Contains(after, "accept") || !strings.Contains(after, "drop") ||
		strings.Contains(after, "ports") || !strings.Contains(after, "ipv4") {
		t.Errorf("the good operations alone made:\n%s", after)
	}
}

func TestTransactionRefusesWhatItCannotEncode(t *testing.T) {
	c := open(t, sets)
	tests := []struct {
		set  string
		e    nft.Element
		want string
	}{
		{"host4", nft.Element{Prefix: prefix("2001:db8::1")}, "32 bits"},
		{"host6", nft.Element{Prefix: prefix("192.0.2.1")}, "128 bits"},
		{"host4", nft.Element{Prefix: prefix("::ffff:192.0.2.1")}, "32 bits"},
		{"host4", nft.Element{Prefix: prefix("192.0.2.0/24")}, "single addresses only"},
		{"host4", nft.Element{}, "invalid prefix"},
		{"host4", nft.Element{Prefix: prefix("192.0.2.1"), Timeout: -time.Second}, "negative timeout"},
		{"plain4", nft.Element{Prefix: prefix("192.0.2.1"), Timeout: time.Second}, "flags timeout"},
		{"host4", nft.Element{Prefix: prefix("192.0.2.1"), Comment: strings.Repeat("x", 129)}, "129 bytes"},
		{"host4", nft.Element{Prefix: prefix("192.0.2.1"), Comment: `say "no"`}, "cannot list"},
		{"host4", nft.Element{Prefix: prefix("192.0.2.1"), Comment: "line\nline"}, "cannot list"},
		{"ports", nft.Element{Prefix: prefix("192.0.2.1")}, "no addresses"},
		{"none", nft.Element{Prefix: prefix("192.0.2.1")}, "does not exist"},
	}
	for _, tt := range tests {
		tx := c.Begin()
		tx.AddElements(table, "host4", elements("192.0.2.9"))
		tx.AddElements(table, tt.set, []nft.Element{tt.e})
		tx.AddElements(table, "host4", elements("192.0.2.8"))
		if err := tx.Commit(); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.set) {
			t.Errorf("%+v into %s: got error %v, want one that names it and %q", tt.e, tt.set, err, tt.want)
		}
	}
	if got := listed(t, "host4"); got != nil {
		t.Errorf("transactions that failed left %q", got)
	}
}

func TestCommitTwice(t *testing.T) {
	c := open(t, sets)
	tx := c.Begin()
	tx.AddElements(table, "host4", elements("192.0.2.9"))
	must(t, tx.Commit())
	if err := tx.Commit(); err == nil {
		t.Error("a transaction was committed twice")
	}
	before, err := c.GenID()
	must(t, err)
	must(t, c.Begin().Commit())
	if after, err := c.GenID(); err != nil || after != before {
		t.Errorf("an empty transaction changed the generation from %d to %d, error %v", before, after, err)
	}
}

func TestSetThatIsFull(t *testing.T) {
	c := open(t, "table inet t { set s { type ipv4_addr; flags timeout; size 2; }; }")
	add(t, c, "s", elements("192.0.2.1", "192.0.2.2"))
	tx := c.Begin()
	tx.AddElements(table, "s", elements("192.0.2.3"))
	wantErr(t, tx.Commit(), nft.ErrFull, "set s", "192.0.2.3")
	// What is there can still be changed, and make room.
	tx = c.Begin()
	tx.ReplaceElements(table, "s", []nft.Element{{Prefix: prefix("192.0.2.2"), Timeout: time.Hour}})
	tx.DeleteElements(table, "s", prefixes("192.0.2.1"))
	tx.AddElements(table, "s", elements("192.0.2.3"))
	must(t, tx.Commit())
	if got := listed(t, "s"); len(got) != 2 || !strings.HasPrefix(got[0], "192.0.2.2 timeout 1h") {
		t.Errorf("nft lists %q", got)
	}
}

// TestAddingWhatHasExpired adds elements that have expired, before the kernel has cleaned them up.
func TestAddingWhatHasExpired(t *testing.T) {
	for set, text := range map[string]string{"host4": "192.0.2.1", "net4": "192.0.2.0/24", "net6": "::/0"} {
		for _, add := range []func(*nft.Tx, nft.Table, string, []nft.Element){(*nft.Tx).AddElements, (*nft.Tx).ReplaceElements} {
			t.Run(set, func(t *testing.T) {
				c := open(t, sets)
				for range 5 {
					tx := c.Begin()
					add(tx, table, set, []nft.Element{{Prefix: prefix(text), Timeout: 10 * time.Millisecond}})
					must(t, tx.Commit())
					eventually(t, func() bool {
						_, ok, err := c.Element(table, set, prefix(text))
						must(t, err)
						return !ok
					})
				}
				tx := c.Begin()
				add(tx, table, set, []nft.Element{{Prefix: prefix(text), Timeout: time.Hour}})
				must(t, tx.Commit())
				got, err := c.Elements(table, set)
				if err != nil || len(got) != 1 || got[0].Timeout != time.Hour || got[0].Expires < 59*time.Minute {
					t.Errorf("got %+v, %v, want one element with an hour left", got, err)
				}
			})
		}
	}
}

func TestSetInUse(t *testing.T) {
	c := open(t, "table inet t { set s { type ipv4_addr; }; chain c { ip saddr @s drop; }; }")
	tx := c.Begin()
	tx.DeleteSet(table, "s")
	wantErr(t, tx.Commit(), nft.ErrBusy, "set s")
}

func TestCreateElements(t *testing.T) {
	for set, at := range map[string][]netip.Prefix{
		"host4": prefixes("192.0.2.1", "192.0.2.2", "192.0.2.3"),
		"host6": prefixes("2001:db8::1", "2001:db8::2", "2001:db8::3"),
	} {
		c := open(t, sets)
		create := func(p netip.Prefix, timeout time.Duration) error {
			tx := c.Begin()
			tx.CreateElements(table, set, []nft.Element{{Prefix: p, Timeout: timeout}})
			for range 2 {
				tx.ReplaceElements(table, set, []nft.Element{{Prefix: at[2]}}) // which it has no effect on
			}
			return tx.Commit()
		}
		must(t, create(at[0], time.Hour))
		wantErr(t, create(at[0], 2*time.Hour), nft.ErrExist, at[0].Addr().String())
		must(t, create(at[1], 10*time.Millisecond))
		time.Sleep(50 * time.Millisecond) // the kernel keeps what has expired some time longer
		must(t, create(at[1], time.Hour))
	}
}

func TestReplaceElements(t *testing.T) {
	for _, tt := range []struct{ set, here, new, beside string }{
		{"host4", "192.0.2.1", "192.0.2.2", "192.0.2.3"},
		{"host6", "2001:db8::1", "2001:db8::2", "2001:db8::3"},
		{"net4", "10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"},
		{"net4", "0.0.0.0/8", "255.0.0.0/8", "1.0.0.0/8"},
		{"net6", "2001:db8::/32", "2001:db9::/32", "2001:dba::/32"},
	} {
		t.Run(tt.here, func(t *testing.T) {
			c := open(t, sets)
			add(t, c, tt.set, []nft.Element{
				{Prefix: prefix(tt.here), Timeout: time.Minute, Comment: "old"},
				{Prefix: prefix(tt.beside), Timeout: time.Minute, Comment: "beside"},
			})
			tx := c.Begin()
			tx.ReplaceElements(table, tt.set, []nft.Element{
				{Prefix: prefix(tt.here), Timeout: time.Hour, Comment: "longer"},
				{Prefix: prefix(tt.new), Timeout: 2 * time.Hour, Comment: "new"},
			})
			must(t, tx.Commit())
			text := command(t, "", "-s", "list", "set", "inet", "t", tt.set)
			for _, want := range []string{
				tt.here + ` timeout 1h comment "longer"`, tt.new + ` timeout 2h comment "new"`, tt.beside + ` timeout 1m comment "beside"`,
			} {
				if !strings.Contains(text, want) {
					t.Errorf("want %s in\n%s", want, text)
				}
			}
			// Shorter, and for good.
			tx = c.Begin()
			tx.ReplaceElements(table, tt.set, []nft.Element{{Prefix: prefix(tt.here), Timeout: time.Second}, {Prefix: prefix(tt.new)}})
			must(t, tx.Commit())
			got, err := c.Elements(table, tt.set)
			must(t, err)
			if len(got) != 3 {
				t.Errorf("%s holds %v, want 3 elements", tt.set, got)
			}
			for _, e := range got {
				want := map[netip.Prefix]time.Duration{prefix(tt.here): time.Second, prefix(tt.new): 0, prefix(tt.beside): time.Minute}[e.Prefix]
				if e.Timeout != want || e.Expires > want || (want == 0) != (e.Expires == 0) {
					t.Errorf("%v has timeout %v and %v left, want %v", e.Prefix, e.Timeout, e.Expires, want)
				}
			}
		})
	}
}

func TestDeleteTable(t *testing.T) {
	c := open(t, sets)
	tx := c.Begin()
	tx.DeleteTable(table)
	must(t, tx.Commit())
	if got := command(t, "", "list", "ruleset"); got != "" {
		t.Errorf("left is %s", got)
	}
}

// TestSecondImplementation compares with another library: what it writes we read, and what we write it reads.
func TestSecondImplementation(t *testing.T) {
	c := open(t, sets)
	other, err := nftables.New()
	must(t, err)
	tbl := &nftables.Table{Family: nftables.TableFamilyINet, Name: "t"}
	host, err := other.GetSetByName(tbl, "host4")
	must(t, err)
	must(t, other.SetAddElements(host, []nftables.SetElement{{Key: []byte{192, 0, 2, 1}, Timeout: time.Hour, Comment: "theirs"}}))
	must(t, other.Flush())
	add(t, c, "host4", []nft.Element{{Prefix: prefix("192.0.2.2"), Timeout: 2 * time.Hour, Comment: "ours"}})
	ours, err := c.Elements(table, "host4")
	must(t, err)
	theirs, err := other.GetSetElements(host)
	must(t, err)
	slices.SortFunc(theirs, func(a, b nftables.SetElement) int { return slices.Compare(a.Key, b.Key) })
	var a, b []string
	for _, e := range ours {
		a = append(a, fmt.Sprint(e.Prefix.Addr(), e.Timeout, e.Comment))
	}
	for _, e := range theirs {
		addr, _ := netip.AddrFromSlice(e.Key)
		b = append(b, fmt.Sprint(addr, e.Timeout, e.Comment))
	}
	if diff := cmp.Diff(b, a); diff != "" || len(a) != 2 {
		t.Error(diff)
	}
	// `nft monitor` wants to know of prefixes that have no end.
	add(t, c, "net4", elements("255.0.0.0/8", "192.0.2.0/24"))
	net, err := other.GetSetByName(tbl, "net4")
	must(t, err)
	theirs, err = other.GetSetElements(net)
	must(t, err)
	for _, e := range theirs {
		if e.IntervalOpen != (e.Key[0] == 255) {
			t.Errorf("%v is marked as open: %v", e.Key, e.IntervalOpen)
		}
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	c := open(t, sets)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				p := prefix(fmt.Sprintf("10.0.%d.%d", g, i))
				tx := c.Begin()
				tx.AddElements(table, "host4", []nft.Element{{Prefix: p}})
				if err := tx.Commit(); err != nil {
					t.Error(err)
				}
				if _, ok, err := c.Element(table, "host4", p); err != nil || !ok {
					t.Errorf("%v is not there, error %v", p, err)
				}
				if _, err := c.Tables(); err != nil && !errors.Is(err, nft.ErrInterrupted) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got, err := c.Elements(table, "host4"); err != nil || len(got) != 160 {
		t.Errorf("got %d elements, %v, want 160", len(got), err)
	}
}

func TestErrnoIsTestable(t *testing.T) {
	c := open(t, sets)
	_, err := c.SetInfo(table, "none")
	if !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v, want the errno in it, too", err)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within 10 seconds")
		}
	}
}
