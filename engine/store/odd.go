package store

import "errors"

// oddRows are rows of an answer that cannot be, as where somebody edited the file.
type oddRows struct {
	n     int
	first error
}

func (o *oddRows) add(err error) {
	if o.n++; o.n == 1 {
		o.first = err
	}
}

// say logs that rows were left out of an answer, if it is more of them than were ever before.
func (s *Store) say(odd oddRows) {
	n := int64(odd.n)
	for {
		most := s.odd.Load()
		if n <= most {
			return
		}
		if s.odd.CompareAndSwap(most, n) {
			break
		}
	}
	s.cfg.Log.Error("rows of the history cannot be read, and are left out", "file", s.path, "rows", n, "first", odd.first)
}

func (o *oddRows) join(p oddRows) {
	if o.n += p.n; o.first == nil {
		o.first = p.first
	}
}

// heal notes a row that cannot be, and is about to be written anew. It returns any other error.
func (o *oddRows) heal(err error) error {
	if errors.Is(err, errBadRow) {
		o.add(err)
		return nil
	}
	return err
}

// healed says that rows were written anew, without what could not be read in them. What that was, the kernel may know.
func (s *Store) healed(odd oddRows) {
	if odd.n > 0 {
		s.cfg.Log.Error("bans on record could not be read, and are written anew", "file", s.path, "rows", odd.n, "first", odd.first)
		s.lost()
	}
}
