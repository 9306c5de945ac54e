package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"moonlatch/engine/nft"
)

func scanRows() []row {
	const anchor = "a bare loop that counts and bans"
	rows := []row{
		{ID: "scan.p50", What: "scan at 1,000 probes/s: packet → banned, p50", Unit: milliseconds, Anchor: anchor, Max: most(1)},
		{ID: "scan.p99", What: "  … p99", Unit: milliseconds, Anchor: anchor, Max: most(5)},
		{ID: "scan.max", What: "  … at most", Unit: milliseconds, Anchor: anchor},
		{ID: "scan.through", What: "  … probes that got through after that packet", Unit: count, Anchor: anchor},
	}
	for _, rate := range []string{"500", "5,000"} {
		id := "scan." + strings.ReplaceAll(rate, ",", "")
		rows = append(rows,
			row{ID: id + ".p50", What: "scan at " + rate + " probes/s: p50", Unit: milliseconds, Anchor: anchor},
			row{ID: id + ".p99", What: "  … p99", Unit: milliseconds, Anchor: anchor},
			row{ID: id + ".max", What: "  … at most", Unit: milliseconds, Anchor: anchor},
			row{ID: id + ".through", What: "  … probes that got through after that packet", Unit: count, Anchor: anchor})
	}
	return rows
}

// deciding is which different port of a source decides, by web.lua.
const deciding = 11

// scanFor is how long each source scans: by then it should have been banned for long.
const scanFor = 60 * time.Millisecond

// measureScan lets one source after another scan the server's ports. The bare loop
// and the daemon get them in turns.
func measureScan(ctx context.Context, b *bench) error {
	s := &scans{next: 10<<24 | 1<<20} // even: the daemon's turn
	var err error
	if s.wire, err = newWire(); err != nil {
		return err
	}
	defer s.wire.close()
	daemon, err := b.guard(ctx)
	if err != nil {
		return err
	}
	defer daemon.kill()
	if s.bare, err = newBareBanner(ctx); err != nil {
		return err
	}
	defer s.bare.close()
	if s.witness, err = newWitness(ctx); err != nil {
		return err
	}
	defer s.witness.close()
	for _, at := range []struct {
		id      string
		rate    float64
		sources int
	}{{"scan", 1000, b.size.sources}, {"scan.500", 500, b.size.sources / 3}, {"scan.5000", 5000, b.size.sources / 3}} {
		took, through, err := s.at(ctx, at.rate, at.sources)
		if err != nil {
			return fmt.Errorf("at %.0f probes/s: %w", at.rate, err)
		}
		for name, q := range map[string]float64{"p50": 0.5, "p99": 0.99, "max": 1} {
			b.find(at.id+"."+name, took.at(q))
		}
		f := through.at(0.5)
		f.Note = fmt.Sprintf("%d sources; at most %.0f, bare %.0f", f.Samples, quantile(through.ours, 1), quantile(through.anchor, 1))
		b.find(at.id+".through", f)
	}
	return nil
}

// scans are scans by ever new sources.
type scans struct {
	wire    *wire
	witness *witness
	bare    *bareBanner
	next    uint32
	last    metrics
}

// at scans at a rate. It returns how many milliseconds it took from the kernel's
// timestamp of the deciding packet to the kernel's acknowledgement of the ban, and
// how many probes came past the bans after that packet.
func (s *scans) at(ctx context.Context, rate float64, sources int) (took, through pair, err error) {
	if s.last, err = readMetrics(ctx); err != nil {
		return took, through, err
	}
	for range sources {
		ours, past, err := s.one(ctx, rate, s.daemonTook)
		if err != nil {
			return took, through, err
		}
		anchor, anchorPast, err := s.one(ctx, rate, s.bareTook)
		if err != nil {
			return took, through, err
		}
		took.add(ms(ours), ms(anchor))
		through.add(past, anchorPast)
	}
	return took, through, nil
}

// one lets the next source scan.
func (s *scans) one(ctx context.Context, rate float64, wait func(context.Context) (time.Duration, error)) (took time.Duration, through float64, err error) {
	before, err := s.witness.passed()
	if err != nil {
		return 0, 0, err
	}
	source := s.next
	s.next++
	err = paced(int(rate*scanFor.Seconds()), rate, func(i int) error { return s.wire.syn(source, uint16(10_000+i)) })
	if err != nil {
		return 0, 0, err
	}
	if took, err = wait(ctx); err != nil {
		return 0, 0, err
	}
	after, err := s.witness.passed()
	return took, float64(after-before) - deciding, err
}

func (s *scans) daemonTook(ctx context.Context) (time.Duration, error) {
	next, err := awaitBan(ctx, s.last)
	if err != nil {
		return 0, err
	}
	defer func() { s.last = next }()
	return banTime(s.last, next), nil
}

func (s *scans) bareTook(ctx context.Context) (time.Duration, error) {
	select {
	case took := <-s.bare.took:
		return took, nil
	case err := <-s.bare.failed:
		return 0, fmt.Errorf("the bare loop: %w", err)
	case <-ctx.Done():
		return 0, fmt.Errorf("the bare loop banned nobody: %w", ctx.Err())
	}
}

// awaitBan waits until the daemon has told of one more ban.
func awaitBan(ctx context.Context, before metrics) (metrics, error) {
	had, _ := before.banLatency()
	for {
		m, err := readMetrics(ctx)
		if err != nil {
			return nil, err
		}
		if has, _ := m.banLatency(); has > had {
			return m, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("nobody was banned: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// banTime is how long a ban between two readings of the metrics took, in the mean if there were several.
func banTime(before, after metrics) time.Duration {
	had, then := before.banLatency()
	has, now := after.banLatency()
	return (now - then) / time.Duration(has-had)
}

// witness counts what comes past the bans, independently of Moonlatch.
type witness struct{ nft *nft.Client }

// Moonlatch's bans are at the priority raw - 10.
const witnessTable = `table inet witness {
	counter passed { }
	chain passed { type filter hook prerouting priority raw - 9; ip saddr 10.0.0.0/8 tcp flags syn counter name passed; }
}
`

func newWitness(ctx context.Context) (*witness, error) {
	c, err := nft.Open(nft.Config{})
	if err != nil {
		return nil, err
	}
	if err := c.Run(ctx, []byte(witnessTable)); err != nil {
		c.Close()
		return nil, err
	}
	return &witness{c}, nil
}

func (w *witness) close() { w.nft.Close() }

func (w *witness) passed() (uint64, error) {
	all, err := w.nft.Counters(nft.Table{Family: nft.Inet, Name: "witness"})
	if err != nil || len(all) != 1 {
		return 0, fmt.Errorf("the witness's counter: %d, %w", len(all), err)
	}
	return all[0].Packets, nil
}
