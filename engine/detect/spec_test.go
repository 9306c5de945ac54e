package detect

import (
	"strings"
	"testing"
	"time"
)

func TestSpecErrors(t *testing.T) {
	ok := Spec{Name: "x", Count: Events, Over: 1, Within: time.Minute}
	for _, tt := range []struct {
		change func(*Spec)
		want   string
	}{
		{func(s *Spec) { s.Name = "" }, `detector: name = "": must not be empty`},
		{func(s *Spec) { s.Count = 0 }, `detector "x": count = 0: must be from 1 (events) to 5 (distinct src)`},
		{func(s *Spec) { s.Over = -1 }, `detector "x": over = -1: must be from 0 to 1099511627776`},
		{func(s *Spec) { s.Over = MaxOver + 1 }, `detector "x": over = 1099511627777: must be from 0 to 1099511627776`},
		{func(s *Spec) { s.Count, s.Over = DistinctDst, MaxExact+1 }, `detector "x": over = 4097: must be from 0 to 4096 with count = "distinct dst"`},
		{func(s *Spec) { s.Within = 0 }, `detector "x": within = 0s: must be more than 0s and at most 720h0m0s`},
		{func(s *Spec) { s.Within = 721 * time.Hour }, `detector "x": within = 721h0m0s: must be more than 0s and at most 720h0m0s`},
		{func(s *Spec) { s.Track = -1 }, `detector "x": track = -1: must be 0 (the default, 65536) or more`},
		{func(s *Spec) { s.Count, s.Over, s.Track = DistinctDport, MaxExact, 65536 }, `detector "x": track = 65536: must be at most 904 with count = "distinct dport" and over = 4096, to fit into 64 MiB`},
		{func(s *Spec) { s.Per = 9 }, `detector "x": per = 9: must be from 0 to 3`},
		{func(s *Spec) { s.Per, s.Bits4 = Dst, 24 }, `detector "x": per = "dst": has no source whose prefix length could be /24`},
		{func(s *Spec) { s.Bits4 = 7 }, `detector "x": prefix length of IPv4 sources = 7: must be from 8 to 32`},
		{func(s *Spec) { s.Bits6 = 129 }, `detector "x": prefix length of IPv6 sources = 129: must be from 16 to 128`},
		{func(s *Spec) { s.Count, s.Per = DistinctDport, SrcDport }, `detector "x": count = "distinct dport": is always 1 with per = { "src", "dport" }; use per = "src"`},
		{func(s *Spec) { s.Count, s.Per = DistinctDst, Dst }, `detector "x": count = "distinct dst": is always 1 with per = "dst"; use per = "src" or { "src", "dport" }`},
		{func(s *Spec) { s.Count, s.Per = DistinctDst, SrcDst }, `detector "x": count = "distinct dst": is always 1 with per = { "src", "dst" }; use per = "src" or { "src", "dport" }`},
		{func(s *Spec) { s.Count = DistinctSrc }, `detector "x": count = "distinct src": is always 1 with per = "src"; use per = "dst", or a shorter prefix such as "src/24"`},
		{func(s *Spec) { s.Count, s.Bits6 = DistinctSrc, 128 }, `detector "x": count = "distinct src": is always 1 with per = "src"; use per = "dst", or a shorter prefix such as "src/24"`},
	} {
		spec := ok
		tt.change(&spec)
		if err := spec.Validate(); err == nil || err.Error() != tt.want {
			t.Errorf("%+v\n got %v\nwant %s", spec, err, tt.want)
		}
		if _, err := New(spec); err == nil {
			t.Errorf("New(%+v) does not refuse it", spec)
		}
	}
}

