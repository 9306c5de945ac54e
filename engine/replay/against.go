package replay

import (
	"cmp"
	"slices"
	"time"

	"moonlatch/engine/lab"
)

// Differences are what two policies made differently of a capture.
type Differences struct {
	Verdicts []Change    `json:"verdicts,omitempty"`
	Only     []Ban       `json:"bans_only,omitempty"`         // of the policy, and not of the other
	Missing  []Ban       `json:"bans_only_against,omitempty"` // the other way round
	Moved    []MovedBans `json:"bans_differ,omitempty"`

	changes map[[2]lab.Fate]*Change
}

// Change is what became of a number of packets otherwise.
type Change struct {
	Was     Verdict   `json:"verdict"`
	Is      Verdict   `json:"against"`
	Packets int       `json:"packets"`
	Example string    `json:"example"` // the first one
	Number  int       `json:"packet"`
	At      time.Time `json:"at"`
}

// MovedBans are the bans of a target that both policies made, at other times.
type MovedBans struct {
	Target string `json:"target"`
	Bans   []Ban  `json:"bans"`
	Other  []Ban  `json:"against"`
}

// Any reports whether there are differences.
func (d *Differences) Any() bool {
	return d != nil && len(d.Verdicts)+len(d.Only)+len(d.Missing)+len(d.Moved) > 0
}

// maxChanges bounds the kinds of changes that are told.
const maxChanges = 1000

// compare notes what became of the packets of a batch in one lane and not in the other.
func (d *Differences) compare(b *batch, lanes []*lane) {
	if d.changes == nil {
		d.changes = map[[2]lab.Fate]*Change{}
	}
	for i, f := range lanes[0].fates {
		g := lanes[1].fates[i]
		if f.Verdict == g.Verdict {
			continue // by whichever rule
		}
		k := [2]lab.Fate{f, g}
		c := d.changes[k]
		if c == nil {
			if len(d.changes) == maxChanges {
				continue
			}
			m := &b.moments[i]
			c = &Change{Example: m.String(), Number: m.number, At: m.at}
			d.changes[k] = c
		}
		c.Packets++
	}
}

// end completes the differences with the verdicts' places, and the bans.
func (d *Differences) end(lanes []*lane) {
	for k, c := range d.changes {
		c.Was, c.Is = lanes[0].record.verdict(k[0]), lanes[1].record.verdict(k[1])
		c.Was.Packets, c.Is.Packets = 0, 0
		d.Verdicts = append(d.Verdicts, *c)
	}
	slices.SortFunc(d.Verdicts, func(a, b Change) int { return cmp.Compare(a.Number, b.Number) })
	ours, theirs := byTarget(lanes[0].record.bans), byTarget(lanes[1].record.bans)
	for _, t := range targets(lanes) {
		switch a, b := ours[t], theirs[t]; {
		case len(b) == 0:
			d.Only = append(d.Only, a...)
		case len(a) == 0:
			d.Missing = append(d.Missing, b...)
		case !slices.EqualFunc(a, b, sameTime):
			d.Moved = append(d.Moved, MovedBans{t, a, b})
		}
	}
}

// sameTime reports whether two bans began with the same packet and lasted as long.
func sameTime(a, b Ban) bool {
	return a.Packet == b.Packet && a.At.Equal(b.At) && a.Until.Equal(b.Until)
}

func byTarget(bans []Ban) map[string][]Ban {
	out := map[string][]Ban{}
	for _, b := range bans {
		out[b.Target] = append(out[b.Target], b)
	}
	return out
}

// targets lists whom any lane banned, in the order of the first ban.
func targets(lanes []*lane) []string {
	var all []Ban
	for _, l := range lanes {
		all = append(all, l.record.bans...)
	}
	slices.SortStableFunc(all, func(a, b Ban) int { return cmp.Compare(a.Packet, b.Packet) })
	var out []string
	seen := map[string]bool{}
	for _, b := range all {
		if !seen[b.Target] {
			seen[b.Target] = true
			out = append(out, b.Target)
		}
	}
	return out
}
