package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// What a guarded command does to the rules of the machine, which are not all Moonlatch's.
const (
	doesAdd   = "adds"    // a table that is in nobody's way
	doesBlock = "blocks"  // a table that lets nobody in, and a change of another program's
	doesFlush = "flushes" // everything, Moonlatch's own too, and then blocks
	doesReset = "resets"  // Moonlatch itself, by its command
	doesFail  = "fails"   // blocks, and exits with an error
	doesStay  = "stays"   // blocks, and runs on past the guard's time
)

// The tables of other programs: one that was there before, and what a guarded command adds.
const (
	bystander = `table inet bystander {
	set friends { type ipv4_addr; flags timeout; elements = { 192.0.2.1, 192.0.2.2 timeout 1h } }
	chain input { type filter hook input priority 10; policy accept; ip saddr @friends accept; }
}
`
	harmless = `table inet intruder {
	chain input { type filter hook input priority -300; policy accept; udp dport 9 accept; }
}
add element inet bystander friends { 192.0.2.3 }
`
	blocking = `table inet intruder {
	chain input { type filter hook input priority -300; policy drop; }
	chain output { type filter hook output priority -300; policy drop; }
}
`
	edit  = "add rule inet bystander input udp dport 9 drop\n"
	clear = "add table inet bystander\ndelete table inet bystander\nadd table inet intruder\ndelete table inet intruder\n"
)

// guardScripts are what the guarded commands load, by the name of the file.
func guardScripts() map[string]string {
	return map[string]string{
		doesAdd: harmless, doesBlock: blocking + edit, doesFlush: "flush ruleset\n" + blocking,
		"before": clear + bystander, "clear": clear,
	}
}

// guarded is a shell's line that notes when it ran, and then does it. It was armed before that.
func (p *program) guarded(does string) string {
	switch does {
	case doesReset:
		return "touch ran && " + strings.Join(append([]string{p.path}, p.arguments("reset")...), " ")
	case doesFail:
		return "touch ran && nft -f blocks.nft; exit 3"
	case doesStay:
		return "touch ran && nft -f blocks.nft; sleep 4"
	}
	return "touch ran && nft -f " + does + ".nft"
}

// others lists the tables that are not Moonlatch's, without what passes by itself.
func (h *host) others() (string, error) {
	out, err := h.nft("--stateless", "list", "ruleset")
	if err != nil {
		return "", err
	}
	var kept strings.Builder
	for table := range strings.SplitSeq(out, "\ntable ") {
		table = strings.TrimPrefix(table, "table ")
		if _, name, _ := strings.Cut(table, " "); !strings.HasPrefix(name, "moonlatch") {
			kept.WriteString(strings.TrimSuffix(table, "\n") + "\n")
		}
	}
	return kept.String(), nil
}

// guardEnd is what may be there when a guard has ended.
type guardEnd struct {
	undone, stays bool // the rules of before; those that the command made
	deadline      time.Time
}

// guardStep has a guarded command change the rules of others. From its deadline on they are
// as they were, and the client gets in, unless the guard was confirmed.
func (l *life) guardStep(ctx context.Context, s step) {
	before, err := l.armOthers(s)
	if err != nil {
		l.run.fail(err)
		return
	}
	l.host.judge.only(l.kernel | s.locksOut() | l.afterFlush(s))
	stop := l.narrow(ctx, s)
	r := l.do(ctx, s, phaseFirst, "guard", "--for", s.trial.String(), "--", "sh", "-c", l.prog.guarded(s.does))
	stop()
	if ctx.Err() == nil {
		l.wantGuard(s, r)
	}
	end, over := guardEnd{undone: true}, false
	switch s.end {
	case endConfirm:
		l.confirmGuard(ctx, s, &end)
	case endRollback:
		over = l.do(ctx, s, phaseSecond, "rollback").ok()
	}
	if !r.ok() {
		l.quiet(ctx)
	}
	l.begin(ctx, s, phaseWait, func(fault) {})
	if end.deadline = l.ranAt().Add(s.trial); over {
		end.deadline = time.Now().Add(-bound)
	}
	l.awaitGuard(ctx, s, &end)
	if ctx.Err() == nil {
		l.lookAtOthers(s, before, end)
	}
	if s.does == doesReset {
		l.doubtBans() // they are back in the kernel with the rest, and off the record
	}
	l.clearOthers(s)
}

// locksOut is what a guarded command leads to.
func (s step) locksOut() states {
	switch s.does {
	case doesAdd:
		return 0
	case doesReset:
		return set(open)
	}
	return set(closed)
}