// TestMemoryCeiling: whatever is accepted fits, the default included.
func TestMemoryCeiling(t *testing.T) {
	for _, c := range combinations() {
		if c.bits4 != 0 && c.count != DistinctSrc {
			continue // takes what the default does
		}
		for _, over := range []int64{0, 10, 100, 1000, MaxExact, MaxOver} {
			spec := c.spec()
			if spec.Over = over; spec.Validate() != nil {
				continue
			}
			d := newDetector(t, spec)
			keys := d.Stats().Capacity
			if bytes := memoryOf(d); bytes > MaxMemory || bytes != keys*spec.bytesPerKey() {
				t.Errorf("%s over %d: %d bytes for %d keys of %d", c, over, bytes, keys, spec.bytesPerKey())
			}
			if keys < 400 {
				t.Errorf("%s over %d: only %d keys", c, over, keys)
			}
		}
	}
}

// memoryOf adds up what a detector holds.
func memoryOf(d *Detector) int {
	n := 16*len(d.table.twos) + 40*len(d.table.heads)
	if d.sums != nil {
		n += 8*len(d.sums.oldest) + 8*len(d.sums.totals)
	}
	if d.distinct != nil {
		n += 16*len(d.distinct.links) + len(d.distinct.tags) + 16*len(d.distinct.values)
	}
	return n
}

func TestParseCount(t *testing.T) {
	for _, c := range counts() {
		if got, err := ParseCount(c.String()); got != c || err != nil {
			t.Errorf("ParseCount(%q) = %v, %v", c, got, err)
		}
	}
	want := `count = "distinct ports": must be "events", "bytes", "distinct dport", "distinct dst", "distinct src"`
	if _, err := ParseCount("distinct ports"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestParseKey(t *testing.T) {
	for _, tt := range []struct {
		words        string
		key          Key
		bits4, bits6 int
	}{
		{"src", Src, 0, 0}, {"dst", Dst, 0, 0}, {"src dport", SrcDport, 0, 0}, {"dport src", SrcDport, 0, 0}, {"src dst", SrcDst, 0, 0},
		{"src/8", Src, 8, 0}, {"src/24", Src, 24, 0}, {"src/32", Src, 32, 0}, {"src/33", Src, 0, 33}, {"src/64", Src, 0, 64}, {"src/128", Src, 0, 128},
		{"src/24 dport", SrcDport, 24, 0}, {"dst src/48", SrcDst, 0, 48},
	} {
		k, bits4, bits6, err := ParseKey(strings.Fields(tt.words)...)
		if err != nil || k != tt.key || bits4 != tt.bits4 || bits6 != tt.bits6 {
			t.Errorf("ParseKey(%s) = %v, %d, %d, %v", tt.words, k, bits4, bits6, err)
		}
	}
	const allowed = `: must be "src", "dst", { "src", "dport" } or { "src", "dst" }, and "src/24" or "src/48" may stand for "src"`
	const lengths = ` is no prefix length from 8 to 32 for IPv4, or from 33 to 128 for IPv6`
	for words, want := range map[string]string{
		"":              `{}` + allowed,
		"sport":         `"sport"` + allowed,
		"dport":         `"dport"` + allowed,
		"src src":       `"src", "src"` + allowed,
		"dst dport":     `"dst", "dport"` + allowed,
		"src dst dport": `"src", "dst", "dport"` + allowed,
		"dst/24":        `"dst/24"` + allowed,
		"src/":          `"src/": ""` + lengths,
		"src/7":         `"src/7": "7"` + lengths,
		"src/129":       `"src/129": "129"` + lengths,
		"src/024":       `"src/024": "024"` + lengths,
		"src/255.0 dst": `"src/255.0": "255.0"` + lengths,
	} {
		if _, _, _, err := ParseKey(strings.Fields(words)...); err == nil || err.Error() != want {
			t.Errorf("ParseKey(%s)\n got %v\nwant %s", words, err, want)
		}
	}
}

func TestBlames(t *testing.T) {
	for _, c := range combinations() {
		want := c.per != Dst && c.count != DistinctSrc
		if got := c.spec().Blames(); got != want {
			t.Errorf("%s: %t", c, got)
		}
	}
}
