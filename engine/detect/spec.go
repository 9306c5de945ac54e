package detect

import (
	"fmt"
	"time"
	"unsafe"

	"go4.org/netipx"
)

// The bounds of a Spec.
const (
	DefaultTrack = 65536
	MaxOver      = 4096
	MaxWithin    = 30 * 24 * time.Hour
	MaxMemory    = 64 << 20 // bytes that one detector may hold
)

// Count is what a detector counts.
type Count uint8

// What a detector can count.
const (
	Events        Count = iota + 1 // packets
	DistinctDport                  // different destination ports
)

// String returns the word that a policy uses.
func (c Count) String() string {
	switch c {
	case Events:
		return "events"
	case DistinctDport:
		return "distinct dport"
	}
	return fmt.Sprintf("Count(%d)", uint8(c))
}

// ParseCount is the inverse of Count.String.
func ParseCount(s string) (Count, error) {
	for _, c := range []Count{Events, DistinctDport} {
		if s == c.String() {
			return c, nil
		}
	}
	return 0, fmt.Errorf("count = %q: must be %q or %q", s, Events, DistinctDport)
}

// Spec describes a detector: who exceeds Over within Within is reported.
type Spec struct {
	Name   string
	Count  Count
	Over   int           // 0 to MaxOver; 0 reports every packet
	Within time.Duration // up to MaxWithin
	Track  int           // sources tracked at once, rounded up to a multiple of 8; 0 is DefaultTrack, or what MaxMemory holds
	Except *netipx.IPSet // sources never counted; may be nil
}

// validate returns the number of sources to track.
func (s Spec) validate() (track int, err error) {
	switch {
	case s.Name == "":
		return 0, fmt.Errorf(`detector: name = "": must not be empty`)
	case s.Count != Events && s.Count != DistinctDport:
		return 0, s.errorf("count = %d: must be %d (%s) or %d (%s)", s.Count, Events, Events, DistinctDport, DistinctDport)
	case s.Over < 0 || s.Over > MaxOver:
		return 0, s.errorf("over = %d: must be from 0 to %d, the most that is counted exactly", s.Over, MaxOver)
	case s.Within <= 0 || s.Within > MaxWithin:
		return 0, s.errorf("within = %s: must be more than 0s and at most %s", s.Within, MaxWithin)
	case s.Track < 0:
		return 0, s.errorf("track = %d: must be 0 (the default, %d) or more", s.Track, DefaultTrack)
	}
	fit := MaxMemory / s.bytesPerSource() / ways * ways
	switch {
	case s.Track == 0:
		return min(DefaultTrack, fit), nil
	case s.Track > fit:
		return 0, s.errorf("track = %d: must be at most %d with over = %d, to fit into %d MiB", s.Track, fit, s.Over, MaxMemory>>20)
	}
	return (s.Track + ways - 1) / ways * ways, nil
}

func (s Spec) bytesPerSource() int {
	perEvent := int(unsafe.Sizeof(int64(0)))
	if s.Count == DistinctDport {
		perEvent += bytesPerPort
	}
	return int(unsafe.Sizeof(head{})) + roomFor(s.Over+1)*perEvent
}

func (s Spec) errorf(format string, args ...any) error {
	return fmt.Errorf("detector %q: %w", s.Name, fmt.Errorf(format, args...))
}
