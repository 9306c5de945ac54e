package ban

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// importChunk is how many bans are imported while other bans wait.
const importChunk = 4096

// A Refusal is why one of the bans given to Import cannot be made.
type Refusal struct {
	Index int // in the list
	Err   error
}

// Imported is what came of an Import.
type Imported struct {
	Booked     int // made, or made longer
	Duplicates int // of what is banned for as long already, or given twice
	Refused    []Refusal
}

// ImportOptions says how Import deals with the list. The zero value imports all of it or nothing.
type ImportOptions struct {
	KeepGoing bool           // past bans that are refused
	DryRun    bool           // only tells what would be refused
	Spare     []netip.Prefix // refused as well, besides what is protected
	Progress  func(done int) // is told now and then how many are dealt with; may be nil
}

// Import makes many bans, each until the end that it has, as old as it says it is. Those that
// cannot be made are told all of them, by their place in the list; then nothing is
// imported, unless told to keep going. Where the kernel fails half-way, what was imported is taken back.
// The bans of a list are a person's: the end of a trial does not touch them.
func (b *Book) Import(ctx context.Context, bans []Ban, opts ImportOptions) (Imported, error) {
	b.adoptNow(ctx)
	out := Imported{Refused: b.refused(bans, opts.Spare)}
	if opts.DryRun || len(out.Refused) > 0 && !opts.KeepGoing {
		return out, nil
	}
	run := importing{Book: b, opts: opts, out: &out, refused: make(map[int]bool)}
	for _, r := range out.Refused {
		run.refused[r.Index] = true
	}
	for from := 0; from < len(bans); from += importChunk {
		to := min(from+importChunk, len(bans))
		err := ctx.Err()
		if err == nil {
			err = run.chunk(ctx, bans[from:to], from)
		}
		if err != nil {
			undone := run.undo(context.WithoutCancel(ctx))
			return Imported{Refused: out.Refused}, errors.Join(fmt.Errorf("import bans: %w; those imported before were taken back", err), undone)
		}
		if opts.Progress != nil {
			opts.Progress(to)
		}
	}
	return out, nil
}

// adoptNow knows all bans that the kernel holds, unless that cannot be: then the kernel is asked about each.
func (b *Book) adoptNow(ctx context.Context) {
	b.startAdoption(ctx)
	b.mu.Lock()
	a := b.adoption
	b.mu.Unlock()
	if a != nil {
		<-a.over
	}
}

// refused finds what cannot be banned.
func (b *Book) refused(bans []Ban, spare []netip.Prefix) []Refusal {
	guarded := b.guarded.Load()
	var out []Refusal
	for i, ban := range bans {
		target, err := normalTarget(ban.Target)
		if err == nil {
			err = guarded.check(target)
		}
		if at := slices.IndexFunc(spare, target.Overlaps); err == nil && at >= 0 {
			err = fmt.Errorf("%s %w: %s is this host's own, its gateway's or a resolver's", show(target), ErrProtected, show(spare[at]))
		}
		if left := ban.Until.Sub(b.cfg.Now()); err == nil && left > MaxTime {
			err = fmt.Errorf("%s: %w: it ends in more than ten years", show(target), ErrBadTime)
		}
		if err != nil {
			b.counters.suppressed(reason(err))
			out = append(out, Refusal{i, err})
		}
	}
	return out
}

// importing is an Import under way.
type importing struct {
	*Book
	opts    ImportOptions
	out     *Imported
	refused map[int]bool
	made    []target // new ones, to be taken back after a failure
	before  []held   // what others replaced
}

// chunk imports some of the bans, which begin at the index from in the list.
func (m *importing) chunk(ctx context.Context, bans []Ban, from int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, wall := m.clock(), m.cfg.Now()
	put := make(map[target]held, len(bans))
	for i, ban := range bans {
		if m.refused[from+i] {
			continue
		}
		h, worth, err := m.decide(ban, now, wall)
		if err != nil { // protected since the first look
			if !m.opts.KeepGoing {
				return err
			}
			m.out.Refused = append(m.out.Refused, Refusal{from + i, err})
			continue
		}
		if other, twice := put[h.target]; !worth || twice && other.until >= h.until {
			m.out.Duplicates++
			continue
		} else if twice {
			m.out.Duplicates++
		}
		put[h.target] = h
	}
	return m.putAll(ctx, put, now)
}

// decide says how the kernel is to hold a ban, and whether that brings anything new.
func (m *importing) decide(ban Ban, now time.Duration, wall time.Time) (h held, worth bool, err error) {
	target, err := normalTarget(ban.Target)
	if err == nil {
		err = m.guarded.Load().check(target)
	}
	if err != nil {
		return h, false, err
	}
	h = held{targetOf(target), note{by: ban.By, why: ban.Why, origin: ban.Origin}, now + ban.Until.Sub(wall)}
	if !ban.Since.IsZero() && ban.Since.Before(wall) {
		h.age = wall.Sub(ban.Since)
	}
	if !m.adopted.Load() {
		if err := m.ask(h.target, now); err != nil {
			return h, false, err
		}
	}
	_, there, banned := m.index.covering(h.target, now)
	return h, h.until > now && (!banned || h.until-there.until() >= time.Second), nil
}

// putAll writes bans and remembers how to undo that.
func (m *importing) putAll(ctx context.Context, put map[target]held, now time.Duration) error {
	var c change
	for t, h := range put {
		if e, ok := m.index.get(t); ok && e.until() > now {
			m.before = append(m.before, held{t, m.noteOf(t), e.until()})
		} else {
			m.made = append(m.made, t)
		}
		c.put = append(c.put, h)
	}
	if err := m.write(ctx, c); err != nil {
		return err
	}
	for _, h := range c.put {
		m.counters.banned(Author{By: m.names.name(m.entry(h.note, h.until).by), Origin: h.origin})
		if m.trial == nil {
			continue
		}
		if ban, ok := m.trial.bans[h.target]; ok { // the list's ban stands, however the trial ends
			ban.written, ban.before = false, nil
			m.trial.bans[h.target] = ban
		}
	}
	m.out.Booked += len(c.put)
	return nil
}

// undo takes back what was imported.
func (m *importing) undo(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(ctx, change{put: m.before, lift: m.made}); err != nil {
		return fmt.Errorf("take them back: %w", err)
	}
	return nil
}
