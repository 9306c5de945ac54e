package lab

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Result of a Comparison.
const (
	Equal   = "matches"
	Differs = "differs"
	Unknown = "unknown" // only the kernel can tell: a set, a limit, a mask
)

// Comparison is one thing that a rule asks of the packet, and what the packet has there.
type Comparison struct {
	Key    string `json:"key"`    // nft's: "tcp dport"
	Wants  string `json:"rule"`   // "22", "!= { 80, 443 }", "@admins4"
	Has    string `json:"packet"` // "" what it does not have at all
	Result string `json:"result"`
}

// Reasons are why a rule did not match: the first comparison that differs or, where none does for
// certain, those that only the kernel can tell.
func Reasons(all []Comparison) []Comparison {
	if i := slices.IndexFunc(all, func(c Comparison) bool { return c.Result == Differs }); i >= 0 {
		return all[i : i+1]
	}
	return slices.DeleteFunc(slices.Clone(all), func(c Comparison) bool { return c.Result != Unknown })
}

// compare reads what stands in front of a rule's first statement: keys, operators and operands, as nft lists them.
func compare(text string, h *header) []Comparison {
	if !h.known {
		return nil
	}
	var out []Comparison
	words := strings.Fields(text)
	for len(words) > 0 {
		key, rest := leadingKey(words)
		if key == "" || len(rest) == 0 {
			return out
		}
		if len(rest) > 1 && rest[0] == "." { // of a concatenation: only its set can tell
			out = append(out, h.compare(key, "", []string{"."})...)
			words = rest[1:]
			continue
		}
		var operator string
		if operator, rest = leadingOperator(rest); len(rest) == 0 {
			return out
		}
		operand, after := leadingOperand(rest)
		out = append(out, h.compare(key, operator, operand)...)
		words = after
	}
	return out
}

// twoWords are the first words of keys that have two.
var twoWords = []string{"meta", "ct", "ip", "ip6", "tcp", "udp", "udplite", "sctp", "dccp", "th", "icmp", "icmpv6", "ether", "arp", "vlan"}

// leadingKey cuts a key off; "" where something else begins.
func leadingKey(words []string) (key string, rest []string) {
	switch w := words[0]; {
	case w == "iif" || w == "iifname" || w == "oif" || w == "oifname":
		return w, words[1:]
	case slices.Contains(twoWords, w) && len(words) > 2 && words[2] != "set":
		return w + " " + words[1], words[2:]
	}
	return "", words
}

func leadingOperator(words []string) (operator string, rest []string) {
	switch words[0] {
	case "==", "!=", "<", ">", "<=", ">=", "vmap", "&", "|", "^", "and", "or", "xor":
		return words[0], words[1:]
	}
	return "", words
}

// leadingOperand cuts off one value, or those in braces.
func leadingOperand(words []string) (operand, rest []string) {
	if words[0] != "{" {
		n := 1
		for len(words) > n+1 && (words[n] == "/" || words[n] == "==" || words[n] == "!=") { // a mask, and what it is compared with
			n += 2
		}
		return words[:n], words[n:]
	}
	if end := slices.Index(words, "}"); end > 0 {
		return words[:end+1], words[end+1:]
	}
	return words, nil
}

// compare compares one key. A protocol that the key implies, and the packet is not of, comes instead of it.
func (h *header) compare(key, operator string, operand []string) []Comparison {
	if c := h.implied(key); c != nil {
		return []Comparison{*c}
	}
	has, ok := h.value(key)
	c := Comparison{Key: key, Wants: strings.TrimSpace(operator + " " + strings.Join(operand, " ")), Has: has, Result: Unknown}
	if !ok {
		c.Has = "unknown"
		return []Comparison{c}
	}
	if len(operand) == 1 && operand[0] == "." {
		c.Wants = "a set"
		return []Comparison{c}
	}
	found, certain := false, false
	switch operator {
	case "", "==", "!=":
		if found, certain = among(has, operand); operator == "!=" {
			found = !found
		}
		certain = certain && key != "tcp flags" // bits: some of them, or all, as the operand is written
	case "<", ">", "<=", ">=":
		found, certain = ordered(has, operator, operand)
	}
	if certain {
		c.Result = map[bool]string{true: Equal, false: Differs}[found]
	}
	return []Comparison{c}
}

// implied is what a key asks for by its first word, where the packet does not have it.
func (h *header) implied(key string) *Comparison {
	proto, _, _ := strings.Cut(key, " ")
	is := map[bool]string{false: "ipv4", true: "ipv6"}[h.Src.Is6()]
	switch proto {
	case "ip", "ip6":
		if wants := map[string]string{"ip": "ipv4", "ip6": "ipv6"}[proto]; wants != is {
			return &Comparison{Key: "meta nfproto", Wants: wants, Has: is, Result: Differs}
		}
	case "tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmpv6":
		wants := strings.Replace(proto, "icmpv6", "ipv6-icmp", 1)
		if has := l4Name(h.Proto); h.HasProto && wants != has {
			return &Comparison{Key: "meta l4proto", Wants: wants, Has: has, Result: Differs}
		}
	}
	return nil
}

// among tells whether a value is one of those in an operand.
func among(has string, operand []string) (found, certain bool) {
	values := strings.Split(strings.Trim(strings.Join(operand, " "), "{} "), ",")
	certain = true
	for _, v := range values {
		same, ok := equal(has, strings.TrimSpace(v))
		if ok && same {
			return true, true
		}
		certain = certain && ok
	}
	return false, certain
}

// equal tells whether a value is what one of nft's values stands for: a word, a number, an address, a prefix, a range, or an
// interface's name with or without a wildcard.
func equal(has, wants string) (same, certain bool) {
	switch {
	case wants == "" || strings.ContainsAny(wants, "@ /") && !strings.ContainsAny(wants, ".:"):
		return false, false
	case strings.HasPrefix(wants, `"`):
		name := strings.Trim(wants, `"`)
		if prefix, wild := strings.CutSuffix(name, "*"); wild {
			return strings.HasPrefix(has, prefix), true
		}
		return has == name, true
	}
	if address, err := netip.ParseAddr(has); err == nil {
		return holds(wants, address)
	}
	if n, err := strconv.ParseUint(has, 0, 64); err == nil {
		from, to, isRange := strings.Cut(wants, "-")
		if !isRange {
			to = from
		}
		low, err1 := strconv.ParseUint(from, 0, 64)
		high, err2 := strconv.ParseUint(to, 0, 64)
		return low <= n && n <= high, err1 == nil && err2 == nil
	}
	return has == wants, !strings.ContainsAny(wants, "-&|()")
}

// holds tells whether an address is in an address, prefix or range.
func holds(wants string, a netip.Addr) (found, certain bool) {
	if p, err := netip.ParsePrefix(wants); err == nil {
		return p.Contains(a), true
	}
	from, to, isRange := strings.Cut(wants, "-")
	if !isRange {
		to = from
	}
	low, err1 := netip.ParseAddr(from)
	high, err2 := netip.ParseAddr(to)
	return low.Compare(a) <= 0 && a.Compare(high) <= 0, err1 == nil && err2 == nil
}

func ordered(has, operator string, operand []string) (found, certain bool) {
	n, err1 := strconv.ParseUint(has, 0, 64)
	m, err2 := strconv.ParseUint(operand[0], 0, 64)
	if err1 != nil || err2 != nil || len(operand) != 1 {
		return false, false
	}
	switch operator {
	case "<":
		return n < m, true
	case ">":
		return n > m, true
	case "<=":
		return n <= m, true
	}
	return n >= m, true
}
