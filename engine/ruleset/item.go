package ruleset

import (
	"fmt"
	"strings"
	"time"
)

// Item is something a matching rule does, or free nft text, in the author's
// order. The implementations are all in this package.
type Item interface{ item() }

// statement is an item that becomes one nft statement, which may be another one
// for each address family.
type statement interface {
	Item
	do(r *Rule, f family) string // the statement, for packets of the family
	ends() bool                  // nothing can stand behind it
	split() bool                 // IPv4 and IPv6 need rules of their own
	serves(f family) bool        // there is one for packets of the family
}

// Text is nft text, taken as it is but for the names of the author's sets: the
// "@feed" of an address set becomes the kernel set of the family beside it.
type Text string

// Verdict ends the rule: accept, drop, continue, return, reject (With says how,
// in nft's words, or is empty), jump and goto (To is the chain).
type Verdict struct {
	Kind string
	With string
	To   *Chain
}

// Log sends the packet to a stream.
type Log struct{ Stream *Stream }

// Trap puts the packet's source into a kernel set that drops everything from it
// until Timeout has passed: from the next packet on, with no help of a daemon.
type Trap struct{ Timeout time.Duration }

// Syslog writes the packet to the kernel's log.
type Syslog struct{ Prefix string }

func (Text) item()    {}
func (Verdict) item() {}
func (Log) item()     {}
func (Trap) item()    {}
func (Syslog) item()  {}

func (v Verdict) String() string {
	switch {
	case v.To != nil:
		return v.Kind + " " + v.To.Name
	case v.With != "":
		return "reject with " + v.With
	}
	return v.Kind
}

func (l Log) statement(prefix string) string {
	snaplen := l.Stream.Snaplen
	if snaplen == 0 {
		snaplen = DefaultSnaplen
	}
	return fmt.Sprintf("log prefix %s group %d snaplen %d", quote(prefix), Group, snaplen)
}

// words splits nft text into its words, braces and operators, leaving quoted strings whole.
func words(text string) []string {
	var out []string
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\t':
			i++
		case c == '"':
			end := strings.IndexByte(text[i+1:], '"')
			if end < 0 {
				return append(out, text[i:])
			}
			out = append(out, text[i:i+end+2])
			i += end + 2
		default:
			end := i
			for end < len(text) && !strings.ContainsRune(" \t\"{},", rune(text[end])) {
				end++
			}
			if end == i {
				end++ // a brace or a comma stands alone
			}
			out = append(out, text[i:end])
			i = end
		}
	}
	return out
}

// families tells which address families text can match, from the headers it names.
func (t Text) families() (v4, v6 bool) {
	v4, v6 = true, true
	for _, w := range words(string(t)) {
		switch w {
		case "ip", "icmp", "igmp":
			v6 = false
		case "ip6", "icmpv6":
			v4 = false
		}
	}
	return v4, v6
}

// references lists the set names that text mentions, as the author wrote them.
func (t Text) references() []string {
	var names []string
	parts := words(string(t))
	for i, w := range parts {
		name, ok := strings.CutPrefix(w, "@")
		if payload := i+1 < len(parts) && parts[i+1] == ","; ok && !payload { // "@th,16,16" are bits of a header
			names = append(names, name)
		}
	}
	return names
}

// resolve replaces the names of the author's sets and maps that have a half of
// each family by the kernel's.
func (w *writer) resolve(t Text) string {
	parts := words(string(t))
	f, changed := ipv4, false
	for i, word := range parts {
		switch word {
		case "ip":
			f = ipv4
		case "ip6":
			f = ipv6
		}
		if name, ok := strings.CutPrefix(word, "@"); ok {
			if w.halves[name] {
				parts[i], changed = word+f.digit(), true
			}
		}
	}
	if !changed {
		return string(t)
	}
	return strings.Join(parts, " ")
}

// Verdict is the rule's verdict for people: its kind, or "none".
func (r *Rule) Verdict() string {
	for _, i := range r.Items {
		if v, ok := i.(Verdict); ok {
			return v.Kind
		}
	}
	return "none"
}
