package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// chainObject is a chain in a policy. Its first call with a table that holds
// only named fields sets its options; every other call appends a rule.
type chainObject struct {
	chain      *ruleset.Chain
	configured bool
	given      map[string]bool // options that the author set
}

func (c *chainObject) String() string { return fmt.Sprintf("chain %q", c.chain.Name) }
func (c *chainObject) usage() string {
	return `call it to append a rule: ` + c.local() + ` { "name", tcp = 80, accept }`
}

// local is what the author most likely calls the chain.
func (c *chainObject) local() string { return strings.ReplaceAll(c.chain.Name, "-", "_") }

// chain is fw.chain.
func (l *loader) newChain(L *lua.LState) int {
	form := `fw.chain "input" { hook = "input" }`
	c := &chainObject{chain: &ruleset.Chain{Name: stringArg(L, 1, form), Pos: l.here()}, given: map[string]bool{}}
	noMore(L, 1, form)
	l.set.Chains = append(l.set.Chains, c.chain)
	L.Push(l.wrap(c))
	return 1
}

func (c *chainObject) call(p *Policy, L *lua.LState) int {
	if p.load == nil {
		L.RaiseError("%s: rules are declared only while the policy is read: a handler cannot append one", c)
	}
	t := p.load.table(L, 2, c.local()+` { "name", … }`)
	noMore(L, 2, c.local()+` { "name", … }`)
	if t.length() > 0 || c.configured || len(c.chain.Rules) > 0 {
		p.load.rule(c.chain, t)
	} else {
		p.load.configure(c, t)
	}
	L.SetTop(1)
	return 1
}

func (l *loader) configure(c *chainObject, t table) {
	c.configured = true
	before := l.count
	set, _ := t.names()
	for _, name := range set {
		c.given[name] = true
	}
	fill(l, c.String(), t, chainOptions(), c)
	if l.count == before {
		l.complete(c)
	}
}

func chainOptions() []option[*chainObject] {
	return []option[*chainObject]{
		{Entry{Name: "hook", Takes: `"prerouting", "input", "forward", "output", "postrouting", "ingress" or "egress"`, Doc: "where the kernel calls the chain; without it, a chain to jump to", Example: `fw.chain "output" { hook = "output" }`},
			func(_ *loader, c *chainObject, v value) (err error) {
				c.chain.Hook, err = oneOf(v, "prerouting", "input", "forward", "output", "postrouting", "ingress", "egress")
				return err
			}},
		{Entry{Name: "type", Takes: `"filter", "nat" or "route"`, Doc: `what the chain does; default "filter"`, Example: `fw.chain "natting" { hook = "postrouting", type = "nat" }`},
			func(_ *loader, c *chainObject, v value) (err error) {
				c.chain.Type, err = oneOf(v, "filter", "nat", "route")
				return err
			}},
		{Entry{Name: "priority", Takes: `a number or nft's words: "filter", "raw - 10"`, Doc: "its place among the chains of its hook; the default is that of its type", Example: `fw.chain "early" { hook = "prerouting", priority = "raw - 10" }`}, setPriority},
		{Entry{Name: "policy", Takes: `"accept" or "drop"`, Doc: `what becomes of a packet at its end; default "accept"`, Example: `fw.chain "forward" { hook = "forward", policy = "drop" }`},
			func(_ *loader, c *chainObject, v value) (err error) {
				c.chain.Policy, err = oneOf(v, "accept", "drop")
				return err
			}},
		{Entry{Name: "device", Takes: "name of an interface", Doc: "the interface of an ingress or egress hook", Example: `fw.chain "nic" { family = "netdev", hook = "ingress", device = "lo" }`},
			func(_ *loader, c *chainObject, v value) (err error) {
				c.chain.Device, err = text(v)
				return err
			}},
		{Entry{Name: "family", Takes: `"inet", "bridge", "arp" or "netdev"`, Doc: `the packets that the chain sees; default "inet": IPv4 and IPv6`, Example: `fw.chain "frames" { family = "bridge", hook = "forward" }`},
			func(_ *loader, c *chainObject, v value) error {
				f, err := oneOf(v, string(ruleset.Inet), string(ruleset.Bridge), string(ruleset.ARP), string(ruleset.Netdev))
				c.chain.Family = ruleset.Family(f)
				return err
			}},
	}
}

