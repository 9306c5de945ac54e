package main

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"moonlatch/engine/control"
	"moonlatch/engine/nft"
)

// byHand bans and unbans as people and programs do, through the control socket,
// and asks the kernel about each ban.
type byHand struct {
	standing []netip.Addr // banned, the oldest first
	lifted   map[netip.Addr]bool
	bans     int
	missing  int // bans that the kernel did not hold when they were acknowledged, or in the end
	staying  int // bans that it still held when they were lifted, or in the end
}

const (
	byHandStanding = 300  // bans at a time
	byHandTargets  = 2000 // hosts, again and again
	byHandEvery    = 10 * time.Millisecond
)

func (h *byHand) run(ctx context.Context, p *program, c *nft.Client) error {
	daemon, err := control.Dial(ctx, filepath.Join(p.folder, "control.sock"))
	if err != nil {
		return err
	}
	h.lifted = map[netip.Addr]bool{}
	for ; ctx.Err() == nil; pause(ctx, byHandEvery) {
		// A request that was sent is seen to its end.
		if err := h.next(context.WithoutCancel(ctx), daemon, c); err != nil {
			return err
		}
	}
	return nil
}

// next bans one more host, and lifts the oldest ban if there are enough.
func (h *byHand) next(ctx context.Context, daemon *control.Client, c *nft.Client) error {
	who := netip.AddrFrom4([4]byte{172, 16, byte(h.bans % byHandTargets >> 8), byte(h.bans % byHandTargets)})
	if _, err := daemon.Ban(ctx, control.BanRequest{Target: who.String(), For: time.Hour, Why: "soak"}); err != nil {
		return fmt.Errorf("ban %s: %w", who, err)
	}
	h.bans++
	h.standing = append(h.standing, who)
	delete(h.lifted, who)
	if held, err := holds(c, who); err != nil || !held {
		h.missing++
		return err
	}
	if len(h.standing) <= byHandStanding {
		return nil
	}
	oldest := h.standing[0]
	if _, err := daemon.Unban(ctx, control.UnbanRequest{Target: oldest.String()}); err != nil {
		return fmt.Errorf("unban %s: %w", oldest, err)
	}
	h.standing = h.standing[1:]
	h.lifted[oldest] = true
	held, err := holds(c, oldest)
	if held {
		h.staying++
	}
	return err
}

// tell asks the kernel once more about all of them.
func (h *byHand) tell(b *bench, c *nft.Client) error {
	for _, who := range h.standing {
		held, err := holds(c, who)
		if err != nil {
			return err
		}
		if !held {
			h.missing++
		}
	}
	for who := range h.lifted {
		held, err := holds(c, who)
		if err != nil {
			return err
		}
		if held {
			h.staying++
		}
	}
	b.find("soak.bans", finding{Measured: float64(h.missing), Note: fmt.Sprintf("of %d; %d stand in the end", h.bans, len(h.standing))})
	b.find("soak.lifted", finding{Measured: float64(h.staying), Note: fmt.Sprintf("of %d", h.bans-len(h.standing))})
	return nil
}

// holds reports whether the kernel holds the ban of a host.
func holds(c *nft.Client, who netip.Addr) (bool, error) {
	_, ok, err := c.Element(nft.Table{Family: nft.Inet, Name: coreTable}, hostBans, host(who))
	return ok, err
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
