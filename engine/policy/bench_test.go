package policy

import (
	"net/netip"
	"testing"
	"testing/fstest"

	lua "github.com/yuin/gopher-lua"
)

const sixFields = `if ev.src == "x" or ev.dst == "x" or ev.sport == 1 or ev.dport == 1 or ev.ttl == 1 or ev.flags == "x" then error("never") end`
const sixArgs = `if src == "x" or dst == "x" or sport == 1 or dport == 1 or ttl == 1 or flags == "x" then error("never") end`

// BenchmarkHandler calls a handler that reads six fields of an event object, and
// one that gets six arguments. cmd/moonlatch-bench compares both with bare gopher-lua.
func BenchmarkHandler(b *testing.B) {
	for name, source := range map[string]string{
		"fields":     `fw.on(closed, function(ev) ` + sixFields + ` end)`,
		"positional": `fw.on(closed, { fields = { "src", "dst", "sport", "dport", "ttl", "flags" } }, function(src, dst, sport, dport, ttl, flags) ` + sixArgs + ` end)`,
	} {
		b.Run(name, func(b *testing.B) {
			s := newStage(b, source)
			h, p := s.Handlers()[0], syn()
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Handle(h, "closed", p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMatch is what each packet costs that no handler wants.
func BenchmarkMatch(b *testing.B) {
	s := newStage(b, `local net = fw.set "net" { "192.0.2.0/24", "2001:db8::/32" }
fw.on(closed, { tcp = { 22, 23, "3000-4000" }, not_src = net, flags = "syn", dst = "192.0.2.81" }, function() end)`)
	h, p := s.Handlers()[0], syn()
	b.ReportAllocs()
	for b.Loop() {
		if h.Match(p) {
			b.Fatal("matched")
		}
	}
}

// BenchmarkEvents handles packets of ever new sources.
func BenchmarkEvents(b *testing.B) {
	s := newStage(b, `fw.on(closed, function(ev) `+sixFields+` end)`)
	h, p := s.Handlers()[0], syn()
	b.ReportAllocs()
	for b.Loop() {
		next := p.Src.As4()
		next[3]++
		if next[3] == 0 {
			next[2]++
		}
		p.Src = netip.AddrFrom4(next)
		if err := s.Handle(h, "closed", p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, size := range []int{10, 1000} {
		b.Run(map[int]string{10: "10-rules", 1000: "1000-rules"}[size], func(b *testing.B) {
			source := []byte(prelude)
			for i := range size {
				source = append(source, `input { "rule `...)
				source = append(source, lua.LNumber(i).String()...)
				source = append(source, `", tcp = { 80, 443 }, src = admins, ct = "new", limit = "10/s", accept }`+"\n"...)
			}
			folder := fstest.MapFS{"policy.lua": {Data: source}}
			b.ReportAllocs()
			for b.Loop() {
				p, err := Load(folder, "policy.lua", Env{})
				if err != nil {
					b.Fatal(err)
				}
				p.Close()
			}
		})
	}
}
