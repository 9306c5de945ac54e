package detect

import (
	"testing"
	"time"
)

func TestSpecErrors(t *testing.T) {
	for _, tt := range []struct {
		spec Spec
		want string
	}{
		{Spec{Count: Events, Over: 1, Within: 1}, `detector: name = "": must not be empty`},
		{Spec{Name: "x", Over: 1, Within: 1}, `detector "x": count = 0: must be 1 (events) or 2 (distinct dport)`},
		{Spec{Name: "x", Count: Events, Over: -1, Within: 1}, `detector "x": over = -1: must be from 0 to 4096, the most that is counted exactly`},
		{Spec{Name: "x", Count: Events, Over: 4097, Within: 1}, `detector "x": over = 4097: must be from 0 to 4096, the most that is counted exactly`},
		{Spec{Name: "x", Count: Events, Over: 1}, `detector "x": within = 0s: must be more than 0s and at most 720h0m0s`},
		{Spec{Name: "x", Count: Events, Over: 1, Within: 721 * time.Hour}, `detector "x": within = 721h0m0s: must be more than 0s and at most 720h0m0s`},
		{Spec{Name: "x", Count: Events, Over: 1, Within: 1, Track: -1}, `detector "x": track = -1: must be 0 (the default, 65536) or more`},
		{Spec{Name: "x", Count: DistinctDport, Over: 4096, Within: 1, Track: 65536}, `detector "x": track = 65536: must be at most 1304 with over = 4096, to fit into 64 MiB`},
	} {
		_, err := New(tt.spec)
		if err == nil || err.Error() != tt.want {
			t.Errorf("New(%+v)\n got %v\nwant %s", tt.spec, err, tt.want)
		}
	}
}

// TestMemoryCeiling: whatever is accepted fits, the default included.
func TestMemoryCeiling(t *testing.T) {
	for _, count := range []Count{Events, DistinctDport} {
		for _, over := range []int{0, 10, 100, 1000, MaxOver} {
			spec := Spec{Name: "x", Count: count, Over: over, Within: time.Minute}
			d := newDetector(t, spec)
			bytes := 32*len(d.table.heads) + 8*len(d.table.times) + len(d.table.ports)
			if bytes > MaxMemory {
				t.Errorf("%s over %d: %d bytes for %d sources", count, over, bytes, len(d.table.heads))
			}
			if len(d.table.heads) < 1000 {
				t.Errorf("%s over %d: only %d sources", count, over, len(d.table.heads))
			}
		}
	}
}

func TestParseCount(t *testing.T) {
	for _, c := range []Count{Events, DistinctDport} {
		if got, err := ParseCount(c.String()); got != c || err != nil {
			t.Errorf("ParseCount(%q) = %v, %v", c, got, err)
		}
	}
	want := `count = "distinct ports": must be "events" or "distinct dport"`
	if _, err := ParseCount("distinct ports"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
