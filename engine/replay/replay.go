// Package replay plays packet captures to policies and tells what they would have done.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"moonlatch/engine"
	"moonlatch/engine/capture"
)

// Options say what is played to whom.
type Options struct {
	Capture io.Reader
	Policy  engine.Staged
	Against *engine.Staged // a second policy to compare with; may be nil

	Hosts  Hosts
	Iif    string // the host's interface that the packets came in by and leave by; "" for what the capture tells
	Logged string // the stream that all packets were logged to; "" for captures of NFLOG and those of a wire
	Pace   bool   // as fast as the packets came, and no faster

	// Progress is called every so often. May be nil.
	Progress func(packets int, at time.Time)
}

// Hosts are the addresses that are the capturing host's own, and how they are known.
type Hosts struct {
	Addresses []netip.Addr `json:"addresses"`
	By        string       `json:"by"`
}

// Run plays the whole capture. A capture that cannot be read to its end is reported as far as it goes,
// with Report.Trouble; errors are those of policies and of the lab.
func Run(ctx context.Context, o Options, log *slog.Logger) (*Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in, err := open(o)
	if err != nil {
		return nil, err
	}
	lanes := []*lane{newLane(o.Policy, o, log)}
	if o.Against != nil {
		lanes = append(lanes, newLane(*o.Against, o, log))
	}
	for _, l := range lanes {
		go l.run(ctx, in.from)
	}
	var errs []error
	for _, l := range lanes {
		errs = append(errs, <-l.ready)
	}
	r := newReport(o, in)
	if err := errors.Join(errs...); err == nil {
		errs = append(errs, r.play(ctx, o, in, lanes))
	}
	for _, l := range lanes {
		close(l.in)
		errs = append(errs, <-l.ended)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	r.end(lanes)
	return r, nil
}

// play takes the packets to the lanes, batch by batch.
func (r *Report) play(ctx context.Context, o Options, in *input, lanes []*lane) error {
	start := time.Now()
	defer func() { r.Took = time.Since(start).Seconds() }()
	for {
		b, err := in.next()
		if len(b.moments) > 0 {
			if o.Pace {
				if err := pause(ctx, start.Add(b.moments[0].at.Sub(in.from))); err != nil {
					return err
				}
			}
			if err := r.batch(ctx, b, lanes); err != nil {
				return err
			}
		}
		r.count(b)
		if o.Progress != nil {
			o.Progress(r.Packets, r.Last)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			r.Trouble = err.Error()
			return nil
		}
	}
}

// batch has every lane play a batch, at the same time.
func (r *Report) batch(ctx context.Context, b *batch, lanes []*lane) error {
	for _, l := range lanes {
		select {
		case l.in <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var errs []error
	for _, l := range lanes {
		errs = append(errs, <-l.done)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if len(lanes) == 2 {
		r.Differences.compare(b, lanes)
	}
	return nil
}

func pause(ctx context.Context, until time.Time) error {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// input reads a capture in batches.
type input struct {
	reader *capture.Reader
	model  *model
	first  *capture.Packet // read already
	from   time.Time       // when the capture begins
	pace   bool
	batch  batch
	skips  map[string]int
	late   int // packets with an earlier time than those before them
	last   time.Time
}

// open reads the first packet, whose time the clocks begin with.
func open(o Options) (*input, error) {
	reader, err := capture.NewReader(o.Capture)
	if err != nil {
		return nil, err
	}
	in := &input{reader: reader, model: newModel(o), pace: o.Pace, skips: map[string]int{}}
	var p capture.Packet
	switch err := reader.Next(&p); {
	case errors.Is(err, io.EOF):
		in.from = time.Now()
	case err != nil:
		return nil, fmt.Errorf("nothing of the capture can be read: %w", err)
	default:
		in.first, in.from = &p, p.Time
	}
	if in.from.IsZero() {
		in.from = time.Unix(0, 0) // packets without a time are not played
	}
	return in, nil
}
