package replay

import (
	"net/netip"
	"slices"
	"time"

	"moonlatch/engine"
	"moonlatch/engine/ban"
	"moonlatch/engine/detect"
	"moonlatch/engine/lab"
	"moonlatch/engine/policy"
)

// How much is remembered of each kind; what is more is counted.
const (
	maxBans     = 10_000
	maxSpared   = 1_000
	maxKeys     = 65_536
	maxFailures = 10
)

// Ban is a ban that would have been made.
type Ban struct {
	Target   string    `json:"target"`
	At       time.Time `json:"at"`
	Until    time.Time `json:"until"`
	By       string    `json:"by"`
	Place    string    `json:"place,omitempty"` // of the detector in the policy
	Why      string    `json:"why"`
	Packet   int       `json:"packet"` // that decided it
	Evidence *Evidence `json:"evidence,omitempty"`
}

// Evidence is what a detector counted.
type Evidence struct {
	Count int64     `json:"count"`
	Of    string    `json:"of"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Ports []uint16  `json:"ports,omitempty"`
}

// Spared is who would have been banned if they were not protected, or the detector not a shadow.
type Spared struct {
	Target string `json:"target"`
	By     string `json:"by"`
	Why    string `json:"why"` // the first time
	Times  int    `json:"times"`
	First  int    `json:"firstPacket"`
	Last   int    `json:"lastPacket"`
}

// Detector is what a detector found.
type Detector struct {
	Name    string    `json:"name"`
	Place   string    `json:"place"`
	Shadow  bool      `json:"shadow,omitempty"`
	Events  uint64    `json:"events"`
	Hits    int       `json:"hits"`
	Keys    int       `json:"keys"` // different ones that crossed its threshold
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	Evicted uint64    `json:"evicted,omitempty"` // keys that were forgotten for want of room
}

// Verdict is what became of a number of packets.
type Verdict struct {
	Verdict lab.Verdict `json:"verdict"`
	Chain   string      `json:"chain,omitempty"`
	Rule    string      `json:"rule,omitempty"`
	Place   string      `json:"place,omitempty"`
	Packets int         `json:"packets"`
}

// record is what a policy did with a capture. It is the engine's Witness, and belongs to its lane.
type record struct {
	now      *moment
	verdicts map[lab.Fate]int

	bans      []Ban
	banCount  int
	spared    map[sparedKey]*Spared
	detectors map[string]*Detector
	keys      map[string]map[netip.Prefix]bool // of detectors
	order     []string                         // of detectors, as in the policy
	failures  []string
	failed    int

	Verdicts []Verdict
}

// sparedKey tells apart who was spared, and from what.
type sparedKey struct {
	target netip.Prefix
	by     string
}

var _ engine.Witness = (*record)(nil)

func newRecord() *record {
	return &record{verdicts: map[lab.Fate]int{}, spared: map[sparedKey]*Spared{}, detectors: map[string]*Detector{}, keys: map[string]map[netip.Prefix]bool{}}
}

// at is told which packet comes next.
func (r *record) at(m *moment) { r.now = m }

// decided is told what became of it.
func (r *record) decided(f lab.Fate) { r.verdicts[f]++ }

// number is that of the packet at hand.
func (r *record) number() int {
	if r.now == nil {
		return 0
	}
	return r.now.number
}

// Found implements engine.Witness.
func (r *record) Found(d *policy.Detector, hit *detect.Hit, target netip.Prefix) {
	have := r.detector(d)
	have.Hits++
	if have.First.IsZero() {
		have.First = hit.Last
	}
	have.Last = hit.Last
	if keys := r.keys[d.Name]; target.IsValid() && len(keys) < maxKeys {
		keys[target] = true
	}
	if d.Shadow {
		r.spare(target, d.Name, hit.Why())
	}
}

func (r *record) detector(d *policy.Detector) *Detector {
	if r.detectors[d.Name] == nil {
		r.detectors[d.Name] = &Detector{Name: d.Name, Place: d.Pos.String(), Shadow: d.Shadow}
		r.keys[d.Name] = map[netip.Prefix]bool{}
		r.order = append(r.order, d.Name)
	}
	return r.detectors[d.Name]
}

// Banned implements engine.Witness.
func (r *record) Banned(b ban.Ban) {
	if r.banCount++; len(r.bans) == maxBans {
		return
	}
	out := Ban{Target: target(b.Target), At: b.Since, Until: b.Until, By: b.By, Why: b.Why, Packet: r.number()}
	if e := b.Evidence; e != nil {
		out.Evidence = &Evidence{e.Count, e.Of, e.First, e.Last, e.Ports}
	}
	r.bans = append(r.bans, out)
}

// Refused implements engine.Witness.
func (r *record) Refused(req ban.Request) { r.spare(req.Target, req.By, req.Why) }

func (r *record) spare(whom netip.Prefix, by, why string) {
	k := sparedKey{whom, by}
	if r.spared[k] == nil {
		if len(r.spared) == maxSpared {
			return
		}
		r.spared[k] = &Spared{Target: target(whom), By: by, Why: why, First: r.number()}
	}
	r.spared[k].Times++
	r.spared[k].Last = r.number()
}

// Failed implements engine.Witness.
func (r *record) Failed(err error) {
	if r.failed++; len(r.failures) < maxFailures {
		r.failures = append(r.failures, err.Error())
	}
}

// finish completes the record with what the policy says of itself.
func (r *record) finish(p *engine.Playback) {
	p.Detectors(func(d *policy.Detector, s detect.Stats) {
		have := r.detector(d)
		have.Events, have.Evicted, have.Keys = s.Events, s.Evicted, len(r.keys[d.Name])
	})
	for i := range r.bans {
		if d := r.detectors[r.bans[i].By]; d != nil {
			r.bans[i].Place = d.Place
		}
	}
	for f, n := range r.verdicts {
		r.Verdicts = append(r.Verdicts, Verdict{f.Verdict, f.Chain, f.Rule, p.Place(f.Chain, f.Rule), n})
	}
	slices.SortFunc(r.Verdicts, func(a, b Verdict) int {
		if a.Packets != b.Packets {
			return b.Packets - a.Packets
		}
		return compare(a, b)
	})
}

// verdict is a fate with its place in the policy.
func (r *record) verdict(f lab.Fate) Verdict {
	for _, v := range r.Verdicts {
		if v.Verdict == f.Verdict && v.Chain == f.Chain && v.Rule == f.Rule {
			return v
		}
	}
	return Verdict{Verdict: f.Verdict, Chain: f.Chain, Rule: f.Rule}
}

// target writes a host as an address and the rest as a prefix.
func target(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return "nobody in particular"
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}
