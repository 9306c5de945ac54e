package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"moonlatch/engine/nft"
)

// soakName is the one measurement that is no part of a run: it takes as long as it is told.
const soakName = "soak"

func soakRows() []row {
	return []row{
		{ID: "soak.growth", What: "soak: growth of the daemon's memory", Unit: megabytes, Max: most(4)},
		{ID: "soak.memory", What: "  … peak", Unit: megabytes},
		{ID: "soak.goroutines", What: "  … growth in goroutines", Unit: count, Max: most(2)},
		{ID: "soak.files", What: "  … growth in open files", Unit: count, Max: most(2)},
		{ID: "soak.bans", What: "  … bans acknowledged but not in the kernel", Unit: count, Max: most(0)},
		{ID: "soak.lifted", What: "  … bans lifted but still in the kernel", Unit: count, Max: most(0)},
		{ID: "soak.scanners", What: "  … scanners not banned", Unit: count, Max: most(0)},
		{ID: "soak.uncounted", What: "  … packets neither received nor counted lost", Unit: count, Max: most(0)},
		{ID: "soak.lost", What: "  … packets lost, and counted", Unit: percent},
	}
}

// soakPolicy has some of everything that a policy does while packets come.
const soakPolicy = `
local fw = require "moonlatch"
local closed = fw.stream "closed"
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "loopback", iif = "lo", fw.accept }
input { "closed", flags = "syn", closed, fw.drop }
fw.detect "portscan" { on = closed, count = "distinct dport", over = 10, within = "60s", ban = "1h" }
fw.detect "busy" { on = closed, count = "bytes", per = "src/24", over = 1000000000, within = "10s", ban = "1h" }
local last, seen = {}, 0
fw.on(closed, { fields = { "src", "dport" } }, function(src, dport)
  last[src], seen = dport, seen + 1
  if seen % 10000 == 0 then last = {} end
end)
fw.on(closed, { tcp = "20000-20020" }, function(ev) -- some of the flood
  if not fw.banned(ev.src) then fw.ban(ev.src, "2s", "knocked at " .. ev.dport) end
end)
fw.every("1s", function() last = {} end)
`

// measureSoak loads a daemon with everything at once and watches it meanwhile:
// a flood of forged sources that comes and goes, with scanners in it, handlers
// that ban, bans and unbans by hand, and policies put on trial, confirmed and
// rolled back.
func measureSoak(ctx context.Context, b *bench) error {
	wire, err := newWire()
	if err != nil {
		return err
	}
	defer wire.close()
	daemon, err := b.program("soak", nil)
	if err != nil {
		return err
	}
	if err := daemon.start(ctx); err != nil {
		return err
	}
	defer daemon.kill()
	if err := daemon.confirm(ctx, "soak.lua", []byte(soakPolicy)); err != nil {
		return err
	}
	witness, err := newWitness(ctx)
	if err != nil {
		return err
	}
	defer witness.close()
	s := &soak{daemon: daemon, nft: witness.nft, flood: &flood{wire: wire, spoofed: uint32(b.size.spoofed)}}
	if err := s.run(ctx, b.size.soak); err != nil {
		return err
	}
	return s.tell(ctx, b, witness)
}

// soak is a daemon under load, and what was seen of it.
type soak struct {
	daemon *program
	nft    *nft.Client
	flood  *flood
	hand   byHand

	changes                  int // policies applied
	memory, goroutines, open []float64
}

// run does everything at once for a time.
func (s *soak) run(ctx context.Context, lasts time.Duration) error {
	loaded, stop := context.WithTimeout(ctx, lasts)
	defer stop()
	jobs := []func(context.Context) error{
		s.packets,
		s.scanners,
		func(ctx context.Context) error { return s.hand.run(ctx, s.daemon, s.nft) },
		func(ctx context.Context) error { return s.change(ctx, max(time.Second, lasts/40)) },
		s.watch,
	}
	ended := make(chan error, len(jobs))
	for _, job := range jobs {
		go func() {
			err := job(loaded)
			if loaded.Err() != nil {
				err = nil // it was interrupted, and nothing else
			}
			if err != nil {
				stop()
			}
			ended <- err
		}()
	}
	var err error
	for range jobs {
		err = errors.Join(err, <-ended)
	}
	return errors.Join(err, ctx.Err())
}

