package nft_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/nft"
)

// sets are one of each kind that Moonlatch uses.
const sets = `table inet t {
	set host4  { type ipv4_addr; flags timeout; size 65536; }
	set host6  { type ipv6_addr; flags timeout; }
	set net4   { type ipv4_addr; flags interval, timeout; }
	set net6   { type ipv6_addr; flags interval, timeout; }
	set plain4 { type ipv4_addr; }
	set fixed4 { type ipv4_addr; flags interval; }
	set hour4  { type ipv4_addr; flags timeout; timeout 1h; }
	set lease  { typeof meta nfproto; flags timeout; }
	set marks  { type mark; flags timeout; }
	set ports  { type ipv4_addr . inet_service; }
}`

func add(t testing.TB, c *nft.Client, set string, elements []nft.Element) {
	t.Helper()
	tx := c.Begin()
	tx.AddElements(table, set, elements)
	must(t, tx.Commit())
}

func TestAddAsNftListsIt(t *testing.T) {
	tests := []struct {
		set  string
		add  []string
		want []string // as nft lists it, nil for the same as add
	}{
		{set: "host4", add: []string{"192.0.2.1"}},
		{set: "host4", add: []string{"0.0.0.0"}},
		{set: "host4", add: []string{"255.255.255.255"}},
		{set: "host6", add: []string{"2001:db8::1"}},
		{set: "host6", add: []string{"2001:db8:1:2::"}},
		{set: "host6", add: []string{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}},
		{set: "net4", add: []string{"192.0.2.0/24"}},
		{set: "net4", add: []string{"192.0.2.1"}},
		{set: "net4", add: []string{"192.0.2.77/24"}, want: []string{"192.0.2.0/24"}},
		{set: "net4", add: []string{"10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/23"}},
		{set: "net4", add: []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}},
		{set: "net4", add: []string{"0.0.0.0/0"}},
		{set: "net4", add: []string{"0.0.0.0/1", "128.0.0.0/1"}},
		{set: "net4", add: []string{"0.0.0.0", "255.255.255.255"}},
		{set: "net4", add: []string{"240.0.0.0/5", "248.0.0.0/5"}},
		{set: "net6", add: []string{"2001:db8::/32", "2001:db9::/48", "2001:db9:1::/48"}},
		{set: "net6", add: []string{"::/0"}},
		{set: "net6", add: []string{"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}},
		{set: "net6", add: []string{"8000::/1"}},
		{set: "fixed4", add: []string{"192.0.2.0/25"}},
		{set: "plain4", add: []string{"192.0.2.1"}},
	}
	for _, tt := range tests {
		t.Run(tt.set+" "+strings.Join(tt.add, " "), func(t *testing.T) {
			c := open(t, sets)
			add(t, c, tt.set, elements(tt.add...))
			want := tt.want
			if want == nil {
				want = tt.add
			}
			if diff := cmp.Diff(want, listed(t, tt.set)); diff != "" {
				t.Errorf("nft lists something else: %s", diff)
			}
			got, err := c.Elements(table, tt.set)
			must(t, err)
			if diff := cmp.Diff(elements(want...), got, cmpPrefix); diff != "" {
				t.Errorf("Elements reads something else: %s", diff)
			}
			tx := c.Begin()
			tx.DeleteElements(table, tt.set, prefixes(tt.add...))
			must(t, tx.Commit())
			if left := listed(t, tt.set); left != nil {
				t.Errorf("after deleting all, nft lists %q", left)
			}
			if info, err := c.SetInfo(table, tt.set); err != nil || info.Count > 0 {
				t.Errorf("after deleting all, the kernel counts %d elements, error %v", info.Count, err)
			}
		})
	}
}

var cmpPrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestReadWhatNftAdds(t *testing.T) {
	tests := []struct {
		set  string
		add  string
		want []string
	}{
		{"net4", "10.0.0.0/24, 10.0.1.0/24, 0.0.0.0/8, 255.255.255.0/24", []string{"0.0.0.0/8", "10.0.0.0/24", "10.0.1.0/24", "255.255.255.0/24"}},
		{"net4", "192.0.2.1-192.0.2.6", []string{"192.0.2.1", "192.0.2.2/31", "192.0.2.4/31", "192.0.2.6"}},
		{"net4", "0.0.0.0/0", []string{"0.0.0.0/0"}},
		{"net4", "0.0.0.0-255.255.255.254", nil}, // 32 prefixes, checked below
		{"net6", "::/0", []string{"::/0"}},
		{"host4", "192.0.2.9, 192.0.2.3", []string{"192.0.2.3", "192.0.2.9"}},
	}
	for _, tt := range tests {
		t.Run(tt.add, func(t *testing.T) {
			c := open(t, sets)
			command(t, "", "add element inet t "+tt.set+" { "+tt.add+" }")
			got, err := c.Elements(table, tt.set)
			must(t, err)
			if tt.want == nil {
				if len(got) != 32 {
					t.Errorf("got %d elements, want 32", len(got))
				}
				return
			}
			if diff := cmp.Diff(elements(tt.want...), got, cmpPrefix); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTimeoutsAndComments(t *testing.T) {
	for _, tt := range []struct{ set, addr string }{
		{"host4", "192.0.2.1"}, {"host6", "2001:db8::1"}, {"net4", "192.0.2.0/24"}, {"net6", "2001:db8::/32"},
		{"net4", "255.0.0.0/8"}, {"net6", "::/0"},
	} {
		t.Run(tt.set+" "+tt.addr, func(t *testing.T) {
			c := open(t, sets)
			comment := "portscan: 12 ports, it's \\ ünïcode"
			want := nft.Element{Prefix: prefix(tt.addr), Timeout: 90*time.Minute + 20*time.Millisecond, Comment: comment}
			add(t, c, tt.set, []nft.Element{want})
			text := command(t, "", "-s", "list", "set", "inet", "t", tt.set)
			if line := fmt.Sprintf(`%s timeout 1h30m20ms comment "%s"`, tt.addr, comment); !strings.Contains(text, line) {
				t.Errorf("nft lists\n%s\nwant %s", text, line)
			}
			got, err := c.Elements(table, tt.set)
			must(t, err)
			one, ok, err := c.Element(table, tt.set, want.Prefix)
			must(t, err)
			if !ok || len(got) != 1 {
				t.Fatalf("got %v and %v, %v, want the element", got, one, ok)
			}
			for _, e := range []nft.Element{got[0], one} {
				if e.Expires <= 89*time.Minute || e.Expires > want.Timeout {
					t.Errorf("the element expires in %v, want nearly %v", e.Expires, want.Timeout)
				}
				e.Expires = 0
				if diff := cmp.Diff(want, e, cmpPrefix); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestTheLongestComment(t *testing.T) {
	c := open(t, sets)
	comment := strings.Repeat("x", 128)
	add(t, c, "net4", []nft.Element{{Prefix: prefix("255.255.255.255"), Comment: comment, Timeout: time.Hour}})
	if got := command(t, "", "list", "set", "inet", "t", "net4"); !strings.Contains(got, `comment "`+comment+`"`) {
		t.Errorf("nft lists %s", got)
	}
	got, err := c.Elements(table, "net4")
	if err != nil || len(got) != 1 || got[0].Comment != comment {
		t.Errorf("got %v, %v, want the comment", got, err)
	}
}

func TestComment(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"plain":                           "plain",
		"say \"no\"\n\tnow\x00\x7f":       "say 'no'  now  ",
		"\xff":                            "\uFFFD",
		strings.Repeat("x", 129):          strings.Repeat("x", 128),
		strings.Repeat("x", 127) + "ü":    strings.Repeat("x", 127),
		strings.Repeat("x", 126) + "ü":    strings.Repeat("x", 126) + "ü",
		strings.Repeat("x", 126) + "€ 12": strings.Repeat("x", 126),
	} {
		if got := nft.Comment(in); got != want {
			t.Errorf("Comment(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSetTimeoutIsTheDefault(t *testing.T) {
	c := open(t, sets)
	command(t, "", "add element inet t hour4 { 192.0.2.1, 192.0.2.2 timeout 2h }")
	got, err := c.Elements(table, "hour4")
	must(t, err)
	if len(got) != 2 || got[0].Timeout != time.Hour || got[1].Timeout != 2*time.Hour {
		t.Errorf("got %+v, want timeouts of 1 and 2 hours", got)
	}
}

func TestSetInfo(t *testing.T) {
	c := open(t, sets)
	add(t, c, "host4", elements("192.0.2.1", "192.0.2.2"))
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return strings.HasPrefix(p.Last().String(), ".key") }, cmp.Ignore())
	for set, want := range map[string]nft.SetInfo{
		"host4":  {HasTimeout: true, Size: 65536, Count: 2},
		"net6":   {HasTimeout: true, Interval: true},
		"hour4":  {HasTimeout: true, Timeout: time.Hour},
		"fixed4": {Interval: true},
		"lease":  {HasTimeout: true},
	} {
		got, err := c.SetInfo(table, set)
		must(t, err)
		if got.Count < 0 {
			want.Count = -1 // this kernel does not tell
		}
		if diff := cmp.Diff(want, got, ignore); diff != "" {
			t.Errorf("%s: %s", set, diff)
		}
	}
}

// Sets tells of each what SetInfo does, and counts prefixes once though the kernel holds both their ends.
func TestSets(t *testing.T) {
	c := open(t, sets)
	add(t, c, "host4", elements("192.0.2.1", "192.0.2.2"))
	add(t, c, "net6", elements("2001:db8::/32", "2001:db9::/48", "fd00::/8"))
	all, err := c.Sets(table)
	must(t, err)
	seen := map[string]nft.SetInfo{}
	for _, s := range all {
		seen[s.Name] = s.SetInfo
		want, err := c.SetInfo(table, s.Name)
		must(t, err)
		if s.SetInfo != want {
			t.Errorf("%s: %+v, want %+v", s.Name, s.SetInfo, want)
		}
	}
	if len(seen) < 5 {
		t.Errorf("only these: %v", seen)
	}
	if got := seen["net6"].Count; got >= 0 && got != 3 {
		t.Errorf("3 prefixes are counted as %d", got)
	}
	_, err = c.Sets(nft.Table{Family: nft.Inet, Name: "none"})
	wantErr(t, err, nft.ErrNotExist, "none")
}

func TestSetsThatAreMissingOrOfSomethingElse(t *testing.T) {
	c := open(t, sets)
	none := nft.Table{Family: nft.Inet, Name: "none"}
	for _, where := range []struct {
		table nft.Table
		set   string
	}{{table, "none"}, {none, "host4"}, {nft.Table{Family: nft.IPv4, Name: "t"}, "host4"}} {
		_, err := c.SetInfo(where.table, where.set)
		wantErr(t, err, nft.ErrNotExist, where.table.String(), where.set)
		_, err = c.Elements(where.table, where.set)
		wantErr(t, err, nft.ErrNotExist, where.table.String(), where.set)
		_, _, err = c.Element(where.table, where.set, prefix("192.0.2.1"))
		wantErr(t, err, nft.ErrNotExist, where.table.String(), where.set)
		_, err = c.Expiries(where.table, where.set)
		wantErr(t, err, nft.ErrNotExist, where.table.String(), where.set)
	}
	for _, set := range []string{"lease", "marks", "ports"} {
		if _, err := c.Elements(table, set); err == nil || !strings.Contains(err.Error(), "no addresses") {
			t.Errorf("%s: got error %v, want one that says that it holds no addresses", set, err)
		}
	}
}

func TestElement(t *testing.T) {
	c := open(t, sets)
	add(t, c, "host4", elements("192.0.2.1"))
	add(t, c, "net4", elements("10.0.0.0/24", "10.0.1.0/24", "10.0.3.0/24", "0.0.0.0/8", "255.0.0.0/8", "192.0.2.7", "192.0.2.8", "192.0.2.9"))
	add(t, c, "net6", elements("2001:db8::/32"))
	command(t, "", "add element inet t net4 { 172.16.0.1-172.16.0.6 }")
	tests := []struct{ set, ask, want string }{
		{"host4", "192.0.2.1", "192.0.2.1"},
		{"host4", "192.0.2.2", ""},
		{"net4", "10.0.0.0/24", "10.0.0.0/24"},
		{"net4", "10.0.1.0/24", "10.0.1.0/24"},
		{"net4", "10.0.0.255", "10.0.0.0/24"},
		{"net4", "10.0.1.0", "10.0.1.0/24"},
		{"net4", "10.0.1.0/25", "10.0.1.0/24"},
		{"net4", "10.0.0.0/23", ""}, // covered, but by two
		{"net4", "10.0.0.0/22", ""},
		{"net4", "10.0.2.0/23", ""}, // its second half is there
		{"net4", "10.0.2.1", ""},
		{"net4", "10.0.0.0/8", ""},
		{"net4", "0.0.0.0", "0.0.0.0/8"},
		{"net4", "0.0.0.0/0", ""},
		{"net4", "1.0.0.0", ""},
		{"net4", "255.255.255.255", "255.0.0.0/8"},
		{"net4", "255.0.0.0", "255.0.0.0/8"},
		{"net4", "254.255.255.255", ""},
		{"net4", "192.0.2.6", ""},
		{"net4", "192.0.2.7", "192.0.2.7"},
		{"net4", "192.0.2.8", "192.0.2.8"},
		{"net4", "192.0.2.9", "192.0.2.9"},
		{"net4", "192.0.2.10", ""},
		{"net4", "172.16.0.1", "172.16.0.1"},
		{"net4", "172.16.0.3", "172.16.0.2/31"},
		{"net4", "172.16.0.2/31", "172.16.0.2/31"},
		{"net4", "172.16.0.0/30", ""},
		{"net6", "2001:db8::1", "2001:db8::/32"},
		{"net6", "2001:db9::", ""},
	}
	for _, tt := range tests {
		e, ok, err := c.Element(table, tt.set, prefix(tt.ask))
		must(t, err)
		if ok != (tt.want != "") || ok && e.Prefix != prefix(tt.want) {
			t.Errorf("%s in %s: got %v, %v, want %q", tt.ask, tt.set, e.Prefix, ok, tt.want)
		}
	}
	for _, tt := range []struct{ set, ask, want string }{
		{"host4", "2001:db8::1", "32 bits"}, {"net6", "192.0.2.1", "128 bits"}, {"host4", "192.0.2.0/24", "single addresses"},
	} {
		if _, _, err := c.Element(table, tt.set, prefix(tt.ask)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s in %s: got error %v, want one about %q", tt.ask, tt.set, err, tt.want)
		}
	}
	if _, _, err := c.Element(table, "host4", netip.Prefix{}); err == nil || !strings.Contains(err.Error(), "invalid") {
		t.Errorf("got error %v for no prefix at all", err)
	}
}

// TestElementOfRandomIntervals asks for every corner of many adjacent intervals, where the kernel's tree is ambiguous.
func TestElementOfRandomIntervals(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	c := open(t, sets)
	var all []netip.Prefix
	for next := uint32(0); len(all) < 300; { // intervals of random size, about half of them adjacent
		bits := 24 + r.IntN(9)
		size := uint32(1) << (32 - bits)
		next = (next + size - 1) &^ (size - 1)
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], next)
		all = append(all, netip.PrefixFrom(netip.AddrFrom4(a), bits))
		next += size + uint32(r.IntN(2)*r.IntN(64))
	}
	tx := c.Begin()
	for _, i := range r.Perm(len(all)) {
		tx.AddElements(table, "net4", []nft.Element{{Prefix: all[i]}})
	}
	must(t, tx.Commit())
	got, err := c.Elements(table, "net4")
	must(t, err)
	if diff := cmp.Diff(all, prefixesOf(got), cmpPrefix); diff != "" {
		t.Fatal(diff)
	}
	check := func(ask netip.Prefix) {
		t.Helper()
		i := slices.IndexFunc(all, func(p netip.Prefix) bool { return p.Bits() <= ask.Bits() && p.Contains(ask.Addr()) })
		e, ok, err := c.Element(table, "net4", ask)
		must(t, err)
		if ok != (i >= 0) || ok && e.Prefix != all[i] {
			t.Errorf("%v: got %v, %v, want number %d of those sorted", ask, e.Prefix, ok, i)
		}
	}
	for _, p := range all {
		check(p)
		first, last := p.Addr(), last(p)
		for _, a := range []netip.Addr{first, last, first.Prev(), last.Next()} {
			if a.IsValid() {
				check(netip.PrefixFrom(a, 32))
			}
		}
		check(netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked())
	}
}

func last(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	n := binary.BigEndian.Uint32(a[:]) | (1<<(32-p.Bits()) - 1)
	binary.BigEndian.PutUint32(a[:], n)
	return netip.AddrFrom4(a)
}

func prefixesOf(elements []nft.Element) []netip.Prefix {
	out := make([]netip.Prefix, len(elements))
	for i, e := range elements {
		out[i] = e.Prefix
	}
	return out
}
