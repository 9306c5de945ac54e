package ruleset

import "strings"

// Tables is what Render wrote of a generation on trial, as it is stored: other forms
// of the same generation differ from it only by the gate in the lease's place.
type Tables string

// Families lists the families of the tables.
func (t Tables) Families() []Family {
	var out []Family
	for line := range strings.Lines(string(t)) {
		if f := strings.Fields(line); len(f) == 4 && f[0] == "table" && !strings.HasPrefix(line, "\t") {
			out = append(out, Family(f[1]))
		}
	}
	return out
}

// WithoutLease is the generation once it is confirmed.
func (t Tables) WithoutLease() Tables {
	return t.swap(func(string) string { return "" }, func(string) string { return "" })
}

// WithYield is the generation while it stands aside, with an empty yield.
func (t Tables) WithYield() Tables {
	return t.swap(
		func(set string) string { return strings.Replace(set, leaseSet, yieldSet, 1) },
		func(rule string) string { return strings.Replace(rule, leaseEnd, yieldEnd, 1) })
}

// How the lines of the gates begin and end. No line of an author's is like them: the
// names of sets are taken, and so is the comment.
const (
	leaseSet = "\tset " + Lease + " {"
	yieldSet = "\tset " + Yield + " {"
	leaseEnd = " != @" + Lease + " accept comment " + `"` + LeaseComment + `"`
	yieldEnd = " @" + Yield + " accept comment " + `"` + YieldComment + `"`
)

// swap replaces the lines of the lease's sets and rules.
func (t Tables) swap(set, rule func(string) string) Tables {
	var b strings.Builder
	for line := range strings.Lines(string(t)) {
		switch text := strings.TrimSuffix(line, "\n"); {
		case strings.HasPrefix(text, leaseSet):
			line = set(line)
		case strings.HasSuffix(text, leaseEnd):
			line = rule(line)
		}
		b.WriteString(line)
	}
	return Tables(b.String())
}