func setPriority(_ *loader, c *chainObject, v value) error {
	var s string
	switch v := v.LValue.(type) {
	case lua.LNumber:
		s = v.String()
	case lua.LString:
		s = strings.Join(strings.Fields(string(v)), " ")
	}
	word, offset, _ := strings.Cut(s, " ")
	words := []string{"raw", "mangle", "dstnat", "filter", "security", "srcnat"}
	if number := regexp.MustCompile(`^-?\d{1,9}$`); number.MatchString(s) || slices.Contains(words, word) && regexp.MustCompile(`^$|^[+-] \d{1,9}$`).MatchString(offset) {
		c.chain.Priority = s
		return nil
	}
	return fmt.Errorf("%s is no priority%s: write a number, or one of %s, with an offset if need be: \"raw - 10\"",
		describe(v.LValue), ruleset.Suggest(word, words), strings.Join(words, ", "))
}

// complete checks a chain's options together and fills the defaults in.
func (l *loader) complete(c *chainObject) {
	ch := c.chain
	if !ch.Base() {
		for _, name := range []string{"type", "priority", "policy", "device"} {
			if c.given[name] {
				l.report(ch.Pos, "%s has no hook, so the kernel never calls it by itself and its %s means nothing: add hook = …, or leave %s out", c, name, name)
			}
		}
		return
	}
	if ch.Type == "" {
		ch.Type = "filter"
	}
	if ch.Policy == "" {
		ch.Policy = "accept"
	}
	if ch.Priority == "" {
		ch.Priority = defaultPriority(ch)
	}
	if hooks := chainHooks(ch.Family, ch.Type); len(hooks) == 0 {
		l.report(ch.Pos, "%s: a chain of family %s cannot be of type %s", c, ch.Family, ch.Type)
	} else if !slices.Contains(hooks, ch.Hook) {
		l.report(ch.Pos, "%s: a chain of type %s cannot have the hook %q here: it is one of %s", c, ch.Type, ch.Hook, strings.Join(hooks, ", "))
	}
	edge := ch.Hook == "ingress" || ch.Hook == "egress"
	if edge && ch.Device == "" {
		l.report(ch.Pos, "%s: the hook %s belongs to an interface: add device = \"eth0\"", c, ch.Hook)
	}
	if !edge && ch.Device != "" {
		l.report(ch.Pos, "%s: only the hooks ingress and egress have a device; to look at an interface in a rule, write iif or oif", c)
	}
}

// chainHooks lists the hooks of a type of chain, as the kernel has them
// (net/netfilter/nft_chain_filter.c, nft_chain_nat.c, nft_chain_route.c).
func chainHooks(f ruleset.Family, typ string) []string {
	ip := f == "" || f == ruleset.Inet
	switch {
	case typ == "nat" && ip:
		return []string{"prerouting", "input", "output", "postrouting"}
	case typ == "route" && ip:
		return []string{"output"}
	case typ != "filter":
		return nil
	case f == ruleset.ARP:
		return []string{"input", "output"}
	case f == ruleset.Netdev:
		return []string{"ingress", "egress"}
	case f == ruleset.Bridge:
		return []string{"prerouting", "input", "forward", "output", "postrouting"}
	}
	return []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}
}

// defaultPriority is where nft's manual puts a chain of this type. Its words
// dstnat and srcnat are not known at the hooks input and output.
func defaultPriority(c *ruleset.Chain) string {
	switch {
	case c.Type == "route":
		return "mangle"
	case c.Type != "nat":
		return "filter"
	}
	switch c.Hook {
	case "prerouting":
		return "dstnat"
	case "postrouting":
		return "srcnat"
	case "output":
		return "-100"
	}
	return "100"
}

// oneOf reads one of a few words.
func oneOf(v value, words ...string) (string, error) {
	s, ok := v.LValue.(lua.LString)
	if ok && slices.Contains(words, string(s)) {
		return string(s), nil
	}
	if hint := listHint(string(s), words); hint != "" {
		return "", fmt.Errorf("%s is not possible%s", describe(v.LValue), hint)
	}
	return "", fmt.Errorf("%s is not possible%s: it is one of %s", describe(v.LValue), ruleset.Suggest(string(s), words), strings.Join(words, ", "))
}

// text reads a string that is not empty.
func text(v value) (string, error) {
	s, ok := v.LValue.(lua.LString)
	if !ok || s == "" {
		return "", fmt.Errorf("a text is expected, not %s", describe(v.LValue))
	}
	return string(s), nil
}
