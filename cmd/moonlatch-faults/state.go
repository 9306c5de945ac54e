package main

import "strings"

// state is what the client's packets say is in force. A policy of variant v lets
// in one port, its own; so which ports answer tells which ruleset judged a packet.
type state uint8

const (
	open     state = iota // every port answers: nothing filters
	variant1              // only the first variant's port answers
	variant2
	variant3
	closed // no port answers
	mixed  // some other selection answers: more than one ruleset, or part of one
)

// variants is how many policies differ by the port that they let in.
const variants = 3

// ports is how many ports each burst of probes tries: one for each variant, and
// one that no policy lets in.
const ports = variants + 1

func (s state) String() string {
	return [...]string{"open", "policy 1", "policy 2", "policy 3", "closed", "a mixture"}[s]
}

// stateOf reads the ports that answered: bit n is variant n+1's port, the last one nobody's.
//
// Nobody's port answers only where nothing filters, be it for one packet.
func stateOf(answered uint8) state {
	switch {
	case answered&(1<<variants) != 0:
		return open
	case answered == 0:
		return closed
	}
	for v := range variants {
		if answered == 1<<v {
			return variant1 + state(v)
		}
	}
	return mixed
}

// states is a set of them.
type states uint8

const anything states = 1<<(mixed+1) - 1

func set(all ...state) states {
	var out states
	for _, s := range all {
		out |= 1 << s
	}
	return out
}

func (ss states) has(s state) bool { return ss&(1<<s) != 0 }

func (ss states) String() string {
	var names []string
	for s := open; s <= mixed; s++ {
		if ss.has(s) {
			names = append(names, s.String())
		}
	}
	return strings.Join(names, " or ")
}