// narrow permits the lock-out no more when the guard's time is over, though its command may still run.
func (l *life) narrow(ctx context.Context, s step) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for _, err := os.Stat(l.ran()); err != nil && ctx.Err() == nil; _, err = os.Stat(l.ran()) {
			time.Sleep(beat)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(l.ranAt().Add(s.trial + bound))):
		}
		if !l.unwatched.Load() {
			l.host.judge.only(l.kernel | l.afterFlush(s))
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// clearOthers takes the rules of others away, those that a confirm has let stay, too.
func (l *life) clearOthers(s step) {
	l.mu.Lock()
	if s.does == doesFlush && l.outlive && !l.prog.alive() {
		for _, m := range l.host.pool { // the daemon may have died as it put the bans back
			m.forget()
		}
	}
	if l.emptied {
		l.host.judge.also(set(open)|l.stored, time.Now().Add(settleTime))
	}
	l.mu.Unlock()
	if _, err := l.host.nft("-f", filepath.Join(l.host.folder, "clear.nft")); err != nil {
		l.run.fail(fmt.Errorf("clear away the rules of others: %w", err))
	}
}

// ran is the file that a guarded command makes when it begins.
func (l *life) ran() string { return filepath.Join(l.host.folder, "ran") }

// armOthers puts the bystander's table in place, and lists it.
func (l *life) armOthers(s step) (string, error) {
	l.unwatched.Store(false)
	if s.does == doesFlush {
		l.heals++
	}
	if err := os.Remove(l.ran()); !errors.Is(err, os.ErrNotExist) && err != nil {
		return "", err
	}
	if _, err := l.host.nft("-f", filepath.Join(l.host.folder, "before.nft")); err != nil {
		return "", fmt.Errorf("make a table of another program's: %w", err)
	}
	return l.host.others()
}

// ranAt is when the guarded command began to run: its guard was armed before that.
func (l *life) ranAt() time.Time {
	info, err := os.Stat(l.ran())
	if err != nil {
		return time.Now() // it never ran, and nothing was changed
	}
	return info.ModTime()
}

// wantGuard looks at how the guard has answered where nothing was in its way.
func (l *life) wantGuard(s step, r result) {
	want := map[string]int{doesFail: 3, doesStay: 7}[s.does]
	if len(s.faults) == 0 && r.code != want {
		l.breaks(noAnswer, "nothing is broken, and the exit code is not %d: %s", want, r)
	}
}

// confirmGuard confirms the guard, and takes note of what that may mean.
func (l *life) confirmGuard(ctx context.Context, s step, end *guardEnd) {
	r := l.do(ctx, s, phaseSecond, "confirm", "-o", "json")
	const rolledBack = 7
	if !r.ok() {
		// Killed, it may have confirmed or not. Late, or after a command that failed, it has not.
		end.stays = r.code != rolledBack
		return
	}
	var doc struct {
		Guard *struct{ What string }
	}
	if err := json.Unmarshal(r.out, &doc); err != nil {
		l.breaks(noAnswer, "%s: %v", r, err)
	}
	if doc.Guard == nil { // no guard was armed, and an earlier confirm, which was killed, is now at its end
		l.stored = l.before
		return
	}
	end.undone, end.stays = false, true
}

// awaitGuard waits for the guard's end.
func (l *life) awaitGuard(ctx context.Context, s step, end *guardEnd) {
	rest := l.kernel
	if end.stays {
		rest |= s.locksOut()
		if s.does == doesFlush || s.does == doesReset {
			l.goneOurs()
		}
	}
	l.host.judge.only(rest | l.afterFlush(s))
	if end.undone {
		l.host.judge.also(s.locksOut(), end.deadline.Add(bound))
	}
	if !s.late {
		l.faults.Wait()
		if err := l.host.mend(ctx); err != nil && ctx.Err() == nil {
			l.run.fail(err)
		}
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(time.Until(end.deadline.Add(bound))):
	}
	if l.unwatched.Load() {
		l.finishGuard(ctx, s, rest)
	}
	l.run.checked(lockedOut)
}

// goneOurs takes note that what is Moonlatch's may have gone for good, by a guarded command
// that somebody confirmed.
func (l *life) goneOurs() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.emptied = true
}

// finishGuard has the next command do what nobody is left to do: both of the guard's
// watchdogs were killed, or stopped.
func (l *life) finishGuard(ctx context.Context, s step, rest states) {
	l.host.judge.only(rest | s.locksOut() | l.afterFlush(s))
	l.faults.Wait()
	if err := l.host.mend(ctx); err != nil && ctx.Err() == nil {
		l.run.fail(err)
	}
	r := l.prog.run(ctx, "status")
	l.done(r)
	if !r.ok() && ctx.Err() == nil {
		l.breaks(noAnswer, "a guard without watchdogs: %s", r)
	}
	l.host.judge.only(rest | l.afterFlush(s))
	time.Sleep(bound)
}

// lookAtOthers compares the rules of others with those of before.
func (l *life) lookAtOthers(s step, before string, end guardEnd) {
	l.run.checked(undone)
	flushed := l.afterFlush(s) != 0
	now, err := l.host.others()
	switch {
	case err != nil:
		l.run.fail(err)
	case flushed: // somebody may have done that after the guard's end
	case slices.ContainsFunc(s.faults, fault.holdsUp): // and the command may have gone on after that
	case now == before:
		if !end.undone && len(s.faults) == 0 && s.does != doesReset {
			l.breaks(undone, "a guard was confirmed, and yet undone")
		}
	case !end.stays:
		l.breaks(undone, "after a guard that nobody confirmed the rules are:\n%s\nbefore they were:\n%s", now, before)
	}
}
