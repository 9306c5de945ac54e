package feed

import (
	"net/netip"
	"slices"
)

// Filter says which items somebody wants. The zero Filter takes all.
type Filter struct {
	Kinds  []Kind       // one of these, if there are any
	Stream string       // packet events of this stream; nothing else
	Src    netip.Prefix // packet events from there, and bans of it or of part of it; nothing else
	Port   uint16       // packet events to or from this port; nothing else
}

// Match reports whether the filter takes an item.
func (f *Filter) Match(it *Item) bool {
	if len(f.Kinds) > 0 && !slices.Contains(f.Kinds, it.Kind) {
		return false
	}
	p := &it.Event.Packet
	switch {
	case f.Stream != "" && it.Event.Stream != f.Stream:
		return false
	case f.Port != 0 && !(p.HasPorts && (p.Dport == f.Port || p.Sport == f.Port)):
		return false
	case f.Src.IsValid():
		return f.from(it)
	}
	return true
}

func (f *Filter) from(it *Item) bool {
	switch {
	case it.Kind == KindEvent:
		return f.Src.Contains(it.Event.Packet.Src)
	case it.Ban != nil:
		return it.Ban.Target.IsValid() && f.Src.Overlaps(it.Ban.Target.Prefix)
	}
	return false
}

// wants reports whether the filter may take packet events, and whether it may take anything else.
func (f *Filter) wants() (events, others bool) {
	if f.Stream != "" || f.Port != 0 {
		return len(f.Kinds) == 0 || slices.Contains(f.Kinds, KindEvent), false
	}
	if len(f.Kinds) == 0 {
		return true, true
	}
	events = slices.Contains(f.Kinds, KindEvent)
	return events, slices.ContainsFunc(f.Kinds, func(k Kind) bool { return k != KindEvent })
}
