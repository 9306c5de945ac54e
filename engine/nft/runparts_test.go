package nft_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"moonlatch/engine/nft"
)

// manyRules is a table with two chains of rules, each on a line of its own, of which one may be wrong.
func manyRules(n int, wrong string) string {
	var b strings.Builder
	b.WriteString("table inet t {\n\tset s { type ipv4_addr; elements = { 192.0.2.1 }; }\n")
	for _, chain := range []string{"one", "two"} {
		fmt.Fprintf(&b, "\tchain %s {\n", chain)
		if chain == "one" {
			b.WriteString("\t\ttype filter hook input priority filter; policy accept;\n\t\tjump two\n")
		}
		for i := range n {
			fmt.Fprintf(&b, "\t\tip saddr @s tcp dport { %d, %d } counter accept comment \"%s %d\"\n", i+1, i+2, chain, i)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\ntable inet u { chain c { counter; }; }\n")
	return strings.Replace(b.String(), `accept comment "one 999"`, wrong, 1)
}

// TestRunInParts loads more rules than the kernel takes at once in a user namespace: all of them, in their order. A mistake is shown at its line.
func TestRunInParts(t *testing.T) {
	c := open(t, "table inet t { }")
	text := manyRules(1000, `accept comment "one 999"`)
	if err := c.Run(t.Context(), []byte(text)); err == nil {
		must(t, c.Run(t.Context(), []byte("flush ruleset"))) // the machine's root may do so
	} else if !errors.Is(err, nft.ErrTooBig) {
		t.Fatal(err)
	}
	must(t, c.RunInParts(t.Context(), []byte(text)))
	rules, err := c.Rules(table)
	must(t, err)
	if len(rules) != 2001 {
		t.Fatalf("%d rules, want 2001", len(rules))
	}
	next := map[string]int{}
	for _, r := range rules {
		if r.Comment == "" {
			continue
		}
		if want := fmt.Sprintf("%s %d", r.Chain, next[r.Chain]); r.Comment != want {
			t.Fatalf("rule %q, want %q", r.Comment, want)
		}
		next[r.Chain]++
	}
	if n := strings.Count(command(t, "", "list", "table", "inet", "u"), "counter"); n != 1 {
		t.Errorf("a table on one line is loaded %d times", n)
	}
	must(t, c.Run(t.Context(), []byte("flush ruleset")))
	var se *nft.ScriptError
	if err := c.RunInParts(t.Context(), []byte(manyRules(1000, "masquerade"))); !errors.As(err, &se) || se.Lines[0].Line != 5+1000 {
		t.Errorf("a mistake: %v", err)
	}
}

// TestRunInPartsLeavesWhatItDoesNotKnow: a rule over two lines is not torn apart.
func TestRunInPartsLeavesWhatItDoesNotKnow(t *testing.T) {
	c := open(t, "table inet t { }")
	text := strings.Replace(manyRules(1000, `accept comment "one 999"`), "{ 1, 2 }", "{ 1,\n 2 }", 1)
	if err := c.RunInParts(t.Context(), []byte(text)); err != nil && !errors.Is(err, nft.ErrTooBig) {
		t.Error(err)
	}
}
