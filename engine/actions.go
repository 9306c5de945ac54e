package engine

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/policy"
)

// actionTimeout bounds what a handler waits for the kernel.
const actionTimeout = 5 * time.Second

// actions lets the handlers of a policy ban and unban. They run on the
// goroutine that calls Lua, which may wait for the kernel.
type actions struct{ bans *ban.Book }

var _ policy.Actions = actions{}

func (a actions) Ban(b policy.Ban) error {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	if standsForWhole(b.Target) {
		b.Target = sourceTarget(a.bans, b.Target)
	}
	_, err := a.bans.Ban(ctx, request(b))
	return err
}

func (a actions) Unban(target netip.Prefix) error {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	err := a.bans.Unban(ctx, target.Masked())
	if standsForWhole(target) && errors.Is(err, ban.ErrNotBanned) {
		if alone := a.bans.Unban(ctx, host(target.Addr())); !errors.Is(alone, ban.ErrNotBanned) {
			return alone
		}
	}
	return err
}

// standsForWhole reports whether a target is an address that stands for its /64.
func standsForWhole(target netip.Prefix) bool { return target != target.Masked() }

func (a actions) Banned(addr netip.Addr) bool {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	_, banned, err := a.bans.Lookup(ctx, addr)
	return err == nil && banned
}

func (a actions) Bans() int { return inForceCount(a.bans) }

// inForceCount is how many bans are in force, without asking the kernel.
func inForceCount(b *ban.Book) int {
	n := 0
	for _, count := range b.Stats().InForce {
		n += count
	}
	return n
}
