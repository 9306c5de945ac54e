package ruleset

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths that the kernel bounds, in bytes.
const (
	maxComment = 128 - 1 // nft's NFTNL_UDATA_COMMENT_MAXLEN, less its terminating 0
	maxPrefix  = 128 - 1 // NF_LOG_PREFIXLEN of linux/netfilter/nf_log.h, likewise
	maxName    = 64      // keeps derived names well below NFT_NAME_MAXLEN (256)
	maxDevice  = 16 - 1  // IFNAMSIZ of linux/if.h, less its terminating 0
)

// Validate checks what nft would not find, or would not say clearly. It returns
// every mistake, each an *Error, joined in the order of the policy.
func (r *Ruleset) Validate() error {
	v := validator{set: r, names: map[string]Pos{}}
	for _, s := range r.Sets {
		v.checkSet(s)
	}
	v.declarations()
	for _, s := range r.Streams {
		v.name(s.Pos, "stream", s.Name)
	}
	for _, c := range r.Chains {
		v.chain(c)
	}
	slices.SortStableFunc(v.errs, func(a, b *Error) int { return cmp.Compare(a.Pos.Line, b.Pos.Line) })
	errs := make([]error, len(v.errs))
	for i, e := range v.errs {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// declarations checks what only the inet table has.
func (v *validator) declarations() {
	for _, m := range v.set.Maps {
		v.checkMap(m)
	}
	for _, s := range v.set.Tuples {
		v.checkTuples(s)
	}
	for _, o := range v.set.Objects {
		v.checkObject(o)
	}
	for _, r := range v.set.Raw {
		v.raw(r)
	}
}

// inKernel checks what the kernel will call a set or map, against nft's own
// words and against the other declarations.
func (v *validator) inKernel(pos Pos, kind, name string, halves bool) {
	for _, n := range kernelNames(name, halves) {
		v.kernelName(pos, kind, name, n)
		if first, ok := v.names["kernel "+n]; ok {
			v.errorf(pos, "%s name %q: the kernel would call it %q, as it calls what is declared at %s: choose another", kind, name, n, first)
			return
		}
		v.names["kernel "+n] = pos
	}
}

type validator struct {
	set   *Ruleset
	names map[string]Pos // "kind name" → where it was declared
	errs  []*Error
}

func (v *validator) errorf(pos Pos, format string, args ...any) {
	v.errs = append(v.errs, Errorf(pos, format, args...))
}

// name checks a name of the author's and that it is the only one of its kind.
func (v *validator) name(pos Pos, kind, name string) {
	if reason := BadName(name); reason != "" {
		v.errorf(pos, "%s name %q %s", kind, name, reason)
		return
	}
	key := kind + " " + name
	if first, ok := v.names[key]; ok {
		v.errorf(pos, "%s %q is declared twice, first at %s", kind, name, first)
		return
	}
	v.names[key] = pos
}

// kernelName checks a name that nft reads in its own language.
func (v *validator) kernelName(pos Pos, kind, name, inKernel string) {
	if keyword(inKernel) {
		v.errorf(pos, "%s name %q: %q is a word of nft's language, and nft takes it for nothing else: choose another", kind, name, inKernel)
	}
}

// BadName says what keeps a name from naming a chain, a set or a stream, or "".
func BadName(name string) string {
	if name == "" {
		return "is empty"
	}
	if len(name) > maxName {
		return fmt.Sprintf("is longer than %d bytes", maxName)
	}
	for i, c := range name {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return "must start with a letter and hold only letters, digits, _ and -"
		}
	}
	if slices.Contains([]string{Lease, Yield, Alive, Trapped, TrapSpared}, name) {
		return "is used by Moonlatch itself"
	}
	return ""
}

func (v *validator) checkSet(s *Set) {
	v.name(s.Pos, "set", s.Name)
	if s.IsPorts() {
		v.kernelName(s.Pos, "set", s.Name, s.Name)
	} else {
		v.kernelName(s.Pos, "set", s.Name, s.Name+ipv4.digit())
		v.kernelName(s.Pos, "set", s.Name, s.Name+ipv6.digit())
	}
	for _, n := range kernelNames(s.Name, !s.IsPorts()) {
		v.names["kernel "+n] = s.Pos
	}
	// The kernel's names of an address set must not be another set's own name.
	for _, o := range v.set.Sets {
		if !s.IsPorts() && (o.Name == s.Name+"4" || o.Name == s.Name+"6") {
			v.errorf(o.Pos, "set name %q is what the kernel calls a half of the set %q: choose another", o.Name, s.Name)
		}
	}
}

func (v *validator) chain(c *Chain) {
	v.name(c.Pos, "chain", c.Name)
	v.kernelName(c.Pos, "chain", c.Name, c.Name)
	if len(c.Device) > maxDevice {
		v.errorf(c.Pos, "device %q of chain %q is longer than %d bytes", c.Device, c.Name, maxDevice)
	}
	seen := map[string]Pos{}
	for _, r := range c.Rules {
		if first, ok := seen[r.Name]; ok {
			v.errorf(r.Pos, "rule %q stands twice in chain %q, first at %s: a rule's name is its identity in metrics and counters", r.Name, c.Name, first)
		}
		seen[r.Name] = r.Pos
		v.rule(c, r)
	}
}

func (v *validator) rule(c *Chain, r *Rule) {
	if reason := badRuleName(r.Name); reason != "" {
		v.errorf(r.Pos, "rule name %q %s", r.Name, reason)
		return
	}
	v.fields(c, r)
	for i, item := range r.Items {
		switch it := item.(type) {
		case Verdict:
			v.verdict(c, r, it, i == len(r.Items)-1)
		case Log:
			v.prefix(r, logPrefix(it.Stream.Name, c, r))
		case Trap:
			v.prefix(r, logPrefix(trapStream, c, r))
			if c.family() != Inet {
				v.errorf(r.Pos, "rule %q: a trap works in inet chains only, and %q is a %s chain", r.Name, c.Name, c.family())
			}
		case Syslog:
			v.prefix(r, it.Prefix)
		case Action:
			v.action(c, r, it, i == len(r.Items)-1)
		case Lookup:
			v.lookup(c, r, it, i == len(r.Items)-1)
		case Dispatch:
			v.dispatch(c, r, it, i == len(r.Items)-1)
		case Use:
			v.usable(c, r, it.Object.Kind, it.Object.Name)
		case Add:
			v.usable(c, r, "set", it.Set.Name)
		case Text:
			v.text(r, it, i == len(r.Items)-1)
		}
	}
	w := writer{set: v.set, family: c.family()}
	if len(w.matches(r)) == 0 {
		v.errorf(r.Pos, "rule %q can never match: its fields ask for IPv4 and IPv6 at once", r.Name)
	}
}

func badRuleName(name string) string {
	if name == "" {
		return "is empty"
	}
	if len(name) > maxName {
		return fmt.Sprintf("is longer than %d bytes", maxName)
	}
	if strings.HasPrefix(name, ownComment) {
		return fmt.Sprintf("begins with %q, as the comments of Moonlatch's own rules do", ownComment)
	}
	if !utf8.ValidString(name) {
		return "is not UTF-8"
	}
	for _, c := range name {
		if c == '"' || c == '\\' || !unicode.IsPrint(c) {
			return fmt.Sprintf("holds %q, which a kernel comment cannot", c)
		}
	}
	return ""
}

func (v *validator) fields(c *Chain, r *Rule) {
	proto := ""
	for _, f := range r.Fields {
		switch f := f.(type) {
		case Ports:
			if proto != "" && proto != f.Proto {
				v.errorf(r.Pos, "rule %q asks for %s and %s at once, and no packet is both: write two rules", r.Name, proto, f.Proto)
			}
			proto = f.Proto
		case Tuple:
			v.usable(c, r, "set", f.Set.Name)
			v.checkKeys(r, fmt.Sprintf("set %q", f.Set.Name), f.Set.Of...)
		case Budget:
			v.usable(c, r, "quota", f.Quota.Name)
		case Interface:
			for _, n := range f.Names {
				if n == "" || len(n) > maxDevice || strings.ContainsAny(n, "\"/\\ \t\n") {
					v.errorf(r.Pos, "rule %q: %q is no interface name: 1 to %d bytes without blanks, quotes or slashes", r.Name, n, maxDevice)
				}
			}
		}
	}
}

func (v *validator) verdict(c *Chain, r *Rule, it Verdict, last bool) {
	if !last {
		v.errorf(r.Pos, "rule %q goes on after its verdict %q: nothing behind a verdict is ever reached, so put it last", r.Name, it)
	}
	_, branch := r.divide()
	if it.Kind == "return" && len(branch) > 0 {
		v.errorf(r.Pos, "rule %q: return cannot stand beside a trap or a stream with a rate: put it into a rule of its own", r.Name)
	}
	switch {
	case it.To == nil:
	case it.To.Base():
		v.errorf(r.Pos, "rule %q: %s to chain %q is not possible, because that chain has a hook: the kernel calls it", r.Name, it.Kind, it.To.Name)
	case it.To.family() != c.family():
		v.errorf(r.Pos, "rule %q: %s to chain %q is not possible from a %s chain: that one is in family %s", r.Name, it.Kind, it.To.Name, c.family(), it.To.family())
	}
}

func (v *validator) action(c *Chain, r *Rule, a Action, last bool) {
	if a.last && !last {
		v.errorf(r.Pos, "rule %q goes on after %s, which ends it: put it last", r.Name, a.Name)
	}
	if c.Base() && a.nat != "" && (c.Type != "nat" || !slices.Contains(strings.Fields(a.nat), c.Hook)) {
		v.errorf(r.Pos, "rule %q: %s works only in a chain of type \"nat\" with hook %s, and chain %q is of type %q with hook %q",
			r.Name, a.Name, strings.ReplaceAll(a.nat, " ", " or "), c.Name, c.Type, c.Hook)
	}
	if a.ports && !r.hasPorts() {
		v.errorf(r.Pos, "rule %q: %s with a port needs a protocol that has ports: add tcp = true or udp = true, or the ports themselves", r.Name, a.Name)
	}
}

// hasPorts reports whether only packets with ports can match, as far as is
// known: nft text may say so too.
func (r *Rule) hasPorts() bool {
	for _, f := range r.Fields {
		switch f := f.(type) {
		case Ports:
			return true
		case Protocols:
			return !f.Not
		}
	}
	return r.has(func(i Item) bool { _, ok := i.(Text); return ok })
}

func (v *validator) prefix(r *Rule, prefix string) {
	if len(prefix) > maxPrefix {
		v.errorf(r.Pos, "rule %q: the log prefix %q would be %d bytes long, and the kernel takes %d: shorten the names of stream, chain or rule", r.Name, prefix, len(prefix), maxPrefix)
	}
	if strings.ContainsAny(prefix, "\"\\\n") {
		v.errorf(r.Pos, "rule %q: the log prefix %q holds a quote, a backslash or a line break", r.Name, prefix)
	}
}

func (v *validator) text(r *Rule, t Text, last bool) {
	if strings.ContainsAny(string(t), "\n\r;#") || !paired(string(t)) {
		v.errorf(r.Pos, "rule %q: nft text %q must be one statement on one line: no line break, semicolon or comment, and braces and quotes in pairs", r.Name, string(t))
		return
	}
	if _, end := divideText(string(t)); end != "" && !last {
		v.errorf(r.Pos, "rule %q goes on after its verdict %q: nothing behind a verdict is ever reached, so put it last", r.Name, end)
	}
	known := slices.Sorted(maps.Keys(v.set.halves()))
	for _, r := range v.set.Raw {
		known = append(known, words(r.Text)...) // it may be declared there
	}
	for _, name := range t.references() {
		if !slices.Contains(known, name) {
			v.errorf(r.Pos, "rule %q: unknown set %q%s", r.Name, "@"+name, Suggest(name, known))
		}
	}
}

// paired reports whether every brace and quote of nft text has its partner.
func paired(text string) bool {
	depth := 0
	for _, w := range words(text) {
		switch {
		case w == "{":
			depth++
		case w == "}":
			depth--
		case w[0] == '"' && (len(w) == 1 || w[len(w)-1] != '"'):
			return false
		}
		if depth < 0 {
			return false
		}
	}
	return depth == 0
}