// packets floods, now more and now less, so that the kernel's batches grow and shrink.
func (s *soak) packets(ctx context.Context) error {
	for i := 0; ctx.Err() == nil; i++ {
		s.flood.rate = []float64{2000, 30_000, 3000, 100_000}[i%4]
		spell, stop := context.WithTimeout(ctx, 3*time.Second)
		err := s.flood.run(spell)
		stop()
		if err != nil {
			return err
		}
	}
	return nil
}

// scanners has one scanner a second, at most.
func (s *soak) scanners(ctx context.Context) error {
	for ; ctx.Err() == nil; pause(ctx, time.Second) {
		if err := s.flood.scanners(ctx, s.nft, 1); err != nil {
			return err
		}
	}
	return nil
}

// change puts one policy after another on trial. It confirms two, and rolls the third back.
func (s *soak) change(ctx context.Context, every time.Duration) error {
	for ctx.Err() == nil {
		s.changes++
		name := fmt.Sprintf("soak%d.lua", s.changes%4)
		if err := s.daemon.write(name, fmt.Appendf(nil, "%s-- change %d\n", soakPolicy, s.changes)); err != nil {
			return err
		}
		verdict := "confirm"
		if s.changes%3 == 0 {
			verdict = "rollback"
		}
		for _, args := range [][]string{{"apply", name}, {verdict}} {
			// Interrupted, a command would leave a trial behind.
			if err := s.daemon.run(context.WithoutCancel(ctx), args...); err != nil {
				return err
			}
		}
		pause(ctx, every)
	}
	return nil
}

// watch takes a sample each second.
func (s *soak) watch(ctx context.Context) error {
	for ; ctx.Err() == nil; pause(ctx, time.Second) {
		m, err := readMetrics(ctx)
		if err != nil {
			return err
		}
		mem, err := s.daemon.memory()
		if err != nil {
			return err
		}
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.daemon.daemon.Process.Pid))
		if err != nil {
			return err
		}
		s.memory = append(s.memory, mem.now)
		s.goroutines = append(s.goroutines, m.gauge("go_goroutines"))
		s.open = append(s.open, float64(len(open)))
	}
	return nil
}

// growth compares the last third of the samples with the second, by their
// medians: the first third is warming up, and a single sample depends on the garbage of
// that second.
func growth(samples []float64) float64 {
	n := len(samples)
	return median(samples[2*n/3:]) - median(samples[n/3:2*n/3])
}

// tell notes what was seen, when all has calmed down.
func (s *soak) tell(ctx context.Context, b *bench, w *witness) error {
	time.Sleep(300 * time.Millisecond)
	// What the kernel lost last is only told by the packet that comes after it.
	if err := s.flood.wire.syn(scannerBase-1, 10_000); err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond)
	use, err := s.daemon.usage(ctx)
	if err != nil {
		return err
	}
	logged, err := w.passed()
	if err != nil {
		return err
	}
	handlers := use.sum("bans_total", "") - use.sum("bans_total", "portscan") - use.sum("bans_total", "manual")
	lost := func(source string) float64 { return use.sum("nflog_lost_events_total", source) }
	received := use.sum("nflog_events_total", "")
	b.find("soak.growth", finding{Measured: growth(s.memory), Samples: len(s.memory),
		Note: fmt.Sprintf("median %.1f MB in the last third of %d samples", median(s.memory[2*len(s.memory)/3:]), len(s.memory))})
	b.find("soak.memory", finding{Measured: use.memory.peak, Note: fmt.Sprintf("%d policies applied; %.0f bans by handlers", s.changes, handlers)})
	b.find("soak.goroutines", finding{Measured: growth(s.goroutines), Note: fmt.Sprintf("median %.0f", median(s.goroutines))})
	b.find("soak.files", finding{Measured: growth(s.open), Note: fmt.Sprintf("median %.0f", median(s.open))})
	b.find("soak.uncounted", finding{Measured: float64(logged) - received - lost("kernel"), Note: fmt.Sprintf("of %d logged", logged)})
	b.find("soak.lost", finding{Measured: 100 * lost("kernel") / float64(logged),
		Note: fmt.Sprintf("%.0f for want of room in the kernel's buffer; %.0f undecoded, %.0f at the handlers' queue", lost("kernel"), lost("decode"), lost("queue"))})
	b.find("soak.scanners", finding{Measured: float64(s.flood.missed), Note: fmt.Sprintf("%d were; the slowest %.1f ms after its deciding packet", len(s.flood.took), quantile(s.flood.took, 1))})
	return s.hand.tell(b, s.nft)
}
