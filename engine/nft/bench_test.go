package nft_test

import (
	"testing"
	"time"

	"github.com/google/nftables"
)

func BenchmarkAddOne(b *testing.B) {
	c := open(b, "table inet t { set s { type ipv4_addr; flags timeout; }; }")
	all := hosts(1 << 16)
	i := 0
	for b.Loop() {
		tx := c.Begin()
		tx.AddElements(table, "s", all[i%len(all):i%len(all)+1])
		must(b, tx.Commit())
		i++
	}
}

func BenchmarkReplaceOne(b *testing.B) {
	c := open(b, "table inet t { set s { type ipv4_addr; flags timeout; }; }")
	one := hosts(1)
	for b.Loop() {
		tx := c.Begin()
		tx.ReplaceElements(table, "s", one)
		must(b, tx.Commit())
	}
}

func BenchmarkElement(b *testing.B) {
	c := open(b, sets)
	add(b, c, "host4", elements("192.0.2.1"))
	add(b, c, "net4", elements("192.0.2.0/24"))
	for _, set := range []string{"host4", "net4"} {
		b.Run(set, func(b *testing.B) {
			for b.Loop() {
				_, ok, err := c.Element(table, set, prefix("192.0.2.1"))
				if err != nil || !ok {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

func BenchmarkRules10000(b *testing.B) {
	c := openWithRules(b, 10_000)
	for b.Loop() {
		rules, err := c.Rules(table)
		if err != nil || len(rules) != 10_000 {
			b.Fatal(len(rules), err)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	c := open(b, "table inet t { set s { type ipv4_addr; }; }")
	for b.Loop() {
		must(b, c.Run(b.Context(), []byte("add element inet t s { 192.0.2.1 }")))
	}
}

func BenchmarkElements(b *testing.B) {
	for _, set := range []string{"host4", "net4"} {
		b.Run(set, func(b *testing.B) {
			c := open(b, sets)
			add(b, c, set, hosts(50_000))
			time.Sleep(time.Second) // the kernel enlarges the set in the background
			for b.Loop() {
				got, err := c.Elements(table, set)
				if err != nil || len(got) != 50_000 {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

// BenchmarkMillion adds a million hosts in transactions of 100,000, beside another library that does the same.
func BenchmarkMillion(b *testing.B) {
	const n, chunk = 1_000_000, 100_000
	all := hosts(n)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			c := open(b, "flush ruleset; table inet t { set s { type ipv4_addr; flags timeout; }; }")
			b.StartTimer()
			for i := 0; i < n; i += chunk {
				add(b, c, "s", all[i:i+chunk])
			}
			b.StopTimer()
			info, err := c.SetInfo(table, "s")
			if err != nil || info.Count >= 0 && info.Count != n {
				b.Fatalf("the kernel counts %d elements, %v, want %d", info.Count, err, n)
			}
			c.Close()
			b.StartTimer()
		}
		b.ReportAllocs()
	})
	b.Run("google-nftables", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			open(b, "flush ruleset; table inet t { set s { type ipv4_addr; flags timeout; }; }")
			conn, err := nftables.New(nftables.AsLasting())
			must(b, err)
			set := &nftables.Set{Table: &nftables.Table{Family: nftables.TableFamilyINet, Name: "t"}, Name: "s", HasTimeout: true}
			b.StartTimer()
			for i := 0; i < n; i += chunk {
				values := make([]nftables.SetElement, chunk)
				for j, e := range all[i : i+chunk] {
					values[j] = nftables.SetElement{Key: e.Prefix.Addr().AsSlice(), Timeout: e.Timeout}
				}
				must(b, conn.SetAddElements(set, values))
				must(b, conn.Flush())
			}
			b.StopTimer()
			must(b, conn.CloseLasting())
			b.StartTimer()
		}
		b.ReportAllocs()
	})
}
