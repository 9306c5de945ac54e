package detect

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"moonlatch/engine/packet"
)

// model is the plain meaning of a detector, for one key.
type model struct {
	spec   Spec
	events []modelEvent
	newest time.Time
}

type modelEvent struct {
	at     time.Time
	weight int64
	what   string // what of it is told apart
	port   uint16
	addr   netip.Addr
}

// eventOf reads what spec counts.
func eventOf(spec Spec, p *packet.Packet) modelEvent {
	e := modelEvent{at: p.Time, weight: 1, port: p.Dport}
	switch spec.Count {
	case Bytes:
		e.weight = int64(p.Length)
	case DistinctDport:
		e.what = fmt.Sprint(p.Dport)
	case DistinctDst:
		e.addr = p.Dst
		e.what = e.addr.String()
	case DistinctSrc:
		e.addr = sourceOf(p.Src, 0, 0).Masked().Addr()
		e.what = e.addr.String()
	}
	return e
}

// sourceOf returns a with the prefix length that counts.
func sourceOf(a netip.Addr, bits4, bits6 int) netip.Prefix {
	if bits4 == 0 {
		bits4 = 32
	}
	if bits6 == 0 {
		bits6 = 64
	}
	if a.Is4() {
		return netip.PrefixFrom(a, bits4)
	}
	return netip.PrefixFrom(a, bits6)
}

// keyOf names the key of a packet as Hit.Key does.
func keyOf(spec Spec, p *packet.Packet) string {
	src := sourceOf(p.Src, spec.Bits4, spec.Bits6).Masked().String()
	if single := sourceOf(p.Src, spec.Bits4, spec.Bits6); single.IsSingleIP() {
		src = p.Src.String()
	}
	switch spec.Per {
	case Dst:
		return p.Dst.String()
	case SrcDport:
		return fmt.Sprintf("%s to port %d", src, p.Dport)
	case SrcDst:
		return fmt.Sprintf("%s to %s", src, p.Dst)
	}
	return src
}

// note adds an event.
func (m *model) note(p *packet.Packet) {
	if len(m.events) > 0 && m.newest.Sub(p.Time) > min(m.spec.Within/10, time.Second) {
		m.reset()
	}
	m.events = append(m.events, eventOf(m.spec, p))
	if p.Time.After(m.newest) {
		m.newest = p.Time
	}
}

// observe is exact.
func (m *model) observe(p *packet.Packet) *Hit {
	m.note(p)
	in := m.counted(m.spec.Within)
	count := total(in)
	if count <= m.spec.Over {
		return nil
	}
	m.reset()
	return m.hit(p, in, count)
}

func (m *model) reset() { m.events, m.newest = nil, time.Time{} }

func total(events []modelEvent) (sum int64) {
	for _, e := range events {
		sum += e.weight
	}
	return sum
}

func (m *model) hit(p *packet.Packet, in []modelEvent, count int64) *Hit {
	hit := &Hit{Detector: m.spec.Name, First: in[0].at, Last: in[len(in)-1].at, Count: count, Of: m.spec.Count, Per: m.spec.Per}
	if m.spec.Per != Dst {
		hit.Src = sourceOf(p.Src, m.spec.Bits4, m.spec.Bits6)
	}
	switch m.spec.Per {
	case Dst, SrcDst:
		hit.Dst = p.Dst
	case SrcDport:
		hit.Dport = p.Dport
	}
	hit.Ports = []uint16{p.Dport}
	switch m.spec.Count {
	case DistinctDport:
		hit.Ports = nil
		for _, e := range in {
			hit.Ports = append(hit.Ports, e.port)
		}
		slices.Sort(hit.Ports)
	case DistinctDst, DistinctSrc:
		for _, e := range in {
			hit.Addrs = append(hit.Addrs, e.addr)
		}
		slices.SortFunc(hit.Addrs, netip.Addr.Compare)
	}
	return hit
}

// counted returns the events in a window, oldest first.
func (m *model) counted(within time.Duration) []modelEvent {
	var in []modelEvent
	for _, e := range m.events {
		if m.newest.Sub(e.at) < within {
			in = append(in, e)
		}
	}
	if m.spec.Count.distinct() {
		in = latestOfEach(in)
	}
	slices.SortStableFunc(in, func(a, b modelEvent) int { return a.at.Compare(b.at) })
	return in
}

