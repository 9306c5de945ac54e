package policy

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"moonlatch/engine/lint"
	"moonlatch/engine/ruleset"
)

// warn lists what is allowed but most likely a mistake.
func (l *loader) warn() []*ruleset.Error {
	var out []*ruleset.Error
	add := func(pos ruleset.Pos, format string, args ...any) {
		if e := ruleset.Errorf(pos, format, args...); !slices.ContainsFunc(out, func(o *ruleset.Error) bool { return *o == *e }) {
			out = append(out, e)
		}
	}
	l.warnInterfaces(add)
	l.warnChains(add)
	l.warnSets(add)
	l.warnLockOut(add)
	l.warnStreams(add)
	l.warnRules(add)
	l.warnDetectors(add)
	if w := l.watchdog; w.Check != nil && w.Lease == 0 {
		add(w.Check.Pos, "without a lease, only moonlatch apply --confirm-by-check asks the watchdog's check: with lease = \"30s\", the daemon asks it every 10s")
	}
	return out
}

func (l *loader) warnInterfaces(add func(ruleset.Pos, string, ...any)) {
	if l.env.Interfaces == nil {
		return
	}
	known := l.env.Interfaces()
	for _, c := range l.set.Chains {
		if c.Device != "" && !slices.Contains(known, c.Device) {
			add(c.Pos, "chain %q: interface %q does not exist on this host%s", c.Name, c.Device, ruleset.Suggest(c.Device, known))
		}
		for _, r := range c.Rules {
			for _, f := range r.Fields {
				i, ok := f.(ruleset.Interface)
				if !ok {
					continue
				}
				for _, name := range i.Names {
					if !slices.ContainsFunc(known, func(k string) bool { return interfaceIn([]string{name}, k) }) {
						add(r.Pos, "rule %q: interface %q does not exist on this host%s", r.Name, name, ruleset.Suggest(name, known))
					}
				}
			}
		}
	}
}

// warnChains finds chains that nothing ever calls: most likely their hook was forgotten.
func (l *loader) warnChains(add func(ruleset.Pos, string, ...any)) {
	called := map[string]bool{}
	for _, c := range l.set.Chains {
		for _, to := range lint.Targets(c) {
			called[to.Name] = true
		}
	}
	maps.Copy(called, l.wordsOfText())
	for _, c := range l.set.Chains {
		if !c.Base() && !called[c.Name] {
			add(c.Pos, "chain %q is never called: it has no hook, and no rule jumps to it", c.Name)
		}
	}
}

// wordsOfText are the words of all nft text, which may name anything.
func (l *loader) wordsOfText() map[string]bool {
	words := map[string]bool{}
	add := func(text string) {
		for _, word := range strings.FieldsFunc(text, notInName) {
			words[word] = true
		}
	}
	for _, c := range l.set.Chains {
		for _, r := range c.Rules {
			for _, item := range r.Items {
				if text, ok := item.(ruleset.Text); ok {
					add(string(text))
				}
			}
		}
	}
	for _, raw := range l.set.Raw {
		add(raw.Text)
	}
	return words
}

// warnSets finds sets that nothing asks for, and rules that ask for sets in which there will never be anything.
func (l *loader) warnSets(add func(ruleset.Pos, string, ...any)) {
	words := l.wordsOfText()
	for _, s := range l.sets {
		name := s.set.Name
		if s.set.Pos.File != l.set.Policy {
			continue // a module's: it need not be of use to every policy
		}
		if !s.used && !words[name] && !words[name+"4"] && !words[name+"6"] {
			add(s.set.Pos, "%s is not used: no rule asks for it", s)
		}
	}
	for _, c := range l.set.Chains {
		for _, r := range c.Rules {
			for _, f := range r.Fields {
				if a, ok := f.(ruleset.Addr); ok && !a.Not && a.Addrs == nil && len(a.Sets) > 0 && !slices.ContainsFunc(a.Sets, mayHold) {
					add(r.Pos, "rule %q can never match: set %q is empty, and nothing fills it", r.Name, a.Sets[0].Name)
				}
			}
		}
	}
}

