package pattern

// classEnd is the offset behind the single-character class at p.
func (m *Matcher) classEnd(p int) int {
	c := m.pat[p]
	p++
	switch c {
	case '%':
		if p == len(m.pat) {
			fail("malformed pattern (ends with '%')")
		}
		return p + 1
	case '[':
		return m.setEnd(p)
	}
	return p
}

// setEnd is the offset behind the ] of a set whose [ is at p-1. The first
// character of a set is never its end.
func (m *Matcher) setEnd(p int) int {
	if p < len(m.pat) && m.pat[p] == '^' {
		p++
	}
	for first := p; p < len(m.pat); p++ {
		m.step(1)
		switch {
		case m.pat[p] == ']' && p > first:
			return p + 1
		case m.pat[p] == '%':
			p++
		}
	}
	fail("malformed pattern (missing ']')")
	return 0
}

// single says whether the class pat[p:end] matches the character at s.
func (m *Matcher) single(s, p, end int) bool {
	m.step(1)
	if s >= len(m.text) {
		return false
	}
	c := m.text[s]
	switch m.pat[p] {
	case '.':
		return true
	case '%':
		return inClass(c, m.pat[p+1])
	case '[':
		return m.inSet(c, p, end-1)
	}
	return m.pat[p] == c
}

// inSet says whether c is in the set with [ at p and ] at end.
func (m *Matcher) inSet(c byte, p, end int) bool {
	member := true
	p++
	if m.pat[p] == '^' {
		member = false
		p++
	}
	for ; p < end; p++ {
		m.step(1)
		switch {
		case m.pat[p] == '%':
			p++
			if inClass(c, m.pat[p]) {
				return member
			}
		case p+2 < end && m.pat[p+1] == '-':
			if m.pat[p] <= c && c <= m.pat[p+2] {
				return member
			}
			p += 2
		case m.pat[p] == c:
			return member
		}
	}
	return !member
}

// inClass says whether c is in the class %x; an upper case x means not in it,
// and an x that is no class stands for itself.
func inClass(c, x byte) bool {
	var in bool
	switch x | 0x20 {
	case 'a':
		in = isLetter(c)
	case 'c':
		in = c < 0x20 || c == 0x7f
	case 'd':
		in = isDigit(c)
	case 'l':
		in = 'a' <= c && c <= 'z'
	case 'p':
		in = c > 0x20 && c < 0x7f && !isLetter(c) && !isDigit(c)
	case 's':
		in = c == ' ' || '\t' <= c && c <= '\r'
	case 'u':
		in = 'A' <= c && c <= 'Z'
	case 'w':
		in = isLetter(c) || isDigit(c)
	case 'x':
		in = isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f'
	case 'z':
		in = c == 0
	default:
		return x == c
	}
	return in != ('A' <= x && x <= 'Z')
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
