package engine

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"

	"moonlatch/engine/connection"
)

// cutter ends what is established with those whom a policy bans, away from what makes bans: it looks at all
// connections, and while it does so, others gather for the next look.
type cutter struct {
	log  *slog.Logger
	wake chan struct{}

	mu      sync.Mutex
	targets []netip.Prefix
}

// maxCuts bounds how many targets gather. A storm's others keep their connections, which their ban blocks all the same.
const maxCuts = 1 << 14

func newCutter(log *slog.Logger) *cutter { return &cutter{log: log, wake: make(chan struct{}, 1)} }

// cut has the connections of a target ended soon. It does not wait.
func (c *cutter) cut(target netip.Prefix) {
	c.mu.Lock()
	if len(c.targets) < maxCuts {
		c.targets = append(c.targets, target)
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *cutter) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
		c.mu.Lock()
		targets := c.targets
		c.targets = nil
		c.mu.Unlock()
		n, err := connection.Cut(targets)
		if err != nil {
			c.log.Error("connections of banned sources may go on", "error", err)
		}
		if n > 0 {
			c.log.Info("connections of banned sources cut", "sources", len(targets), "connections", n)
		}
	}
}
