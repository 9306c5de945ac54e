package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"moonlatch/engine/ruleset"
)

// maxMistakes bounds the mistakes that one load reports.
const maxMistakes = 100

// mistakes collects what is wrong with a policy, so that one load shows all of
// it and not only the first.
type mistakes struct {
	list  []*ruleset.Error
	known map[ruleset.Error]bool // a loop repeats the same mistake, the report does not
	count int                    // of all, the repeated ones too
	more  int                    // not listed because the list is full
}

func (m *mistakes) report(pos ruleset.Pos, format string, args ...any) {
	e := ruleset.Errorf(pos, format, args...)
	m.count++
	switch {
	case m.known[*e]:
		return
	case len(m.list) == maxMistakes:
		m.more++
		return
	}
	if m.known == nil {
		m.known = map[ruleset.Error]bool{}
	}
	m.known[*e] = true
	m.list = append(m.list, e)
}

// reportAll reports each mistake that err joins, with the words in front of it.
func (m *mistakes) reportAll(pos ruleset.Pos, prefix string, err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			m.reportAll(pos, prefix, e)
		}
		return
	}
	var placed *placedError
	if errors.As(err, &placed) {
		pos = placed.pos
	}
	if e, ok := err.(*ruleset.Error); ok {
		m.report(e.Pos, "%s%s", prefix, e.Msg)
		return
	}
	m.report(pos, "%s%v", prefix, err)
}

// err joins all mistakes with what else went wrong: in the order of the files'
// first mistakes, and of the lines in each.
func (m *mistakes) err(others ...error) error {
	files := map[string]int{}
	for _, e := range m.list {
		if _, ok := files[e.Pos.File]; !ok {
			files[e.Pos.File] = len(files)
		}
	}
	slices.SortStableFunc(m.list, func(a, b *ruleset.Error) int {
		return cmp.Or(cmp.Compare(files[a.Pos.File], files[b.Pos.File]), cmp.Compare(a.Pos.Line, b.Pos.Line))
	})
	errs := make([]error, 0, len(m.list)+len(others)+1)
	for _, e := range m.list {
		errs = append(errs, e)
	}
	if m.more > 0 {
		errs = append(errs, fmt.Errorf("and %d mistakes more", m.more))
	}
	return errors.Join(append(errs, others...)...)
}

// placedError is a mistake whose place is known better than that of the call.
type placedError struct {
	pos ruleset.Pos
	err error
}

func (e *placedError) Error() string { return e.err.Error() }
func (e *placedError) Unwrap() error { return e.err }
