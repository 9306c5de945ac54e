package ruleset

import "fmt"

// Connections matches while there are no more than Max tracked connections or,
// with Over, when there are more: of all packets of the rule together or, with
// PerSource, of each source (of each prefix of Bits4 or Bits6 bits, where these
// are not 0).
type Connections struct {
	Max          uint32
	Over         bool
	PerSource    bool
	Bits4, Bits6 int
}

func (c Connections) split() bool           { return c.PerSource }
func (c Connections) exprs(family) []string { return []string{""} } // see Limit

func (c Connections) String() string {
	if c.Over {
		return fmt.Sprintf("ct count over %d", c.Max)
	}
	return fmt.Sprintf("ct count %d", c.Max)
}

// Quota matches until so many bytes have come or, with Over, from then on. It
// starts anew with each generation.
type Quota struct {
	Bytes uint64
	Over  bool
}

func (Quota) split() bool           { return false }
func (Quota) exprs(family) []string { return []string{""} } // see Limit

func (q Quota) String() string {
	if q.Over {
		return fmt.Sprintf("over %d bytes", q.Bytes)
	}
	return fmt.Sprintf("%d bytes", q.Bytes)
}

// meters renders what of a rule keeps count, for each family, as alternatives.
// Kernel rules that share a meter share its object, so that together they keep to it.
func (w *writer) meters(c *Chain, r *Rule, index int, shared bool) [3][]string {
	none := []string{""}
	out := [...][]string{anyFamily: none, ipv4: none, ipv6: none}
	for n, field := range r.Fields {
		name := func(kind string) string { return fmt.Sprintf("%s.%d", derived(kind, c, r, index), n) }
		for _, f := range [...]family{anyFamily, ipv4, ipv6} {
			switch field := field.(type) {
			case Limit:
				out[f] = product(out[f], w.rateLimit(name("limit"), field, f, shared))
			case Connections:
				out[f] = product(out[f], w.connections(name("connlimit"), field, f, shared))
			case Quota:
				out[f] = product(out[f], w.quota(name("quota"), field, shared))
			}
		}
	}
	return out
}

// object declares something that a rule needs, once.
func (w *writer) object(format string, args ...any) {
	o := fmt.Sprintf(format, args...)
	if !w.declared[o] {
		w.declared[o] = true
		w.objects = append(w.objects, o)
	}
}

func (w *writer) rateLimit(name string, l Limit, f family, shared bool) []string {
	rate := l.Rate.String()
	if l.Over {
		rate = l.Rate.over()
	}
	switch {
	case l.PerSource && f == anyFamily:
		return []string{""} // there is no such rule
	case l.PerSource:
		return w.perSource(name, "limit "+rate, "flags dynamic,timeout; timeout "+milliseconds(sourceTimeout), f, l.Bits4, l.Bits6, l.Over)
	case shared:
		w.object("limit %s { %s; }", name, rate)
		return []string{"limit name " + quote(name)}
	}
	return []string{"limit " + rate}
}

func (w *writer) connections(name string, c Connections, f family, shared bool) []string {
	switch {
	case c.PerSource && f == anyFamily:
		return []string{""}
	case c.PerSource:
		return w.perSource(name, c.String(), "flags dynamic", f, c.Bits4, c.Bits6, c.Over)
	case shared:
		// nft has no named object for this: a set with one element, which every packet has.
		w.object("set %s { type mark; size 1; flags dynamic; }", name)
		return []string{fmt.Sprintf("add @%s { meta mark & 0x0 %s }", name, c)}
	}
	return []string{c.String()}
}

func (w *writer) quota(name string, q Quota, shared bool) []string {
	if !shared {
		return []string{"quota " + q.String()}
	}
	w.object("quota %s { %s; }", name, q)
	return []string{"quota name " + quote(name)}
}

// perSource renders a meter of each source and declares the set that holds its
// state. A flood of forged sources can fill that set. A source that does not fit
// in any more has exceeded nothing: it keeps to the limit, or else a flood would
// shut out everybody who is new.
func (w *writer) perSource(name, meter, set string, f family, bits4, bits6 int, over bool) []string {
	key, typ, bits := f.ip()+" saddr", "ipv4_addr", bits4
	if f == ipv6 {
		typ, bits = "ipv6_addr", bits6
	}
	if mask := netmask(f, bits); mask != "" {
		key += " & " + mask
	}
	name += "." + f.digit()
	w.object("set %s { type %s; size %d; %s; }", name, typ, dynamicSize, set)
	verb := "update"
	if set == "flags dynamic" {
		verb = "add"
	}
	known := fmt.Sprintf("%s @%s { %s %s }", verb, name, key, meter)
	if over {
		return []string{known}
	}
	return []string{known, fmt.Sprintf("%s != @%s", key, name)}
}