// mayHold reports whether there is, or may be, something in a set of addresses.
func mayHold(s *ruleset.Set) bool {
	return s.Changes() || s.Keep || s.Addrs == nil || s.Addrs.Len() > 0
}

// warnLockOut finds an input chain that drops the replies to what this host
// asks, and every connection that is open, its author's own included.
func (l *loader) warnLockOut(add func(ruleset.Pos, string, ...any)) {
	for _, c := range l.set.Chains {
		if c.Hook == "input" && c.Policy == "drop" && !slices.ContainsFunc(l.set.Chains, acceptsReplies) {
			add(c.Pos, "chain %q drops what no rule accepts, and no rule accepts ct = \"established\": open connections, yours included, and replies to this host are dropped", c.Name)
		}
	}
}

// acceptsReplies reports whether a rule of the chain names established
// connections, other than to leave them out.
func acceptsReplies(c *ruleset.Chain) bool {
	return slices.ContainsFunc(c.Rules, func(r *ruleset.Rule) bool {
		for _, f := range r.Fields {
			if ct, ok := f.(ruleset.ConnState); ok && !ct.Not && slices.Contains(ct.States, "established") {
				return true
			}
		}
		return slices.ContainsFunc(r.Items, func(i ruleset.Item) bool {
			text, ok := i.(ruleset.Text)
			return ok && strings.Contains(string(text), "established")
		})
	})
}

func notInName(c rune) bool {
	return c != '_' && c != '-' && !unicode.IsLetter(c) && !unicode.IsDigit(c)
}

func (l *loader) warnStreams(add func(ruleset.Pos, string, ...any)) {
	logged, heard := map[*ruleset.Stream]bool{}, map[*ruleset.Stream]bool{}
	for _, r := range l.set.Routes() {
		logged[r.Stream] = true
	}
	for _, h := range l.handlers {
		heard[h.Stream] = true
	}
	for _, d := range l.detectors {
		for _, s := range d.Streams {
			heard[s] = true
		}
	}
	for _, s := range l.set.Streams {
		switch {
		case !logged[s] && !heard[s]:
			add(s.Pos, "stream %q is not used: no rule logs to it, and nothing listens to it", s.Name)
		case !logged[s]:
			add(s.Pos, "stream %q never has events: no rule has it among its items", s.Name)
		case !heard[s]:
			add(s.Pos, "stream %q has no listener: no fw.on and no fw.detect is on it", s.Name)
		}
	}
}

// warnRules finds rules that can never match, and log lines without a bound:
// whoever sends packets writes them.
func (l *loader) warnRules(add func(ruleset.Pos, string, ...any)) {
	for _, c := range lint.CoveredRules(l.set) {
		add(c.Rule.Pos, "rule %q can never match: rule %q before it, at %s, takes all its packets", c.Rule.Name, c.By.Name, c.By.Pos)
	}
	for _, c := range l.set.Chains {
		for _, r := range c.Rules {
			logs := slices.ContainsFunc(r.Items, func(i ruleset.Item) bool { _, is := i.(ruleset.Syslog); return is })
			bounded := slices.ContainsFunc(r.Fields, func(f ruleset.Field) bool { _, is := f.(ruleset.Limit); return is })
			if logs && !bounded && c.Hook != "output" {
				add(r.Pos, "rule %q writes a line of the kernel's log for every packet that comes: add limit = \"10/min\", and the verdict in a rule of its own", r.Name)
			}
		}
	}
}

// warnDetectors finds bans that anybody could bring on anybody: a sender of
// packets can forge their source.
func (l *loader) warnDetectors(add func(ruleset.Pos, string, ...any)) {
	if len(l.set.Protected) > 0 {
		return
	}
	for _, d := range l.detectors {
		if len(d.Ban) > 0 && !d.Shadow {
			add(d.Pos, "detector %q bans, and no address is protected: packets with a forged source could have yours banned: add fw.protect { \"192.0.2.1\" }", d.Name)
			return
		}
	}
}
