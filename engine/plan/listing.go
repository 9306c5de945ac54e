// Package plan compares two rulesets: what an apply would change. It reads the
// text that a generation is stored and loaded as, so that what is compared is
// what the kernel was given.
package plan

import (
	"fmt"
	"regexp"
	"strings"

	"moonlatch/engine/ruleset"
)

// Listing is a ruleset in parts that can be compared. Parts keep their order.
type Listing struct {
	blocks []*block
	byName map[string]*block
}

// block is a chain, a set, or another named thing of one table.
type block struct {
	kind, name string // "chain", "input"; in other families than inet "bridge chain"
	head       string // what is said of it as a whole: hook, type, flags
	rules      []rule // of a chain
	names      map[string]bool
	elements   map[string]bool
	place      ruleset.Pos
}

func newBlock(kind, name string, pos ruleset.Pos) *block {
	return &block{kind: kind, name: name, names: map[string]bool{}, elements: map[string]bool{}, place: pos}
}

func (b *block) key() string { return b.kind + " " + b.name }

func (b *block) isChain() bool { return strings.HasSuffix(b.kind, "chain") }

// rule is one rule of the policy: the kernel's rules that have its name.
type rule struct {
	name  string
	lines []string
	place ruleset.Pos
}

// Render lists a policy's ruleset, which knows its places in the policy.
func Render(r *ruleset.Ruleset) *Listing {
	script := r.Render(ruleset.Options{})
	return parse(script.String(), r.Fills(), script.Pos)
}

// Parse lists a generation as it is stored.
func Parse(text string, fills []ruleset.Fill) *Listing {
	return parse(text, fills, func(int) (ruleset.Pos, bool) { return ruleset.Pos{}, false })
}

// reader goes through nft text as Moonlatch writes it: tables, in them blocks,
// in those one statement a line.
type reader struct {
	*Listing
	family   string
	block    *block
	elements bool // the line goes on with the block's elements
}

func parse(text string, fills []ruleset.Fill, place func(line int) (ruleset.Pos, bool)) *Listing {
	r := reader{Listing: &Listing{byName: map[string]*block{}}}
	n := 0
	for line := range strings.Lines(text) {
		n++
		pos, _ := place(n)
		r.line(strings.TrimSpace(line), pos)
	}
	for _, f := range fills {
		r.family = string(f.Family)
		b := r.open("set", f.Set, ruleset.Pos{})
		for p := range f.Addrs.Prefixes() {
			if p.IsSingleIP() {
				b.elements[p.Addr().String()] = true
			} else {
				b.elements[p.String()] = true
			}
		}
	}
	return r.Listing
}

func (r *reader) line(line string, pos ruleset.Pos) {
	words := strings.Fields(line)
	switch {
	case len(words) == 0:
	case r.family == "" && words[0] == "table" && len(words) > 1:
		r.family = words[1]
	case line == "}" && r.block == nil:
		r.family = ""
	case line == "}":
		r.block, r.elements = nil, false
	case r.block != nil && !r.block.isChain():
		r.content(line)
	case r.block != nil:
		r.statement(line, pos)
	default:
		r.declaration(line, pos)
	}
}

// declaration begins a block, or is one by itself: "set x { … }".
func (r *reader) declaration(line string, pos ruleset.Pos) {
	head, body, _ := strings.Cut(line, "{")
	words := strings.Fields(head)
	if len(words) < 2 {
		return
	}
	last := len(words) - 1
	kind, name := strings.Join(words[:last], " "), stable(words[last])
	body, whole := strings.CutSuffix(strings.TrimSpace(body), "}")
	if kind != "chain" && derived.MatchString(words[last]) || kind == "set" && (name == ruleset.Lease || name == ruleset.Yield || name == ruleset.Alive) {
		if !whole {
			r.block = newBlock(kind, name, pos) // in no listing
		}
		return // the rules that need it tell enough
	}
	r.block = r.open(kind, name, pos)
	r.block.head = "" // a listing in parts says it twice
	if whole {
		r.content(body)
		r.block, r.elements = nil, false
	}
}

// content reads a line of a block that is no chain, or the whole of it.
func (r *reader) content(line string) {
	before, elements, found := strings.Cut(line, "elements = {")
	if r.elements {
		before, elements = "", line
	}
	if before = strings.TrimSpace(before); before != "" {
		r.block.head = strings.TrimSpace(r.block.head + " " + before)
	}
	if !found && !r.elements {
		return
	}
	elements, _, last := strings.Cut(elements, "}")
	for e := range strings.SplitSeq(elements, ",") {
		if e = strings.TrimSpace(e); e != "" {
			r.block.elements[e] = true
		}
	}
	r.elements = !last
}

func (r *reader) open(kind, name string, pos ruleset.Pos) *block {
	if r.family != string(ruleset.Inet) {
		kind = r.family + " " + kind
	}
	b := newBlock(kind, name, pos)
	if known := r.byName[b.key()]; known != nil {
		return known
	}
	r.byName[b.key()] = b
	r.blocks = append(r.blocks, b)
	return b
}

// comment is how a rule of the policy's ends; the comments of the gates are not
// the policy's.
var comment = regexp.MustCompile(` ?comment "([^"]*)"$`)

func (r *reader) statement(line string, pos ruleset.Pos) {
	b := r.block
	if strings.HasPrefix(line, "type ") {
		b.head = line
		return
	}
	name := line
	if m := comment.FindStringSubmatch(line); m != nil {
		name, line = m[1], strings.TrimSuffix(line, m[0])
	}
	if name == ruleset.LeaseComment || name == ruleset.AliveComment || name == ruleset.YieldComment {
		return
	}
	line = stable(line)
	if n := len(b.rules); n > 0 && b.rules[n-1].name == name {
		b.rules[n-1].lines = append(b.rules[n-1].lines, line)
		return
	}
	for b.names[name] {
		name += "'" // nft text of fw.nft may say the same twice
	}
	b.names[name] = true
	b.rules = append(b.rules, rule{name, []string{line}, pos})
}

// derived are the names that Moonlatch gives what a rule needs. They may end in
// the rule's index, which changes when a rule is put in front.
var derived = regexp.MustCompile(`\b((?:limit|connlimit|quota|rule)\.[\w-]+\.[\w-]+)((?:\.\d+)+)`)

// stable drops the indexes of derived names, but for the last number of a set
// per source, which tells its address family.
func stable(text string) string {
	return derived.ReplaceAllStringFunc(text, func(name string) string {
		m := derived.FindStringSubmatch(name)
		if numbers := strings.Split(m[2], "."); len(numbers) > 2 && (strings.HasSuffix(name, ".4") || strings.HasSuffix(name, ".6")) {
			return fmt.Sprintf("%s.%s", m[1], numbers[len(numbers)-1])
		}
		return m[1]
	})
}

// Rule is one rule of a listing.
type Rule struct {
	Family string
	Chain  string
	Head   string // of the chain: its hook and its policy
	Name   string
	Lines  []string
}

// Rules lists the rules, in order.
func (l *Listing) Rules() []Rule {
	var out []Rule
	for _, b := range l.blocks {
		family, found := strings.CutSuffix(b.kind, " chain")
		if !found {
			family = string(ruleset.Inet)
		}
		for _, r := range b.rules {
			out = append(out, Rule{family, b.name, b.head, r.name, r.lines})
		}
	}
	return out
}
