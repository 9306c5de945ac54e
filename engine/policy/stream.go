package policy

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// streamObject is a stream in a policy: of use by itself, and configured by a
// call with a table.
type streamObject struct {
	stream     *ruleset.Stream
	configured bool
}

func (s *streamObject) String() string     { return fmt.Sprintf("stream %q", s.stream.Name) }
func (s *streamObject) item() ruleset.Item { return ruleset.Log{Stream: s.stream} }
func (s *streamObject) usage() string {
	return `put it among a rule's items, and give it to fw.on or fw.detect`
}

// newStream is fw.stream.
func (l *loader) newStream(L *lua.LState) int {
	form := `fw.stream "name"`
	s := &streamObject{stream: &ruleset.Stream{Name: stringArg(L, 1, form), Pos: l.here()}}
	noMore(L, 1, form)
	l.set.Streams = append(l.set.Streams, s.stream)
	L.Push(l.wrap(s))
	return 1
}

func (s *streamObject) call(p *Policy, L *lua.LState) int {
	l := p.load
	switch {
	case l == nil:
		L.RaiseError("%s is configured while the policy is read: a handler cannot change it", s)
	case s.configured:
		L.RaiseError("%s is configured already", s)
	}
	t := l.table(L, 2, fmt.Sprintf("fw.stream %q { rate = \"5000/s\" }", s.stream.Name))
	s.configured = true
	l.noItems(s.String(), t)
	fill(l, s.String(), t, streamOptions(), s.stream)
	L.SetTop(1)
	return 1
}

func streamOptions() []option[*ruleset.Stream] {
	return []option[*ruleset.Stream]{
		{Entry{Name: "snaplen", Takes: "number of bytes", Doc: "how much of each packet is copied, at most 1024; default 128", Example: `fw.stream "web" { snaplen = 512 }`},
			func(_ *loader, s *ruleset.Stream, v value) (err error) {
				s.Snaplen, err = whole(v, 1, ruleset.MaxSnaplen)
				return err
			}},
		{Entry{Name: "rate", Takes: `"5000/s", "5000/s burst 100"`, Doc: "how many events are let through; default all", Example: `fw.stream "noisy" { rate = "5000/s burst 1000" }`},
			func(_ *loader, s *ruleset.Stream, v value) (err error) {
				s.Rate, err = streamRate(v.LValue)
				return err
			}},
	}
}

// whole reads a whole number within bounds.
func whole(v value, least, most int) (int, error) {
	n, ok := v.LValue.(lua.LNumber)
	if !ok || n != lua.LNumber(int(n)) || int(n) < least || int(n) > most {
		return 0, fmt.Errorf("a whole number from %d to %d is expected, not %s", least, most, describe(v.LValue))
	}
	return int(n), nil
}

// streams reads one stream or a list of them.
func streams(v value) ([]*ruleset.Stream, error) {
	var out []*ruleset.Stream
	err := each(v, func(v value) error {
		s, ok := unwrap[*streamObject](v.LValue)
		if !ok {
			return fmt.Errorf("a stream is expected, not %s: local closed = fw.stream \"closed\"", describe(v.LValue))
		}
		out = append(out, s.stream)
		return nil
	})
	return out, err
}
