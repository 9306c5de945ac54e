package policy

import (
	"errors"
	"fmt"
	"slices"

	"moonlatch/engine/ruleset"
)

// keyOption is what makes a set one of several parts at once.
func keyOption() option[*setContent] {
	return option[*setContent]{Entry{Name: "of", Takes: "list of src, dst, sport, dport, iif, oif, mark, proto, mac", Doc: "what each item of the set holds, side by side; a rule asks for it with the field set", Example: `fw.set "pairs" { of = { "src", "dport" }, { "192.0.2.1", 22 }, { "192.0.2.0/24", "6000-6100" } }`},
		func(_ *loader, c *setContent, v value) error {
			err := each(v, func(v value) error {
				k, err := readKey(v)
				if err == nil && slices.Contains(c.of, k) {
					err = fmt.Errorf("%s stands twice", k)
				}
				c.of = append(c.of, k)
				return err
			})
			if err == nil && len(c.of) < 2 {
				err = errors.New("two parts or more are expected; a set of addresses or ports needs no of")
			}
			return err
		}}
}

// fillTuples reads the items of a set of several parts.
func (l *loader) fillTuples(s *setObject, t table, c setContent) error {
	s.tuples = &ruleset.TupleSet{Name: s.set.Name, Of: c.of, Pos: s.set.Pos}
	l.set.Sets = slices.DeleteFunc(l.set.Sets, func(o *ruleset.Set) bool { return o == s.set })
	l.set.Tuples = append(l.set.Tuples, s.tuples)
	if c.file != "" {
		return errors.New("a set of several parts cannot come from a file")
	}
	var errs []error
	for i := 1; i <= t.length(); i++ {
		item := t.item(i)
		tuple, err := readTuple(item, c.of)
		errs = append(errs, item.place(err))
		s.tuples.Tuples = append(s.tuples.Tuples, tuple)
	}
	return errors.Join(errs...)
}

func readTuple(v value, of []ruleset.Key) ([]ruleset.Value, error) {
	t, ok := asTable(v)
	if !ok || t.length() != len(of) {
		return nil, fmt.Errorf("a list of %d values is expected: %s", len(of), parts(of))
	}
	var out []ruleset.Value
	for i, k := range of {
		part, err := keyValue(k, t.item(i+1).LValue)
		if err != nil {
			return nil, err
		}
		out = append(out, part)
	}
	if ruleset.Mixed(out) {
		return nil, errors.New("it mixes the address families")
	}
	return out, nil
}

func parts(of []ruleset.Key) string {
	out := ""
	for _, k := range of {
		if out != "" {
			out += ", "
		}
		out += string(k)
	}
	return "{ " + out + " }"
}

// readTupleSet reads the field set.
func readTupleSet(r *ruleReader, v value, not bool) (ruleset.Field, error) {
	s, ok := unwrap[*setObject](v.LValue)
	if !ok {
		return nil, fmt.Errorf("a set of several parts is expected, fw.set \"pairs\" { of = { \"src\", \"dport\" }, … }, not %s", describe(v.LValue))
	}
	s.used = true
	if s.tuples == nil {
		return nil, s.holds("items of several parts")
	}
	return ruleset.Tuple{Set: s.tuples, Not: not, Proto: r.protocol()}, nil
}

// protocol is the protocol whose ports a set or map looks at: that of the
// fields read so far.
func (r *ruleReader) protocol() string {
	for _, f := range r.fields {
		switch f := f.(type) {
		case ruleset.Ports:
			return f.Proto
		case ruleset.Protocols:
			return "th"
		}
	}
	return ""
}
