package ban

import (
	"fmt"
	"time"
)

// Aggregation says when neighbours that offend become the ban of a prefix around them.
// The zero Aggregation makes none.
type Aggregation struct {
	// Bits4 is the length of the IPv4 prefix that is banned when more than Over of its addresses are, 0 for never.
	Bits4 int
	// Bits6 is the widest IPv6 prefix that is banned for its /64s, 0 for never: a /56
	// when more than Over of its /64s are banned, and, where Bits6 is 48, a /48 when more than four times as many are.
	Bits6 int
	Over  int
}

// DefaultAggregation is what a policy gets that says nothing: IPv6 networks are handed out as /56 or /48.
func DefaultAggregation() Aggregation { return Aggregation{Bits6: 48, Over: DefaultOver} }

// DefaultOver is the most /64s or addresses that offend without their neighbours being blamed, and MaxOver the most that can be said.
const (
	DefaultOver = 4
	MaxOver     = 64
)

// perSite is how many times more /64s of a /48 than of a /56 have to offend.
const perSite = 4

// step is a prefix to widen to, and how many targets in it may be banned before.
type step struct {
	bits uint8 // of a target
	over int
}

// steps are those that a ban of t may take, the widest first.
func (a Aggregation) steps(t target) []step {
	switch f := t.family(); {
	case f == IPv4 && t.bits == 128 && a.Bits4 > 0:
		return []step{{uint8(a.Bits4) + mapped, a.Over}}
	case f == IPv6 && t.bits == 64 && a.Bits6 == 48:
		return []step{{48, a.Over * perSite}, {56, a.Over}}
	case f == IPv6 && t.bits == 64 && a.Bits6 == 56:
		return []step{{56, a.Over}}
	}
	return nil
}

// maxCrowds bounds how many prefixes are watched.
const maxCrowds = 1 << 12

// crowds are the targets that offended in each prefix and are banned still. Of the least
// recent ones it forgets half at once when there are too many.
type crowds struct {
	latest, earlier map[target]crowd
}

// crowd is when the bans of the members of a prefix end. It holds no more than it takes to blame all of them.
type crowd map[target]time.Duration

// join notes that t is banned until a time, and returns how many in the prefix are after now.
func (c *crowds) join(t target, s step, until, now time.Duration) int {
	p := t.shorten(s.bits)
	members, ok := c.latest[p]
	if !ok {
		if members = c.earlier[p]; members == nil {
			members = make(crowd)
		}
		if len(c.latest) >= maxCrowds/2 {
			c.latest, c.earlier = nil, c.latest
		}
		if c.latest == nil {
			c.latest = make(map[target]crowd)
		}
		c.latest[p] = members
	}
	for u, end := range members {
		if end <= now {
			delete(members, u)
		}
	}
	if _, there := members[t]; there || len(members) <= s.over {
		members[t] = until
	}
	return len(members)
}

// leave forgets that t is banned: its ban was lifted.
func (c *crowds) leave(t target) {
	for _, bits := range [...]uint8{48, 56} {
		c.drop(t, bits)
	}
	if t.family() == IPv4 {
		for bits := uint8(mapped + MinBits4); bits < 128; bits++ {
			c.drop(t, bits)
		}
	}
}

func (c *crowds) drop(t target, bits uint8) {
	delete(c.latest[t.shorten(bits)], t)
	delete(c.earlier[t.shorten(bits)], t)
}

// The lengths of IPv4 prefixes that can be banned for their addresses.
const (
	MinBits4 = 20
	MaxBits4 = 30
)

// Aggregate sets when neighbours become one ban, from the next ban on.
func (b *Book) Aggregate(a Aggregation) error {
	switch {
	case a.Bits4 != 0 && (a.Bits4 < MinBits4 || a.Bits4 > MaxBits4):
		return fmt.Errorf("aggregate: IPv4 addresses to a /%d: it is /%d to /%d", a.Bits4, MinBits4, MaxBits4)
	case a.Bits6 != 0 && a.Bits6 != 48 && a.Bits6 != 56:
		return fmt.Errorf("aggregate: IPv6 /64s to a /%d: it is /48 or /56", a.Bits6)
	case (a.Bits4 != 0 || a.Bits6 != 0) && (a.Over < 1 || a.Over > MaxOver):
		return fmt.Errorf("aggregate: over %d: it is 1 to %d", a.Over, MaxOver)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.aggregation, b.recount = a, true
	return nil
}

// maxRecounted bounds how many bans are counted at once, while others wait.
const maxRecounted = 1 << 16

// countAgain counts the bans that the book knows, as where it has just adopted them: who had been one too
// many before a restart is after it. The caller holds b.mu.
func (b *Book) countAgain(now time.Duration) {
	b.crowds, b.recount = crowds{}, false
	n := 0
	b.index.each(func(t target, e entry) {
		if e.manual || e.until() <= now || n >= maxRecounted {
			return
		}
		for _, s := range b.aggregation.steps(t) {
			b.crowds.join(t, s, e.until(), now)
			n++
		}
	})
}

// widen returns the ban of a prefix that follows from a new one in it. A prefix that holds
// something protected is never banned for its addresses: the next narrower one may be, and the Book says so.
// The caller holds b.mu.
func (b *Book) widen(d decision, now time.Duration) (Request, bool) {
	if d.request.Origin != Local || d.err != nil {
		return Request{}, false
	}
	if b.recount {
		b.countAgain(now)
	}
	var wide Request
	found := false
	for _, s := range b.aggregation.steps(d.full.target) {
		n := b.crowds.join(d.full.target, s, d.put.until, now)
		p := d.full.shorten(s.bits)
		if found || n <= s.over || b.bannedAtLeast(p, d.put.until, now) {
			continue
		}
		wide = d.request
		wide.Target, wide.nth = p.prefix(), d.nth
		wide.Why = fmt.Sprintf("%d and more of its %s: %s", n, unitOf(d.full.target), d.request.Why)
		if err := b.guarded.Load().check(wide.Target); err != nil {
			b.held.note(wide, err)
			continue
		}
		found = true
	}
	return wide, found
}

// bannedAtLeast reports whether all of t is banned that long.
func (b *Book) bannedAtLeast(t target, until, now time.Duration) bool {
	_, e, ok := b.index.covering(t, now)
	return ok && e.until() >= until
}

func unitOf(t target) string {
	if t.family() == IPv4 {
		return "addresses"
	}
	return "/64s"
}
