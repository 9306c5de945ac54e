package ruleset

import (
	"fmt"
	"slices"
	"strings"
)

// Map gives a value for each value of a key. In the kernel, one that has
// addresses is two maps, named with a 4 and a 6 behind the author's name.
type Map struct {
	Name    string
	By      Key
	Entries []Entry
	Pos     Pos
}

// Entry is one entry of a map: to an address, to an address and a port, or to a mark.
type Entry struct {
	Key Value
	To  []Value
}

// ToAddresses reports whether the map gives addresses, ToPorts whether it gives
// a port with each, neither that it gives marks.
func (m *Map) ToAddresses() bool { return m.Entries[0].To[0].family != anyFamily }
func (m *Map) ToPorts() bool     { return len(m.Entries[0].To) > 1 }

func (m *Map) halves() bool { return m.By.IsAddress() || m.ToAddresses() }

// kernelName is what the kernel calls the map for packets of a family.
func (m *Map) kernelName(f family) string {
	if m.halves() {
		return m.Name + f.digit()
	}
	return m.Name
}

// declarations are the map's declarations in nft's words.
func (m *Map) declarations() []string {
	families := []family{anyFamily}
	if m.halves() {
		families = []family{ipv4, ipv6}
	}
	var out []string
	for _, f := range families {
		var list []string
		flags := ""
		for _, e := range m.Entries {
			if f == anyFamily || in(f, append(e.To, e.Key)...) {
				list = append(list, e.Key.text+" : "+concat(e.To))
				if e.Key.interval {
					flags = " flags interval;"
				}
			}
		}
		out = append(out, fmt.Sprintf("map %s { type %s : %s;%s%s }", m.kernelName(f), m.By.typ(f), m.valueType(f), flags, elements(list)))
	}
	return out
}

func (m *Map) valueType(f family) string {
	switch {
	case m.ToPorts():
		return KeyDst.typ(f) + " . inet_service"
	case m.ToAddresses():
		return KeyDst.typ(f)
	}
	return "mark"
}

// Lookup does something to a packet with what a map gives for it: dnat, snat,
// meta mark set, ct mark set.
type Lookup struct {
	Do string
	In *Map
}

func (Lookup) item() {}

// The things that can be done with what a map gives.
const (
	MapDNAT     = "dnat"
	MapSNAT     = "snat"
	MapMark     = "meta mark set"
	MapConnMark = "ct mark set"
)

// ends reports whether nothing can stand behind it.
func (l Lookup) ends() bool { return l.Do == MapDNAT || l.Do == MapSNAT }

func (l Lookup) split() bool { return l.In.halves() }

func (l Lookup) serves(f family) bool {
	return slices.ContainsFunc(l.In.Entries, func(e Entry) bool { return in(f, append(e.To, e.Key)...) })
}

func (l Lookup) do(r *Rule, f family) string {
	do := l.Do
	if l.ends() {
		do += " " + f.ip() + " to"
	}
	return fmt.Sprintf("%s %s map @%s", do, l.In.By.selector(f, r.protocol()), l.In.kernelName(f))
}

// Dispatch goes, by the value of a key, to one of several verdicts. Packets
// with another value go on with the next rule.
type Dispatch struct {
	By       Key
	Branches []Branch
}

// Branch is one way of a Dispatch.
type Branch struct {
	Key Value
	To  Verdict
}

func (Dispatch) item() {}

func (Dispatch) ends() bool    { return true }
func (d Dispatch) split() bool { return d.By.IsAddress() }

func (d Dispatch) serves(f family) bool {
	return slices.ContainsFunc(d.Branches, func(b Branch) bool { return in(f, b.Key) })
}

func (d Dispatch) do(r *Rule, f family) string {
	var list []string
	for _, b := range d.Branches {
		if f == anyFamily || in(f, b.Key) {
			list = append(list, b.Key.text+" : "+b.To.String())
		}
	}
	return fmt.Sprintf("%s vmap { %s }", d.By.selector(f, r.protocol()), strings.Join(list, ", "))
}

func (v *validator) lookup(c *Chain, r *Rule, l Lookup, last bool) {
	v.usable(c, r, "map", l.In.Name)
	v.checkKeys(r, fmt.Sprintf("map %q", l.In.Name), l.In.By)
	if l.ends() && !last {
		v.errorf(r.Pos, "rule %q goes on after fw.%s, which ends it: put it last", r.Name, l.Do)
	}
	if l.ends() {
		a := DNAT()
		if l.Do == MapSNAT {
			a = SNAT()
		}
		a.ports = l.In.ToPorts()
		v.action(c, r, a, true)
	}
}

func (v *validator) dispatch(c *Chain, r *Rule, d Dispatch, last bool) {
	v.checkKeys(r, "fw.vmap", d.By)
	if !last {
		v.errorf(r.Pos, "rule %q goes on after fw.vmap: put it last, and what is to become of the other packets into the next rule", r.Name)
	}
	for _, b := range d.Branches {
		v.verdict(c, r, b.To, true)
	}
}

func (v *validator) checkMap(m *Map) {
	v.name(m.Pos, "map", m.Name)
	v.inKernel(m.Pos, "map", m.Name, m.halves())
}
