package ruleset

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// rule renders one rule as the kernel rules that it takes: one for each address
// family and alternative, all with its name as their comment.
//
// A rule that must do something to only some of its packets on the way to its
// verdict (log at a rate, trap all but the spared) does so in a chain of its own.
//
// A limit counts what reaches it, so it stands behind the fields and behind the
// nft text that the items begin with, which is taken for conditions as well.
func (w *writer) rule(c *Chain, r *Rule, index int) {
	matches := w.matches(r)
	items, branch := r.divide()
	meters := w.meters(c, r, index, len(matches) > 1)
	verdict := ""
	if len(branch) > 0 {
		verdict = "jump " + w.branch(c, r, branch, index)
	}
	var words []string
	for _, m := range matches {
		conditions, statements, end := w.items(c, r, items, m.family)
		for _, meter := range meters[m.family] {
			words = append(append(append(append(words[:0], m.text), conditions...), meter), statements...)
			w.words(r.Pos, "\t\t", append(words, "counter", end+verdict, "comment", quote(r.Name))...)
		}
	}
}

// items renders a rule's items for the packets of a family: what stands before
// its meters, what stands behind them, and how the rule ends.
func (w *writer) items(c *Chain, r *Rule, items []Item, f family) (conditions, statements []string, end string) {
	for _, i := range items {
		switch i := i.(type) {
		case Verdict:
			end = i.String()
			continue
		case statement:
			if i.ends() {
				end = i.do(r, f)
				continue
			}
		}
		done := w.statement(c, r, i, f)
		_, isText := i.(Text)
		if isText {
			if before, last := divideText(done); last != "" {
				done, end = before, last
			}
		}
		if isText && len(statements) == 0 {
			conditions = append(conditions, done)
		} else {
			statements = append(statements, done)
		}
	}
	return conditions, statements, end
}

// match is what a packet must be like for one kernel rule of a rule.
type match struct {
	family family
	text   string
}

// matches multiplies out the alternatives of all fields, family by family.
func (w *writer) matches(r *Rule) []match {
	var out []match
	for _, f := range r.families() {
		texts := []string{""}
		for _, field := range r.Fields {
			texts = product(texts, field.exprs(f))
		}
		for _, t := range texts {
			if f != anyFamily && !namesHeader(t) {
				t = join([]string{"meta nfproto ipv" + f.digit(), t})
			}
			out = append(out, match{f, t})
		}
	}
	return out
}

// families lists the address families for which the rule needs kernel rules of
// its own, or anyFamily alone where one serves both.
func (r *Rule) families() []family {
	split := false
	for _, f := range r.Fields {
		split = split || f.split()
	}
	v4, v6 := true, true
	for _, i := range r.Items {
		switch i := i.(type) {
		case Text:
			a, b := i.families()
			v4, v6 = v4 && a, v6 && b
		case statement:
			split = split || i.split()
			v4, v6 = v4 && i.serves(ipv4), v6 && i.serves(ipv6)
		}
	}
	if !split {
		return []family{anyFamily}
	}
	var out []family
	if v4 {
		out = append(out, ipv4)
	}
	if v6 {
		out = append(out, ipv6)
	}
	return out
}

// namesHeader reports whether text by itself holds for one family only.
func namesHeader(text string) bool {
	for _, p := range [...]string{"ip ", "ip6 ", "icmp ", "icmpv6 "} {
		if strings.HasPrefix(text, p) || strings.Contains(text, " "+p) {
			return true
		}
	}
	return false
}

// branching reports whether the item does something to only some of the rule's packets.
func branching(i Item) bool {
	switch i := i.(type) {
	case Trap:
		return true
	case Log:
		return i.Stream.Rate != nil
	}
	return false
}

// divide splits the items into those of the rule itself and those that need a
// chain of their own: all from the first one that branches.
func (r *Rule) divide() (own, branch []Item) {
	if n := slices.IndexFunc(r.Items, branching); n >= 0 {
		return r.Items[:n], r.Items[n:]
	}
	return r.Items, nil
}

// branch renders the rule's own chain and returns its name. Text is a condition
// for all that follows it.
func (w *writer) branch(c *Chain, r *Rule, items []Item, index int) string {
	name := derived("rule", c, r, index)
	var conditions []string
	add := func(statements ...string) {
		w.branches.at(r.Pos, "\t\t%s", join(append(append(slices.Clone(conditions), statements...), "comment "+quote(r.Name))))
	}
	w.branches.at(r.Pos, "\tchain %s {", name)
	for _, item := range items {
		switch i := item.(type) {
		case Text:
			conditions = append(conditions, w.resolve(i))
		case Trap:
			log := fmt.Sprintf("log prefix %s group %d snaplen %d", quote(logPrefix(trapStream, c, r)), Group, DefaultSnaplen)
			timeout := "timeout " + milliseconds(i.Timeout) + " }"
			add("ip saddr != @"+TrapSpared+"4 add @"+Trapped+"4 { ip saddr", timeout, log)
			add("ip6 saddr != @"+TrapSpared+"6 add @"+Trapped+"6 { ip6 saddr & "+mask64, timeout, log)
		case Log:
			rate := ""
			if i.Stream.Rate != nil {
				rate = "limit " + i.Stream.Rate.String()
			}
			add(rate, w.statement(c, r, item, anyFamily))
		case Verdict:
			add(i.String())
		case statement:
			for _, f := range [...]family{ipv4, ipv6} {
				if i.serves(f) && (f == ipv4 || i.split()) {
					add(only(i, f), i.do(r, f))
				}
			}
		default:
			add(w.statement(c, r, item, anyFamily))
		}
	}
	if _, ok := items[len(items)-1].(Text); ok {
		add() // the text is no condition but something to do
	}
	w.branches.Line("\t}")
	return name
}

// only narrows a statement of a family to its packets.
func only(s statement, f family) string {
	if !s.split() {
		return ""
	}
	return "meta nfproto ipv" + f.digit()
}

// statement renders an item that is not a verdict, for the packets of a family.
func (w *writer) statement(c *Chain, r *Rule, item Item, f family) string {
	switch i := item.(type) {
	case statement:
		return i.do(r, f)
	case Text:
		return w.resolve(i)
	case Log:
		return i.statement(logPrefix(i.Stream.Name, c, r))
	case Syslog:
		return "log prefix " + quote(i.Prefix)
	}
	return ""
}

// product joins each head with each tail.
func product(heads, tails []string) []string {
	if len(heads) == 1 && heads[0] == "" {
		return tails
	}
	var out []string
	for _, h := range heads {
		for _, t := range tails {
			out = append(out, join([]string{h, t}))
		}
	}
	return out
}

// netmask is the mask of a prefix of so many bits, or nothing for a whole address.
func netmask(f family, bits int) string {
	size := 32
	if f == ipv6 {
		size = 128
	}
	if bits == 0 || bits == size {
		return ""
	}
	return net.IP(net.CIDRMask(bits, size)).String()
}

// derived names an object that a rule needs, outside the author's names: those have no dot.
func derived(kind string, c *Chain, r *Rule, index int) string {
	plain := strings.Map(func(c rune) rune {
		if c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return '_'
	}, r.Name)
	if plain != r.Name {
		plain = fmt.Sprintf("%s.%d", plain, index)
	}
	return kind + "." + c.Name + "." + plain
}

// join puts the non-empty parts together with single spaces.
func join(parts []string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, " ")
}
