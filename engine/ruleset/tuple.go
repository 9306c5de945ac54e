package ruleset

import (
	"fmt"
	"slices"
	"strings"
)

// TupleSet is a set of several parts at once, such as addresses with ports. In
// the kernel, one that has addresses is two sets, named with a 4 and a 6 behind
// the author's name.
type TupleSet struct {
	Name   string
	Of     []Key
	Tuples [][]Value // each as long as Of
	Pos    Pos
}

func (s *TupleSet) halves() bool { return slices.ContainsFunc(s.Of, Key.IsAddress) }

func (s *TupleSet) kernelName(f family) string {
	if s.halves() {
		return s.Name + f.digit()
	}
	return s.Name
}

func (s *TupleSet) declarations() []string {
	families := []family{anyFamily}
	if s.halves() {
		families = []family{ipv4, ipv6}
	}
	var out []string
	for _, f := range families {
		var list []string
		flags := ""
		for _, t := range s.Tuples {
			if f == anyFamily || in(f, t...) {
				list = append(list, concat(t))
			}
			if intervals(t) {
				flags = " flags interval;" // in both halves, so that they are of one kind
			}
		}
		types := make([]string, len(s.Of))
		for i, k := range s.Of {
			types[i] = k.typ(f)
		}
		out = append(out, fmt.Sprintf("set %s { type %s;%s%s }", s.kernelName(f), strings.Join(types, " . "), flags, elements(list)))
	}
	return out
}

// Tuple matches packets that a set of several parts holds.
type Tuple struct {
	Set   *TupleSet
	Not   bool
	Proto string // whose ports are meant, where there are ports
}

func (t Tuple) split() bool { return t.Set.halves() }

func (t Tuple) exprs(f family) []string {
	parts := make([]string, len(t.Set.Of))
	for i, k := range t.Set.Of {
		parts[i] = k.selector(f, t.Proto)
	}
	return []string{strings.Join(parts, " . ") + " " + compare(t.Not, "@"+t.Set.kernelName(f))}
}

func (v *validator) checkTuples(s *TupleSet) {
	v.name(s.Pos, "set", s.Name)
	v.inKernel(s.Pos, "set", s.Name, s.halves())
}
