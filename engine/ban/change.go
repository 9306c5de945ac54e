package ban

import "net/netip"

// A Change is what one transaction changed of the bans in force.
type Change struct {
	Made   []Made
	Lifted []netip.Prefix
	All    bool // all were lifted
}

// Made is a ban that was made, or that lasts for another time now.
type Made struct {
	Ban
	Trial bool // by a policy on trial: if that is not confirmed, it is lifted
}

// tell tells of a change that the kernel acknowledged. The caller holds b.mu.
func (b *Book) tell(c change) {
	if b.cfg.Changed == nil || c.quiet {
		return
	}
	out := Change{Made: make([]Made, len(c.put)), Lifted: make([]netip.Prefix, len(c.lift))}
	for i, h := range c.put {
		out.Made[i] = Made{b.ban(h), b.trial != nil && h.origin == Local && !c.settled}
	}
	for i, t := range c.lift {
		out.Lifted[i] = t.prefix()
	}
	b.cfg.Changed(out)
}

// tellSettled tells that the bans of a trial stay. The caller holds b.mu.
func (b *Book) tellSettled() {
	c := change{settled: true}
	for t, ban := range b.trial.bans {
		if e, ok := b.index.get(t); ok && ban.written {
			h := ban.full
			h.until = e.until()
			c.put = append(c.put, h)
		}
	}
	b.tell(c)
}
