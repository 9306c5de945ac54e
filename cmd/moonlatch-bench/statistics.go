package main

import (
	"context"
	"slices"
	"time"
)

// quantile returns the smallest sample that is no less than a share q of all, of samples in any order.
func quantile(samples []float64, q float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func median(samples []float64) float64 { return quantile(samples, 0.5) }

// ms is a duration in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// A pair collects samples of two things that are measured in turns, so that what
// disturbs one disturbs the other.
type pair struct{ ours, anchor []float64 }

func (p *pair) add(ours, anchor float64) {
	p.ours = append(p.ours, ours)
	p.anchor = append(p.anchor, anchor)
}

// at is a quantile of both.
func (p *pair) at(q float64) finding {
	return finding{Measured: quantile(p.ours, q), Anchor: quantile(p.anchor, q), Samples: len(p.ours)}
}

// repeat does something n times, or fewer if there is not time for one more and a half.
func repeat(ctx context.Context, n int, do func() error) error {
	for range n {
		start := time.Now()
		if err := do(); err != nil {
			return err
		}
		took := time.Since(start)
		if end, ok := ctx.Deadline(); ok && time.Until(end) < took+took/2 {
			break
		}
	}
	return nil
}