// latestOfEach keeps the latest of the events that are alike.
func latestOfEach(events []modelEvent) []modelEvent {
	latest := map[string]modelEvent{}
	for _, e := range events {
		if had, ok := latest[e.what]; !ok || e.at.After(had.at) {
			latest[e.what] = e
		}
	}
	var out []modelEvent
	for _, e := range latest {
		out = append(out, e)
	}
	return out
}

// combination is a count and a key that make sense together.
type combination struct {
	count        Count
	per          Key
	bits4, bits6 int
}

func (c combination) spec() Spec {
	return Spec{Name: "d", Count: c.count, Per: c.per, Bits4: c.bits4, Bits6: c.bits6, Over: 10, Within: time.Minute}
}

func (c combination) String() string {
	return fmt.Sprintf("%s per %s/%d/%d", c.count, c.per, c.bits4, c.bits6)
}

// combinations lists all that Validate accepts.
func combinations() []combination {
	var out []combination
	for _, count := range counts() {
		for _, per := range []Key{Src, Dst, SrcDport, SrcDst} {
			for _, bits := range [][2]int{{0, 0}, {24, 0}, {0, 48}, {0, 128}, {17, 61}} {
				c := combination{count, per, bits[0], bits[1]}
				if c.spec().Validate() == nil {
					out = append(out, c)
				}
			}
		}
	}
	return out
}

// stream is a random sequence of packets. Times lie on a coarse grid, so that
// window edges, ties, late packets and clocks set back all abound.
type stream struct {
	*rand.Rand
	within time.Duration
	now    time.Duration
}

