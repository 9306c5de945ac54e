package ruleset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Options say how a generation is rendered.
type Options struct {
	Generation uint64
	Trial      bool          // with a lease, whose elements are not put in here
	Alive      time.Duration // with a liveness lease of this time, likewise; 0 means without
}

// Render writes the tables of a generation as nft text, one rule a line, without
// what Fills lists. The ruleset must have passed Validate.
func (r *Ruleset) Render(o Options) *Script {
	s, left := &Script{}, r.Fills()
	for _, f := range r.Families() {
		w := writer{Script: s, set: r, family: f, table: Table(o.Generation), options: o, left: left, declared: map[string]bool{}}
		w.render()
	}
	return s
}

// Digest identifies what the ruleset means to the kernel, whatever its number.
func (r *Ruleset) Digest() string { return r.DigestOf(r.Render(Options{})) }

// DigestOf is Digest of a ruleset that Render has written already, with any Options.
func (r *Ruleset) DigestOf(rendered *Script) string {
	h := sha256.New()
	text, from := rendered.String(), 0
	for _, o := range rendered.optional {
		io.WriteString(h, text[from:o.from])
		from = o.to
	}
	io.WriteString(h, text[from:])
	for _, f := range r.Fills() {
		if f.Feed {
			continue
		}
		h.Write([]byte(f.Set))
		f.Addrs.digest(h)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Families lists the families in which the ruleset has a table, inet first: it
// is always there.
func (r *Ruleset) Families() []Family {
	out := []Family{Inet}
	for _, c := range r.Chains {
		if f := c.family(); !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

func (c *Chain) family() Family {
	if c.Family == "" {
		return Inet
	}
	return c.Family
}

// writer renders the table of one family.
type writer struct {
	*Script
	set     *Ruleset
	family  Family
	table   string
	options Options
	left    []Fill // what does not stand in the text

	halves   map[string]bool // the names of sets and maps with a half of each family
	objects  []string        // limits, quotas and sets that rules turned out to need
	declared map[string]bool
	branches Script // chains that rules turned out to need
}

func (w *writer) render() {
	w.halves = w.set.halves()
	var body Script
	out := w.Script
	w.Script = &body
	for _, c := range w.set.Chains {
		if c.family() == w.family {
			w.chain(c)
		}
	}
	w.trap()
	w.Script = out

	w.open()
	for _, s := range w.set.Sets {
		if w.set.declares(w.family, s) {
			w.namedSet(s)
		}
	}
	for _, o := range w.objects {
		w.Line("\t%s", o)
	}
	if w.family == Inet {
		w.named()
	}
	w.Append(&body)
	w.Append(&w.branches)
	w.Line("}")
}

// open begins the table with the sets of its gates.
func (w *writer) open() {
	fmt.Fprintf(&w.text, "table %s ", w.family)
	from := w.text.Len()
	w.Line("%s {", w.table)
	if w.options.Trial {
		w.Line("\tset %s { %s; flags timeout; }", Lease, w.family.gate().setType)
	}
	if alive := w.options.Alive; alive > 0 { // as the set's own timeout, it is known wherever the set is
		w.Line("\tset %s { %s; flags timeout; timeout %s; }", Alive, w.family.gate().setType, milliseconds(alive))
	}
	w.isOptional(from)
}

// named renders what only the inet table has.
func (w *writer) named() {
	for _, o := range w.set.Objects {
		w.at(o.Pos, "\t%s", o.declaration())
	}
	for _, m := range w.set.Maps {
		for _, d := range m.declarations() {
			w.at(m.Pos, "\t%s", d)
		}
	}
	for _, s := range w.set.Tuples {
		for _, d := range s.declarations() {
			w.at(s.Pos, "\t%s", d)
		}
	}
	for _, r := range w.set.Raw {
		r.render(w)
	}
}

// halves are the names of the author's sets and maps that are two in the
// kernel, one for each family.
func (r *Ruleset) halves() map[string]bool {
	out := map[string]bool{}
	for _, s := range r.Sets {
		out[s.Name] = !s.IsPorts()
	}
	for _, m := range r.Maps {
		out[m.Name] = m.halves()
	}
	for _, s := range r.Tuples {
		out[s.Name] = s.halves()
	}
	return out
}

func (w *writer) chain(c *Chain) {
	w.at(c.Pos, "\tchain %s {", c.Name)
	if c.Base() {
		device := ""
		if c.Device != "" {
			device = " device " + quote(c.Device)
		}
		w.at(c.Pos, "\t\ttype %s hook %s%s priority %s; policy %s;", c.Type, c.Hook, device, c.Priority, c.Policy)
		w.gates()
	}
	for i, r := range c.Rules {
		w.rule(c, r, i)
	}
	w.Line("\t}")
}

// gates are the first rules of every base chain.
func (w *writer) gates() {
	from := w.text.Len()
	if w.options.Trial {
		w.Line("\t\t%s", w.family.whileRule(Lease, LeaseComment))
	}
	if w.options.Alive > 0 {
		w.Line("\t\t%s", w.family.whileRule(Alive, AliveComment))
	}
	w.isOptional(from)
}

// trap renders the sets of trapped sources and the chain that drops them.
func (w *writer) trap() {
	if w.family != Inet || !w.set.hasTrap() {
		return
	}
	var protected [2][]string
	for _, p := range w.set.Protected {
		protected[b2i(p.Addr().Is6())] = append(protected[b2i(p.Addr().Is6())], p.String())
	}
	for i, typ := range [...]string{"ipv4_addr", "ipv6_addr"} {
		digit := family(i + 1).digit()
		w.objects = append(w.objects,
			fmt.Sprintf("set %s%s { type %s; size %d; flags dynamic,timeout; }", Trapped, digit, typ, dynamicSize),
			fmt.Sprintf("set %s%s { type %s; flags interval; auto-merge;%s }", TrapSpared, digit, typ, elements(protected[i])))
	}
	w.Line("\tchain %s {", Trapped)
	w.Line("\t\ttype filter hook prerouting priority raw - 5; policy accept;")
	w.gates()
	w.Line("\t\tip saddr @%s4 drop comment %s", Trapped, quote(ownComment+"trapped"))
	w.Line("\t\tip6 saddr & %s @%s6 drop comment %s", mask64, Trapped, quote(ownComment+"trapped"))
	w.Line("\t}")
}

// Trapped names the sets, with a 4 or a 6 behind it, of sources that a trap
// caught (IPv6 by /64), and the chain that drops them. TrapSpared names those
// of addresses that no trap catches.
const (
	Trapped    = "trapped"
	TrapSpared = "spared"
)

// mask64 keeps the network part of an IPv6 address: one customer's worth.
const mask64 = "ffff:ffff:ffff:ffff::"

// dynamicSize bounds a set that packets fill: nft's own default.
const dynamicSize = 65535

func (r *Ruleset) hasTrap() bool {
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			if rule.has(func(i Item) bool { _, ok := i.(Trap); return ok }) {
				return true
			}
		}
	}
	return false
}

func (r *Rule) has(is func(Item) bool) bool { return slices.ContainsFunc(r.Items, is) }

func (w *writer) namedSet(s *Set) {
	if s.IsPorts() {
		w.at(s.Pos, "\tset %s { type inet_service; flags interval;%s }", s.Name, elements(texts(s.Ports)))
		return
	}
	for i, typ := range [...]string{"ipv4_addr", "ipv6_addr"} {
		f := family(i + 1)
		if s.Dynamic {
			w.at(s.Pos, "\tset %s%s { type %s; size %d; flags dynamic,timeout;%s }", s.Name, f.digit(), typ, s.size(), s.timeout())
			continue
		}
		if s.Feed {
			w.at(s.Pos, "\tset %s%s { type %s; flags interval; comment \"%s\"; }", s.Name, f.digit(), typ, FeedComment)
			continue
		}
		addrs := s.Addrs.half(f)
		kind, content := " flags interval;", ""
		n, single := addrs.singles()
		if single {
			kind = ""
		}
		switch left := w.leaves(s.Name + f.digit()); {
		case !left:
			content = elements(rangeTexts(addrs.Ranges()))
		case single:
			kind = fmt.Sprintf(" size %d;", n) // the kernel then makes the whole hash at once
		}
		w.at(s.Pos, "\tset %s%s { type %s;%s%s }", s.Name, f.digit(), typ, kind, content)
	}
}

// leaves reports whether a set's content does not stand in the text.
func (w *writer) leaves(set string) bool {
	return slices.ContainsFunc(w.left, func(f Fill) bool { return f.Family == w.family && f.Set == set })
}

// elements renders a set's content, or nothing: nft has no empty list.
func elements(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return " elements = { " + strings.Join(list, ", ") + " };"
}

func texts(ports []PortRange) []string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = p.String()
	}
	return out
}

// declares reports whether the family's table has the set: the inet table has
// all of them, another one those that its rules name.
func (r *Ruleset) declares(f Family, s *Set) bool {
	if f == Inet {
		return true
	}
	for _, c := range r.Chains {
		if c.family() != f {
			continue
		}
		for _, rule := range c.Rules {
			if rule.mentions(s) {
				return true
			}
		}
	}
	return false
}

func (r *Rule) mentions(s *Set) bool {
	for _, f := range r.Fields {
		switch f := f.(type) {
		case Addr:
			if slices.Contains(f.Sets, s) {
				return true
			}
		case Ports:
			if slices.Contains(f.Sets, s) {
				return true
			}
		}
	}
	return r.has(func(i Item) bool {
		t, ok := i.(Text)
		return ok && slices.Contains(t.references(), s.Name)
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Expiring lists the kernel's names of the inet table's sets of addresses that packets fill for a time.
func (r *Ruleset) Expiring() []string {
	var out []string
	for _, s := range r.Sets {
		if s.Dynamic {
			out = append(out, s.Name+ipv4.digit(), s.Name+ipv6.digit())
		}
	}
	if r.hasTrap() {
		out = append(out, Trapped+ipv4.digit(), Trapped+ipv6.digit())
	}
	return out
}
