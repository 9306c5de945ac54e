package main

import (
	"context"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

// damages is how many ways there are to damage the store.
const damages = 4

// damageStep damages the store on purpose, and boots.
func (l *life) damageStep(ctx context.Context, s step) {
	l.reboot(ctx, func() error {
		l.run.struck(faultDamage)
		return damage(l.host.disk(), s.damage)
	})
}

// damage spoils the file that says which generation is confirmed, or that generation.
func damage(disk string, how int) error {
	confirmed := filepath.Join(disk, "confirmed")
	switch how {
	case 0:
		return os.Truncate(confirmed, 0)
	case 1:
		return os.WriteFile(confirmed, []byte(`{"generation":99999,"sha256":""}`), 0o600)
	}
	generations, err := filepath.Glob(filepath.Join(disk, "generations", "*", "ruleset.nft"))
	if err != nil || len(generations) == 0 {
		return err
	}
	sort.Slice(generations, func(i, j int) bool {
		return len(generations[i]) < len(generations[j]) || len(generations[i]) == len(generations[j]) && generations[i] < generations[j]
	})
	newest := generations[len(generations)-1]
	if how == 2 {
		return os.Truncate(newest, 10)
	}
	b, err := os.ReadFile(newest)
	if err != nil {
		return err
	}
	b[len(b)/2] ^= 1
	return os.WriteFile(newest, b, 0o600)
}

// reboot takes everything of ours, and everything that the kernel holds, and does what
// a boot does. Spoil may be nil.
func (l *life) reboot(ctx context.Context, spoil func() error) {
	l.host.judge.only(l.kernel | l.stored | set(open))
	l.host.signal(syscall.SIGKILL, func(process) bool { return true })
	l.prog.endAll()
	if err := l.host.flush(); err != nil {
		l.run.fail(err)
		return
	}
	for _, m := range l.host.pool {
		m.boot()
	}
	l.note("fault: %s", faultReboot)
	l.run.struck(faultReboot)
	l.run.checked(notRestored)
	if spoil == nil {
		if l.restore(ctx) {
			l.kernel = l.stored
		}
		return
	}
	if err := spoil(); err != nil {
		l.run.fail(err)
		return
	}
	l.host.judge.only(l.past | l.stored | set(open))
	r := l.prog.run(ctx, "restore")
	l.done(r)
	in, ok := l.rest(ctx, l.past|l.stored|set(open))
	if !ok {
		return
	}
	if !l.stored.has(in) && r.ok() && r.err == "" {
		l.breaks(notRestored, "the store is damaged, what is in force is %s, and nobody says so: %s%s", in, r, r.out)
	}
	l.prove(ctx, variant3)
}

// leftovers lists files that only dead processes can have left in the store.
func (h *host) leftovers() []string {
	var out []string
	for _, pattern := range []string{"generations/.*", "*.new", "*.tmp*"} {
		found, _ := filepath.Glob(filepath.Join(h.disk(), pattern)) // the pattern is well-formed
		for _, path := range found {
			out = append(out, strings.TrimPrefix(path, h.disk()+"/"))
		}
	}
	return out
}