func (s *stream) next() *packet.Packet {
	s.now += time.Duration(s.IntN(6)) * s.within / 20
	switch s.IntN(40) {
	case 0, 1, 2, 3:
		s.now -= s.within / 10 // just not too late
	case 4:
		s.now -= s.within / 5
	case 5:
		s.now += s.within
	}
	sources := []string{"192.0.2.1", "192.0.2.2", "192.0.129.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "2001:db8:0:8::1"}
	destinations := []string{"198.51.100.1", "198.51.100.2", "198.51.100.3"}
	src := sources[s.IntN(len(sources))]
	if netip.MustParseAddr(src).Is6() {
		destinations = []string{"2001:db8:f::1", "2001:db8:f::2", "2001:db8:f:1::1"}
	}
	p := probe(src, s.now, uint16(s.IntN(4)*256+s.IntN(3)))
	p.Dst = netip.MustParseAddr(destinations[s.IntN(len(destinations))])
	p.Length = 40 + s.IntN(1400)
	return p
}

// TestExact compares every count and key with the model.
func TestExact(t *testing.T) {
	for _, c := range combinations() {
		t.Run(c.String(), func(t *testing.T) {
			hits := 0
			for seed := range uint64(3) {
				r := rand.New(rand.NewPCG(seed, 1))
				spec := c.spec()
				spec.Within = time.Duration(1+r.IntN(200)) * 100 * time.Millisecond
				spec.Track = 4096 // many times as many as there are keys: nobody is evicted
				if c.count == Bytes {
					spec.Over = int64(r.IntN(8000))
					hits += compareParts(t, spec, r)
					continue
				}
				spec.Over = int64(r.IntN(8))
				if c.count.distinct() {
					spec.Over = int64(r.IntN(3))
				}
				hits += compareExactly(t, spec, r)
			}
			if hits == 0 {
				t.Error("no hit: the streams try nothing")
			}
		})
	}
}

func modelOf(models map[string]*model, spec Spec, p *packet.Packet) *model {
	k := keyOf(spec, p)
	if models[k] == nil {
		models[k] = &model{spec: spec}
	}
	return models[k]
}

func compareExactly(t *testing.T, spec Spec, r *rand.Rand) (hits int) {
	d, models := newDetector(t, spec), map[string]*model{}
	packets := stream{Rand: r, within: spec.Within}
	for range 2000 {
		p := packets.next()
		got, want := d.Observe(p), modelOf(models, spec, p).observe(p)
		if got == nil && want == nil {
			continue
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
			t.Fatalf("%+v at %s (-model +detector):\n%s", spec, packets.now, diff)
		}
		if k := keyOf(spec, p); got.Key() != k {
			t.Fatalf("key %q, want %q", got.Key(), k)
		}
		hits++
	}
	return hits
}

// compareParts holds a detector whose window has parts to what it promises: a
// hit is never early, and comes at once when 63/64 of the window are enough.
func compareParts(t *testing.T, spec Spec, r *rand.Rand) (hits int) {
	d, models := newDetector(t, spec), map[string]*model{}
	packets := stream{Rand: r, within: spec.Within}
	for range 2000 {
		p := packets.next()
		hits += comparePart(t, d, modelOf(models, spec, p), p)
	}
	return hits
}

func comparePart(t *testing.T, d *Detector, m *model, p *packet.Packet) (hits int) {
	t.Helper()
	hit := d.Observe(p)
	m.note(p)
	most, first := m.sum(m.spec.Within)
	least, _ := m.sum(m.spec.Within - m.spec.Within/Parts)
	if hit == nil {
		if least > m.spec.Over {
			t.Fatalf("%+v at %s: no hit, with %d in 63/64 of the window", m.spec, p.Time.Sub(start), least)
		}
		return 0
	}
	if hit.Count <= m.spec.Over || hit.Count > most || hit.Count < least || hit.First.Before(first) || !hit.Last.Equal(m.newest) {
		t.Fatalf("%+v at %s: %+v, with %d from %s in the window", m.spec, p.Time.Sub(start), hit, most, first)
	}
	m.reset()
	return 1
}

// sum adds up the events in a window, and tells the time of the first.
func (m *model) sum(within time.Duration) (sum int64, first time.Time) {
	first = m.newest
	for i := range m.events {
		if e := &m.events[i]; m.newest.Sub(e.at) < within {
			sum += e.weight
			if e.at.Before(first) {
				first = e.at
			}
		}
	}
	return sum, first
}

// TestPartEdges is about how long the events of one part count. The window has
// parts of 100 ms, and the start is where one begins.
func TestPartEdges(t *testing.T) {
	const within = 6400 * time.Millisecond
	for _, tt := range []struct {
		name string
		at   []time.Duration
		want bool
	}{
		{"all in the window", []time.Duration{0, 99, 6399}, true},
		{"the first left, and its part with it", []time.Duration{0, 99, 6400}, false},
		{"the first of its part came late", []time.Duration{50, 10, 6410}, false},
		{"the first left, but not the next part", []time.Duration{0, 100, 199, 6499}, true},
		{"63/64 of the window are enough", []time.Duration{1, 101, 199, 6498}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDetector(t, Spec{Count: Bytes, Over: 300, Within: within})
			var hit *Hit
			for i, at := range tt.at {
				p := probe("192.0.2.1", at*time.Millisecond, 80)
				if p.Length = 100; i == len(tt.at)-1 {
					p.Length = 150
				}
				hit = d.Observe(p)
			}
			if (hit != nil) != tt.want {
				t.Errorf("hit = %+v, want one: %t", hit, tt.want)
			}
		})
	}
}

// TestPartsAtRandom is about many events in each part.
func TestPartsAtRandom(t *testing.T) {
	for _, count := range []Count{Events, Bytes} {
		t.Run(count.String(), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			spec := Spec{Name: "d", Count: count, Over: MaxExact + 1, Within: 1234567 * time.Microsecond}
			step := 500
			if count == Bytes {
				spec.Over, step = 200_000, 8000
			}
			d, m := newDetector(t, spec), &model{spec: spec}
			now, hits := time.Duration(0), 0
			for range 6000 {
				now += time.Duration(r.IntN(step)) * time.Microsecond
				p := probe("192.0.2.1", now-time.Duration(r.IntN(2)*r.IntN(120))*time.Millisecond, 80)
				p.Length = 40 + r.IntN(1400)
				hits += comparePart(t, d, m, p)
				m.forget()
			}
			if hits == 0 {
				t.Errorf("%d hits: the stream tries nothing", hits)
			}
		})
	}
}

// forget drops what can never count again, now and then.
func (m *model) forget() {
	if len(m.events)%512 == 0 {
		m.events = slices.DeleteFunc(m.events, func(e modelEvent) bool { return m.newest.Sub(e.at) > m.spec.Within })
	}
}
