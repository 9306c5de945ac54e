package replay

import (
	"cmp"
	"slices"
	"time"

	"moonlatch/engine/control"
)

// Report is what a capture would have led to.
type Report struct {
	APIVersion string         `json:"apiVersion"`
	Hosts      Hosts          `json:"hosts"`
	Packets    int            `json:"packets"`
	First      time.Time      `json:"first,omitzero"`
	Last       time.Time      `json:"last,omitzero"`
	Skipped    map[string]int `json:"skipped,omitempty"` // by why
	Late       int            `json:"late,omitempty"`    // packets with an earlier time than those before them
	Trouble    string         `json:"trouble,omitempty"` // what kept the capture from being read to its end
	Took       float64        `json:"seconds"`
	Rate       float64        `json:"packets_per_second"`

	Policy      Outcome      `json:"policy"`
	Against     *Outcome     `json:"against,omitempty"`
	Differences *Differences `json:"differences,omitempty"`

	in *input
}

// Outcome is what one policy made of the capture.
type Outcome struct {
	Name      string     `json:"name"`
	Bans      []Ban      `json:"bans"`
	BanCount  int        `json:"bans_made"` // more than Bans holds where there are very many
	Spared    []Spared   `json:"spared"`
	Detectors []Detector `json:"detectors"`
	Verdicts  []Verdict  `json:"verdicts"`
	Failures  []string   `json:"failures,omitempty"` // of the policy's Lua, the first ones
	Failed    int        `json:"failed,omitempty"`
}

func newReport(o Options, in *input) *Report {
	r := &Report{APIVersion: control.Version, Hosts: o.Hosts, First: in.from, Skipped: in.skips, in: in}
	if o.Against != nil {
		r.Differences = &Differences{}
	}
	return r
}

// count adds a batch.
func (r *Report) count(b *batch) {
	r.Packets += b.packets
	r.Last = b.last
}

// end completes the report with what the lanes recorded.
func (r *Report) end(lanes []*lane) {
	r.Late = r.in.late
	if r.Packets == 0 {
		r.First = time.Time{}
	}
	if r.Took > 0 {
		r.Rate = float64(r.Packets) / r.Took
	}
	r.Policy = lanes[0].outcome()
	if len(lanes) == 2 {
		against := lanes[1].outcome()
		r.Against = &against
		r.Differences.end(lanes)
	}
}

func (l *lane) outcome() Outcome {
	o := Outcome{
		Name: l.name(), Bans: append([]Ban{}, l.record.bans...), BanCount: l.record.banCount, Spared: []Spared{},
		Detectors: []Detector{}, Verdicts: append([]Verdict{}, l.record.Verdicts...), Failures: l.record.failures, Failed: l.record.failed,
	}
	for _, s := range l.record.spared {
		o.Spared = append(o.Spared, *s)
	}
	slices.SortFunc(o.Spared, func(a, b Spared) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Target, b.Target), cmp.Compare(a.By, b.By))
	})
	for _, name := range l.record.order {
		o.Detectors = append(o.Detectors, *l.record.detectors[name])
	}
	return o
}

// name is what people call the lane's policy.
func (l *lane) name() string {
	if l.staged.Generation != nil {
		return l.staged.Generation.Policy
	}
	return l.staged.Policy
}

func compare(a, b Verdict) int {
	return cmp.Or(cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.Rule, b.Rule))
}
