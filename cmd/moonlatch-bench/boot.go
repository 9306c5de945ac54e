package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"moonlatch/engine/nft"
	"moonlatch/engine/store"
)

// fewBans is how many a busy host has.
const fewBans = 38_000

func bootRows() []row {
	return []row{
		{ID: "boot.restore", What: "moonlatch restore with 1,000,000 bans on record", Unit: seconds, Anchor: "a bare netlink load of the same elements", MaxRatio: 1.3},
		{ID: "boot.memory", What: "  … peak memory of it", Unit: megabytes, Max: most(200)},
		{ID: "boot.few", What: "  … with 38,000", Unit: seconds, Anchor: "the same of 38,000"},
		{ID: "boot.written", What: "bans put on record", Unit: perSecond},
	}
}

// measureBoot puts bans on record and has the command put them into an empty kernel.
func measureBoot(ctx context.Context, b *bench) error {
	few, err := b.boot(ctx, "few", min(fewBans, b.size.bans))
	if err != nil {
		return err
	}
	many, err := b.boot(ctx, "many", b.size.bans)
	if err != nil {
		return err
	}
	b.find("boot.restore", finding{Measured: many.took, Anchor: many.bare, Note: fmt.Sprintf("%.1f s of processor time, and %.1f s", many.cpu, many.bareCPU)})
	b.find("boot.memory", finding{Measured: many.memory})
	b.find("boot.few", finding{Measured: few.took, Anchor: few.bare})
	b.find("boot.written", finding{Measured: many.rate})
	return nil
}

// booted is what a boot, and a bare load of the same elements, took: seconds, megabytes, bans a second.
type booted struct{ took, cpu, bare, bareCPU, memory, rate float64 }

func (b *bench) boot(ctx context.Context, name string, n int) (out booted, err error) {
	p, err := b.program(name, nil)
	if err != nil {
		return out, err
	}
	start := time.Now()
	if err := record(ctx, filepath.Join(p.folder, "state"), n); err != nil {
		return out, err
	}
	out.rate = float64(n) / time.Since(start).Seconds()
	if err := nftRun(ctx, "flush ruleset"); err != nil {
		return out, err
	}
	settle()
	start = time.Now()
	cmd := p.command(ctx, "restore")
	state, err := p.wait(cmd) // it fails for want of a generation, after the bans are back
	out.took = time.Since(start).Seconds()
	if state == nil && cmd.ProcessState != nil {
		state, err = cmd.ProcessState, nil
	}
	if err != nil {
		return out, err
	}
	out.cpu = (state.UserTime() + state.SystemTime()).Seconds()
	out.memory = float64(state.SysUsage().(*syscall.Rusage).Maxrss) / 1024
	c, err := nft.Open(nft.Config{})
	if err != nil {
		return out, err
	}
	defer c.Close()
	v4, _ := kinds()
	like, err := v4.restoredLike(c, n)
	if err != nil {
		return out, err
	}
	like.expires = like.timeout - time.Minute // like bans that had begun before
	settle()
	before, err := processTime(os.Getpid())
	if err != nil {
		return out, err
	}
	bare, err := loadElsewhere(ctx, like, n, bannedAddress)
	if err != nil {
		return out, err
	}
	after, err := processTime(os.Getpid())
	out.bare, out.bareCPU = bare.Seconds(), (after - before).Seconds()
	return out, err
}

// record puts n bans on record, as fast as they are written.
func record(ctx context.Context, dir string, n int) error {
	s, err := store.Open(ctx, store.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	v4, _ := kinds()
	since := time.Now()
	for i := range n {
		s.Keep(store.Ban{Target: v4.ban(i), Since: since, Until: since.Add(24 * time.Hour), Origin: "local", By: "portscan", Why: "11 ports in 10ms"})
		if i%(1<<14) == 0 { // less than what can wait
			if err := s.Flush(ctx); err != nil {
				return errors.Join(err, s.Close())
			}
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	if dropped := s.Stats().Dropped; dropped > 0 {
		return fmt.Errorf("%d bans did not get on record", dropped)
	}
	return nil
}
