package nflog_test

import (
	"testing"
	"time"

	"moonlatch/nflog"
)

func TestFollow(t *testing.T) {
	for _, tt := range []struct {
		from uint32
		rate uint64 // packets per second
		want uint32
	}{
		{1, 0, 1},
		{1, 3999, 1},
		{1, 4000, 24},
		{1, 10_000, 32},
		{1, 30_000, 128},
		{1, 50_000, 256},
		{1, 10_000_000, 256},
		{24, 7999, 24},
		{24, 8000, 32},
		{24, 2000, 24},
		{24, 1999, 1},
		{256, 10_000_000, 256},
		{256, 22_000, 256},
		{256, 21_000, 64},
		{256, 2000, 24},
		{256, 1999, 1},
		{256, 0, 1},
	} {
		f := nflog.Follower{Threshold: tt.from}
		f.Follow(time.Second, tt.rate)
		if f.Threshold != tt.want {
			t.Errorf("from %d at %d packets/s: %d, want %d", tt.from, tt.rate, f.Threshold, tt.want)
		}
	}
}

// follow tells f of packets that come at the given rate for d, a message each
// millisecond, and returns how often the threshold changed.
func (s *simulation) follow(rate uint64, d time.Duration) (changes int) {
	for end := s.now + d; s.now < end; {
		s.now += time.Millisecond
		s.packets += rate / 1000
		before := s.Threshold
		s.Follow(s.now, s.packets)
		if s.Threshold != before {
			changes++
		}
	}
	return changes
}

type simulation struct {
	nflog.Follower
	now     time.Duration
	packets uint64
}

// A threshold grows fast and shrinks slowly.
func TestFollowInTime(t *testing.T) {
	s := simulation{Follower: nflog.Follower{Threshold: 1}}
	for _, step := range []struct {
		rate    uint64
		d       time.Duration
		changes int
		want    uint32
	}{
		{1000, time.Minute, 0, 1},
		{50_000, time.Millisecond, 0, 1}, // a handful of packets
		{1000, time.Second, 0, 1},
		{50_000, 50 * time.Millisecond, 2, 256},
		{50_000, time.Minute, 0, 256},
		{1000, 50 * time.Millisecond, 0, 256}, // a short pause
		{50_000, time.Minute, 0, 256},
		{1000, 150 * time.Millisecond, 0, 256},
		{1000, 300 * time.Millisecond, 2, 1},
	} {
		if changes := s.follow(step.rate, step.d); changes > step.changes || s.Threshold != step.want {
			t.Errorf("after %v at %d packets/s: threshold %d in %d changes, want %d in %d",
				step.d, step.rate, s.Threshold, changes, step.want, step.changes)
		}
	}
}

// It shrinks to what the bursts that go on call for, not to nothing in between.
func TestFollowShrinksToPeak(t *testing.T) {
	s := simulation{Follower: nflog.Follower{Threshold: 256}}
	for range 20 {
		s.follow(10_000, 60*time.Millisecond)
		s.follow(0, 60*time.Millisecond)
		if s.Threshold < 32 {
			t.Fatalf("threshold %d after %v, want 32 at least", s.Threshold, s.now)
		}
	}
	if s.Threshold != 32 {
		t.Errorf("threshold %d, want 32", s.Threshold)
	}
}

// Bursts do not have it go up and down with each, nor does a rate that sways.
func TestFollowSettles(t *testing.T) {
	for rate := uint64(1000); rate < 1_000_000; rate += 1000 + rate/50 {
		for name, to := range map[string]struct {
			other uint64
			d     time.Duration
		}{
			"bursts":    {0, 60 * time.Millisecond},
			"sways":     {rate * 4 / 5, 300 * time.Millisecond},
			"sways far": {rate * 6 / 5, 300 * time.Millisecond},
		} {
			s := simulation{Follower: nflog.Follower{Threshold: 1}}
			changes := 0
			for i := range 20 {
				changes = s.follow(rate, to.d) + s.follow(to.other, to.d)
				if i > 2 && changes > 0 {
					t.Fatalf("%s of %d packets/s: %d changes in round %d, now %d", name, rate, changes, i, s.Threshold)
				}
			}
		}
	}
}
