package main

import (
	"context"
	"fmt"
	"time"
)

func idleRows() []row {
	return []row{
		{ID: "idle.cpu", What: "idle daemon: CPU time in 10 s", Unit: milliseconds},
		{ID: "idle.memory", What: "  … memory", Unit: megabytes},
	}
}

// measureIdle leaves a daemon alone that has a policy in force.
func measureIdle(ctx context.Context, b *bench) error {
	daemon, err := b.guard(ctx)
	if err != nil {
		return err
	}
	defer daemon.kill()
	time.Sleep(b.size.idle / 10) // what the last command left to do
	before, err := daemon.cpu()
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.size.idle):
	}
	after, err := daemon.cpu()
	if err != nil {
		return err
	}
	mem, err := daemon.memory()
	if err != nil {
		return err
	}
	b.find("idle.cpu", finding{Measured: ms(after - before)})
	b.find("idle.memory", finding{Measured: mem.now, Note: fmt.Sprintf("at most %.0f MB so far", mem.peak)})
	return nil
}
