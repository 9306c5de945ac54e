package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// powerStep applies and confirms a policy, while at every boundary of the store, the power
// may have failed: what the medium may then hold is booted on another host. No Moonlatch is
// asked what it has put in force there, only packets are.
func (l *life) powerStep(ctx context.Context, s step) {
	if !l.wantDaemon(ctx, false) { // it is the command that writes
		return
	}
	folder := filepath.Join(l.run.folder, fmt.Sprintf("%d.%d.boot", l.run.seed, l.number))
	boots, err := newHost(ctx, l.run.config, filepath.Base(folder), folder, func(violation) {}, func(string) {})
	if err != nil {
		l.run.fail(err)
		return
	}
	defer boots.close()
	m, err := newMedium(l.host.disk())
	if err != nil {
		l.run.fail(err)
		return
	}
	p := &power{life: l, host: boots, medium: m, old: l.stored, may: l.stored, seen: map[string]bool{}}
	variant := s.variant
	l.host.judge.only(l.kernel | set(variant))
	k := s.policy
	if k != big {
		k = good
	}
	p.every = 4 // of what comes before the confirm, which is much, and all of which must boot the same: other lives take the others
	applied := p.during(ctx, "apply", k.file(variant), "--confirm", "10m")
	p.new, p.every = set(variant), 1
	if !applied || !p.during(ctx, "confirm") {
		p.giveUp(ctx, variant)
		return
	}
	l.confirmed(variant)
	p.may = l.stored
	p.cut("after the confirm") // which was acknowledged
	p.bootAll(ctx)
}

// power is a sequence of commands in which the power may fail.
type power struct {
	life   *life
	host   *host
	medium *medium
	old    states // what was confirmed before
	new    states // what is being confirmed
	may    states // what a boot may put in force
	seen   map[string]bool
	every  int // how manieth cut is booted
	cuts   []cut
}

// cut is what the medium may hold after a power cut, and what a boot may put in force then.
type cut struct {
	when string
	left tree
	may  states
}

// during runs a command. At each of its boundaries the power may fail.
func (p *power) during(ctx context.Context, arg ...string) bool {
	n, held := 0, time.Duration(0)
	r := p.life.prog.runGated(ctx, 2*time.Minute, storeCalls(), func(c call) {
		n++
		began := time.Now()
		defer func() { held += time.Since(began) }()
		p.may = p.old
		if !p.life.host.onTrial() {
			p.may |= p.new // the kernel comes first: what it has not confirmed is not to be booted
		}
		p.cut(fmt.Sprintf("before call %d of %s", n, arg[0]))
		p.pass(c)
	}, arg...)
	p.life.done(r)
	// On a busy machine it is this program that holds a command up until its patience ends.
	if !r.ok() && held < patience && ctx.Err() == nil {
		p.life.breaks(noAnswer, "%s", r)
	}
	p.bootAll(ctx)
	return r.ok()
}

// giveUp ends what a command that was held up has left.
func (p *power) giveUp(ctx context.Context, variant state) {
	p.life.done(p.life.prog.run(ctx, "rollback"))
	p.life.kernel |= set(variant)
	p.life.stored |= set(variant)
	p.life.past |= set(variant)
}

// pass takes note of what a call brings onto the medium.
func (p *power) pass(c call) {
	if uint32(c.nr) != unix.SYS_FSYNC && uint32(c.nr) != unix.SYS_FDATASYNC {
		return
	}
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/fd/%d", c.pid, c.args[0]), &st); err != nil {
		p.life.run.fail(err)
		return
	}
	if err := p.medium.sync(st.Ino); err != nil {
		p.life.run.fail(err)
	}
}

// cut takes note of whatever a power cut may leave now. It is quick: a call waits for it.
func (p *power) cut(when string) {
	left, err := p.medium.after()
	if err != nil {
		p.life.run.fail(err)
		return
	}
	for how, t := range left {
		if key := t.digest() + p.may.String(); !p.seen[key] {
			p.seen[key] = true
			if (len(p.seen)+int(p.life.number))%p.every != 0 {
				continue
			}
			p.cuts = append(p.cuts, cut{when + ", " + how, t, p.may})
		}
	}
}

// bootAll boots what power cuts have left.
func (p *power) bootAll(ctx context.Context) {
	for _, c := range p.cuts {
		if ctx.Err() != nil {
			return
		}
		p.life.run.struck(faultPower)
		p.life.run.checked(notRestored)
		if wrong := p.boot(ctx, c); wrong != "" {
			p.life.breaks(notRestored, "power cut %s: %s", c.when, wrong)
		}
	}
	p.cuts = nil
}

// boot has a host start with what the medium holds, and returns what is wrong with it, or "".
func (p *power) boot(ctx context.Context, c cut) string {
	if err := p.empty(c.left); err != nil {
		p.life.run.fail(err)
		return ""
	}
	r := p.host.program.run(ctx, "restore")
	if !r.ok() && !c.may.has(open) && ctx.Err() == nil {
		return fmt.Sprintf("%s\n%s", r, strings.Join(paths(c.left), "\n"))
	}
	since := time.Now()
	in, ok := closed, false
	for !(ok && c.may.has(in)) && ctx.Err() == nil {
		if time.Since(since) > settleTime {
			return fmt.Sprintf("%s is in force, where only %s may be: %s\n%s", in, c.may, r, strings.Join(paths(c.left), "\n"))
		}
		time.Sleep(beat)
		in, ok = p.host.now(since)
	}
	return ""
}

// empty makes the host a new one with these files.
func (p *power) empty(t tree) error {
	if err := p.host.flush(); err != nil {
		return err
	}
	entries, err := os.ReadDir(p.host.disk())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(p.host.disk(), e.Name())); err != nil {
			return err
		}
	}
	return t.write(p.host.disk())
}

func paths(t tree) []string {
	var out []string
	for path, content := range t {
		out = append(out, fmt.Sprintf("    %s (%d bytes)", path, len(content)))
	}
	slices.Sort(out)
	return out
}
