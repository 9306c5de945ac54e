package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/lab"
	"moonlatch/engine/ruleset"
)

// lane plays batches to one policy, on a goroutine and in a lab of its own.
type lane struct {
	staged engine.Staged
	hosts  Hosts
	logged string // the stream that the policy must have; "" for any
	log    *slog.Logger
	record *record

	in    chan *batch
	ready chan error // one, when the policy is in force
	done  chan error // one for each batch
	ended chan error // one, when the lab is gone
	fates []lab.Fate // of the batch
}

func newLane(s engine.Staged, o Options, log *slog.Logger) *lane {
	return &lane{
		staged: s, hosts: o.Hosts, logged: o.Logged, log: log, record: newRecord(),
		in: make(chan *batch), ready: make(chan error, 1), done: make(chan error, 1), ended: make(chan error, 1),
	}
}

// errStopped is of a lane that has said already what kept it from starting.
var errStopped = errors.New("stopped")

func (l *lane) run(ctx context.Context, from time.Time) {
	err := lab.Run(ctx, func(b *lab.Lab) error {
		p, err := l.start(ctx, b, from)
		l.ready <- err
		if err != nil {
			return errStopped
		}
		defer p.Close()
		for batch := range l.in {
			l.done <- l.play(ctx, p, batch)
		}
		l.record.finish(p)
		return nil
	})
	if errors.Is(err, errStopped) {
		err = nil
	} else if err != nil {
		select {
		case l.ready <- err: // there was no lab
			err = nil
		default:
		}
	}
	l.ended <- err
}

// start puts the policy in force.
func (l *lane) start(ctx context.Context, b *lab.Lab, from time.Time) (*engine.Playback, error) {
	p, err := engine.Play(ctx, b, l.staged, from, l.hosts.Addresses, l.record, l.log)
	if err != nil || l.logged == "" {
		return p, err
	}
	var names []string
	for _, s := range p.Policy().Ruleset().Streams {
		names = append(names, s.Name)
	}
	if slices.Contains(names, l.logged) {
		return p, nil
	}
	p.Close()
	return nil, &control.Error{Code: control.BadRequest, Message: fmt.Sprintf("%s has no stream %q%s", l.name(), l.logged, ruleset.Suggest(l.logged, names))}
}

// play plays a batch.
func (l *lane) play(ctx context.Context, p *engine.Playback, b *batch) error {
	l.fates = l.fates[:0]
	for i := range b.moments {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m := &b.moments[i]
		l.record.at(m)
		fate, err := l.one(ctx, p, m)
		if err != nil {
			return fmt.Errorf("packet %d: %w", m.number, err)
		}
		l.fates = append(l.fates, fate)
		l.record.decided(fate)
	}
	return nil
}

// taken is the fate of a packet that was logged already: what the rules would do is not asked.
const taken lab.Verdict = "logged"

func (l *lane) one(ctx context.Context, p *engine.Playback, m *moment) (lab.Fate, error) {
	if m.stream == "" {
		return p.Pass(ctx, m.at, &m.packet)
	}
	ev := m.log
	ok, err := p.Take(ctx, m.stream, m.header.Src, &ev)
	if !ok {
		return lab.Fate{Verdict: lab.Drop, Rule: lab.ByBan}, err
	}
	return lab.Fate{Verdict: taken, Chain: m.stream}, err
}
