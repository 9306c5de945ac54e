package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"moonlatch/engine/nft"
)

func floodRows() []row {
	return []row{
		{ID: "flood.memory", What: "flood of 1,000,000 sources: daemon's peak memory", Unit: megabytes, Max: most(100)},
		{ID: "flood.ban", What: "  … a scanner in it: deciding packet → banned", Unit: milliseconds, Max: most(100)},
		{ID: "flood.whole", What: "  … its 11th probe sent → banned", Unit: milliseconds},
		{ID: "flood.logged", What: "  … packets logged", Unit: perSecond},
		{ID: "flood.received", What: "  … of them received by the daemon", Unit: percent},
		{ID: "flood.cpu", What: "  … daemon's CPU per event received", Unit: nanoseconds},
	}
}

const (
	floodRate    = 250_000.0
	floodBase    = 10<<24 | 1<<22
	scannerBase  = 10<<24 | 1<<21
	scannerEvery = 20 * time.Millisecond
	scannerLimit = 2 * time.Second
)

// measureFlood sends packets of ever new sources as fast as it can, and lets
// slow scanners hide among them, one at a time.
func measureFlood(ctx context.Context, b *bench) error {
	f := &flood{rate: floodRate, spoofed: uint32(b.size.spoofed)}
	var err error
	if f.wire, err = newWire(); err != nil {
		return err
	}
	defer f.wire.close()
	daemon, err := b.guard(ctx)
	if err != nil {
		return err
	}
	defer daemon.kill()
	witness, err := newWitness(ctx)
	if err != nil {
		return err
	}
	defer witness.close()
	before, err := daemon.usage(ctx)
	if err != nil {
		return err
	}
	if err := f.play(ctx, witness.nft, b.size.scanners, b.size.flood); err != nil {
		return err
	}
	time.Sleep(200 * time.Millisecond) // the daemon reads what is left
	after, err := daemon.usage(ctx)
	if err != nil {
		return err
	}
	logged, err := witness.passed()
	if err != nil {
		return err
	}
	f.tellScanners(b)
	return f.tellPackets(b, float64(logged), before, after)
}

// tellScanners notes how the scanners fared.
func (f *flood) tellScanners(b *bench) {
	if len(f.took) == 0 {
		return
	}
	note := fmt.Sprintf("the slowest of %d", len(f.took))
	if f.missed > 0 {
		note += fmt.Sprintf("; %d more were not banned within %s", f.missed, scannerLimit)
	}
	b.find("flood.ban", finding{Measured: quantile(f.took, 1), Samples: len(f.took), Note: note})
	note = fmt.Sprintf("median %.1f ms, a probe every %s", median(f.whole), scannerEvery)
	b.find("flood.whole", finding{Measured: quantile(f.whole, 1), Samples: len(f.whole), Note: note})
}

// tellPackets notes what became of the packets, of which so many were logged.
func (f *flood) tellPackets(b *bench, logged float64, before, after usage) error {
	grown := func(name, value string) float64 { return after.sum(name, value) - before.sum(name, value) }
	received := grown("nflog_events_total", "")
	if received == 0 {
		return errors.New("the daemon received nothing")
	}
	rate := finding{Measured: logged / f.lasted.Seconds()}
	if sent := float64(f.sent.Load()); sent > 1.01*logged {
		rate.Note = fmt.Sprintf("of %.0f sent; the others did not come as far as the rules", sent/f.lasted.Seconds())
	}
	b.find("flood.logged", rate)
	b.find("flood.received", finding{
		Measured: 100 * received / logged,
		Note: fmt.Sprintf("lost: %.0f for want of room in the kernel's buffer, %.0f undecoded, %.0f at the policy's queue",
			grown("nflog_lost_events_total", "kernel"), grown("nflog_lost_events_total", "decode"), grown("nflog_lost_events_total", "queue")),
	})
	cpu := (after.cpu - before.cpu).Seconds()
	b.find("flood.cpu", finding{Measured: 1e9 * cpu / received, Note: fmt.Sprintf("%.0f%% of a CPU", 100*cpu/f.lasted.Seconds())})
	b.find("flood.memory", finding{Measured: after.memory.peak})
	return nil
}

// flood is one sender of all packets: those of the spoofed sources and those of a scanner.
type flood struct {
	wire    *wire
	rate    float64 // packets per second, if the machine can
	spoofed uint32
	sent    atomic.Uint64
	scanner atomic.Uint32             // who scans now, 0 for nobody
	decided atomic.Pointer[time.Time] // when its deciding probe was sent

	lasted time.Duration
	scans  uint32    // scanners so far
	took   []float64 // milliseconds from the deciding packet that the daemon saw to the ban, of each scanner
	whole  []float64 // milliseconds since the packet that would have decided, had none been lost
	missed int       // scanners that were not banned
}

// play floods until n scanners were at it, and for no less than a time.
func (f *flood) play(ctx context.Context, c *nft.Client, n int, least time.Duration) error {
	flooding, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	start := time.Now()
	go func() { ended <- f.run(flooding) }()
	err := f.scanners(ctx, c, n)
	if left := least - time.Since(start); left > 0 && err == nil {
		time.Sleep(left)
	}
	stop()
	err = errors.Join(err, <-ended)
	f.lasted = time.Since(start)
	return err
}

// run floods until ctx ends.
func (f *flood) run(ctx context.Context) error {
	const burst = 32
	var at uint32
	var next time.Time
	var scanning uint32
	probes := 0
	// A year of it: ctx ends it.
	err := paced(1<<40, f.rate/burst, func(int) error {
		for range burst {
			at++
			source := floodBase + uint32(uint64(at)*7919%uint64(f.spoofed)) // every source once before any comes again
			if err := f.wire.syn(source, uint16(10_000+at%40_000)); err != nil {
				return err
			}
		}
		f.sent.Add(burst)
		if who := f.scanner.Load(); who != scanning {
			scanning, probes, next = who, 0, time.Now()
		}
		if now := time.Now(); scanning != 0 && !now.Before(next) {
			next = now.Add(scannerEvery)
			probes++
			if err := f.wire.syn(scanning, uint16(1000+probes)); err != nil {
				return err
			}
			f.sent.Add(1)
			if probes == deciding {
				f.decided.Store(&now)
			}
		}
		return ctx.Err()
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// scanners has one scanner after another scan until it is banned.
func (f *flood) scanners(ctx context.Context, c *nft.Client, n int) error {
	m, err := readMetrics(ctx)
	if err != nil {
		return err
	}
	for range n {
		f.decided.Store(nil)
		who := scannerBase + f.scans
		f.scans++
		f.scanner.Store(who)
		banned, ok, err := awaitElement(ctx, c, who)
		f.scanner.Store(0)
		if err != nil {
			return err
		}
		if !ok {
			f.missed++
			continue
		}
		next, err := awaitBan(ctx, m)
		if err != nil {
			return err
		}
		f.took = append(f.took, ms(banTime(m, next)))
		if at := f.decided.Load(); at != nil {
			f.whole = append(f.whole, ms(banned.Sub(*at)))
		}
		m = next
	}
	return nil
}

// awaitElement waits until the kernel holds a ban of the address.
func awaitElement(ctx context.Context, c *nft.Client, who uint32) (at time.Time, ok bool, err error) {
	for start := time.Now(); time.Since(start) < scannerLimit && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		ok, err = holds(c, addr4(who))
		if err != nil || ok {
			return time.Now(), ok, err
		}
	}
	return time.Time{}, false, ctx.Err()
}
