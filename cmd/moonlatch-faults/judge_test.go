package main

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStateOf(t *testing.T) {
	for answered, want := range map[uint8]state{
		0b0000: closed, 0b1111: open, 0b0001: variant1, 0b0010: variant2, 0b0100: variant3,
		0b0011: mixed, 0b0110: mixed,
		0b1000: open, 0b1001: open, // what nobody's port answers met no policy
	} {
		if got := stateOf(answered); got != want {
			t.Errorf("%04b: got %s, want %s", answered, got, want)
		}
	}
}

// TestSequence has the judge see bursts while two policies may be in force.
func TestSequence(t *testing.T) {
	tests := []struct {
		name string
		seen []state
		want []promise
	}{
		{"a change", []state{variant1, variant1, variant2, variant2}, nil},
		{"a burst that meets the change", []state{variant1, mixed, variant2, variant2}, nil},
		{"a burst that meets the change back", []state{variant2, closed, variant1, variant1}, nil},
		{"neither, between two of the same", []state{variant1, closed, variant1, variant1}, []promise{lockedOut}},
		{"both, for longer", []state{variant1, mixed, mixed, variant2}, []promise{halfApplied, halfApplied}},
		{"locked out", []state{variant1, closed, closed, closed, variant1}, []promise{lockedOut, lockedOut, lockedOut}},
		{"out of turn", []state{variant1, mixed, variant1, variant1, variant2}, nil},
		{"out of turn for long", []state{variant1, mixed, variant1, variant1, variant1, variant1, variant1, variant1, variant2}, []promise{halfApplied}},
		{"a third one", []state{variant1, variant3, variant1}, []promise{wrongPolicy}},
		{"nothing filters, for one packet", []state{variant1, open, variant2}, []promise{wrongPolicy}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, judged(set(variant1, variant2), tt.seen)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// judged is what a judge says of bursts.
func judged(may states, seen []state) (got []promise) {
	j := &judge{report: func(v violation) { got = append(got, v.Promise) }}
	j.only(may)
	s := sequence{judge: j}
	at := time.Now()
	for _, b := range append(seen, slices.Repeat([]state{seen[len(seen)-1]}, 10)...) {
		s.add(burst{first: at, last: at, state: b, lag: underWay})
		at = at.Add(beat)
	}
	return got
}

// TestPutBack has the judge see what lets nobody in being replaced by a policy.
func TestPutBack(t *testing.T) {
	may := set(closed, variant2)
	if got := judged(may, []state{closed, closed, open, variant2}); got != nil {
		t.Errorf("the instant of the change: %v", got)
	}
	for _, seen := range [][]state{{closed, open, open, variant2}, {closed, open, closed}, {variant2, open, variant2}} {
		if got := judged(may, seen); !slices.Contains(got, wrongPolicy) {
			t.Errorf("%v: %v", seen, got)
		}
	}
}

func TestPermitsEnd(t *testing.T) {
	j := &judge{}
	before := time.Now()
	j.only(set(closed))
	middle := time.Now()
	j.only(set(variant1))
	j.also(set(variant2), time.Now().Add(time.Minute))
	now := time.Now()
	for _, tt := range []struct {
		from, to time.Time
		want     states
	}{
		{before.Add(-time.Second), before.Add(-time.Second), 0},
		{middle, middle, set(closed)},
		{now, now, set(variant1, variant2)},
		{before, now, set(closed, variant1, variant2)},
		{now.Add(time.Hour), now.Add(time.Hour), set(variant1)},
	} {
		if got := j.permitted(tt.from, tt.to); got != tt.want {
			t.Errorf("from %s to %s: %s, want %s", tt.from.Sub(now), tt.to.Sub(now), got, tt.want)
		}
	}
}

// TestLivesAreDecided shows that the same numbers give the same life, and that all lives
// together meet every kind of fault.
func TestLivesAreDecided(t *testing.T) {
	met := map[string]bool{faultReboot: true, faultDamage: true, faultPower: true, faultClock: true} // steps of their own
	for n := range uint64(40) {
		life := newLife(5, n, 14, "")
		if diff := cmp.Diff(life, newLife(5, n, 14, ""), cmp.AllowUnexported(step{}, fault{})); diff != "" {
			t.Fatal(diff)
		}
		for _, s := range life {
			for _, f := range s.faults {
				met[f.kind] = true
			}
		}
	}
	for _, name := range faultNames() {
		if !met[name] {
			t.Errorf("no life meets %q", name)
		}
	}
}
