package ban

import (
	"net/netip"
	"strings"
	"time"

	"moonlatch/engine/nft"
)

// note is what an element's comment says about a ban: "BY: WHY" for a policy's,
// "manual: WHY" or "manual by BY: WHY" for a person's. An element that is one of
// several that a prefix had to be stored as says "part of PREFIX, " before that.
type note struct {
	by, why string
	origin  Origin
	whole   netip.Prefix // zero unless the element is a part

	age time.Duration // of a ban that had begun before it was written, which its timeout says and not its comment
}

const (
	manualWord = "manual"
	manualBy   = manualWord + " by "
	partOf     = "part of "
)

// comment returns the note as nft can keep it, cut to 128 bytes.
func (n note) comment() string {
	text := n.byline()
	if n.why != "" {
		text += ": " + n.why
	}
	if n.whole.IsValid() {
		text = partOf + n.whole.String() + ", " + text
	}
	return nft.Comment(text)
}

func (n note) byline() string {
	by := cleanBy(n.by)
	if n.origin == Manual {
		if by == "" || by == manualWord {
			return manualWord
		}
		return manualBy + by
	}
	if by == "" || by == manualWord || strings.HasPrefix(by, manualBy) || strings.HasPrefix(by, partOf) {
		return strings.TrimSpace("policy " + by) // the words are taken
	}
	return by
}

// cleanBy makes a name that comment and parseNote agree on.
func cleanBy(by string) string {
	return strings.TrimSpace(nft.Comment(strings.ReplaceAll(by, ":", ";")))
}

// parseNote is the inverse of comment. Any text is some note, since anybody can
// add elements; no comment at all means that a person did.
func parseNote(comment string) note {
	var n note
	if rest, ok := strings.CutPrefix(comment, partOf); ok {
		prefix, rest, _ := strings.Cut(rest, ", ")
		if p, err := netip.ParsePrefix(prefix); err == nil && p == p.Masked() {
			n.whole, comment = p, rest
		}
	}
	n.by, n.why, _ = strings.Cut(comment, ": ")
	n.origin = Local
	if by, ok := strings.CutPrefix(n.by, manualBy); ok {
		n.by, n.origin = by, Manual
	}
	if n.by == "" || n.by == manualWord {
		n.by, n.origin = manualWord, Manual
	}
	return n
}
