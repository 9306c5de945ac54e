package detect

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"go4.org/netipx"
)

// The bounds of a Spec.
const (
	DefaultTrack = 65536
	MaxExact     = 4096    // the largest Over for which each event is remembered, and for which distinct things are counted
	MaxOver      = 1 << 40 // packets or bytes
	MaxWithin    = 30 * 24 * time.Hour
	MaxMemory    = 64 << 20 // bytes that one detector may hold
)

// Parts is how many parts a window has where its events are not remembered one
// by one: Bytes, and Events with an Over beyond MaxExact. See Detector.
const Parts = 64

// Spec describes a detector: what exceeds Over within Within is reported.
type Spec struct {
	Name   string
	Count  Count
	Per    Key
	Bits4  int           // prefix length of the sources of a Key, 8 to 32; 0 is 32
	Bits6  int           // the same for IPv6, 16 to 128; 0 is 64
	Over   int64         // 0 to MaxOver, or to MaxExact for distinct things; 0 reports every packet
	Within time.Duration // up to MaxWithin
	Track  int           // keys tracked at once, rounded up to a multiple of 8; 0 is DefaultTrack, or what MaxMemory holds
	Except *netipx.IPSet // sources never counted; may be nil
}

// Blames reports whether what exceeds the threshold is the deed of one source,
// so that it can be banned. Anybody can forge a crowd of different sources, so
// those are nobody's deed.
func (s Spec) Blames() bool { return s.Per.hasSrc() && s.Count != DistinctSrc }

// Validate names in its error the field, what was given and what is allowed.
func (s Spec) Validate() error {
	_, err := s.validate()
	return err
}

// validate returns the number of keys to track.
func (s Spec) validate() (track int, err error) {
	if s.Name == "" {
		return 0, errors.New(`detector: name = "": must not be empty`)
	}
	if err := errors.Join(s.checkCount(), s.checkKey()); err != nil {
		return 0, fmt.Errorf("detector %q: %w", s.Name, err)
	}
	switch {
	case s.Within <= 0 || s.Within > MaxWithin:
		return 0, s.errorf("within = %s: must be more than 0s and at most %s", s.Within, MaxWithin)
	case s.Track < 0:
		return 0, s.errorf("track = %d: must be 0 (the default, %d) or more", s.Track, DefaultTrack)
	}
	fit := MaxMemory / s.bytesPerKey() / ways * ways
	switch {
	case s.Track == 0:
		return min(DefaultTrack, fit), nil
	case s.Track > fit:
		return 0, s.errorf("track = %d: must be at most %d with count = %q and over = %d, to fit into %d MiB", s.Track, fit, s.Count, s.Over, MaxMemory>>20)
	}
	return (s.Track + ways - 1) / ways * ways, nil
}

func (s Spec) checkCount() error {
	switch {
	case s.Count < Events || s.Count > DistinctSrc:
		return fmt.Errorf("count = %d: must be from %d (%s) to %d (%s)", s.Count, Events, Events, DistinctSrc, DistinctSrc)
	case s.Count.distinct() && (s.Over < 0 || s.Over > MaxExact):
		return fmt.Errorf("over = %d: must be from 0 to %d with count = %q", s.Over, MaxExact, s.Count)
	case s.Over < 0 || s.Over > MaxOver:
		return fmt.Errorf("over = %d: must be from 0 to %d", s.Over, MaxOver)
	}
	return nil
}

// checkKey refuses keys of which all events have the same of what is counted.
func (s Spec) checkKey() error {
	bits4, bits6 := s.bits()
	switch {
	case s.Per > SrcDst:
		return fmt.Errorf("per = %d: must be from %d to %d", s.Per, Src, SrcDst)
	case !s.Per.hasSrc() && (s.Bits4 != 0 || s.Bits6 != 0):
		return fmt.Errorf("per = %s: has no source whose prefix length could be /%d", s.Per, max(s.Bits4, s.Bits6))
	case bits4 < minBits4 || bits4 > maxBits4:
		return fmt.Errorf("prefix length of IPv4 sources = %d: must be from %d to %d", bits4, minBits4, maxBits4)
	case bits6 < minBits6 || bits6 > maxBits6:
		return fmt.Errorf("prefix length of IPv6 sources = %d: must be from %d to %d", bits6, minBits6, maxBits6)
	case s.Count == DistinctDport && s.Per.hasDport():
		return fmt.Errorf(`count = %q: is always 1 with per = %s; use per = "src"`, s.Count, s.Per)
	case s.Count == DistinctDst && s.Per.hasDst():
		return fmt.Errorf(`count = %q: is always 1 with per = %s; use per = "src" or { "src", "dport" }`, s.Count, s.Per)
	case s.Count == DistinctSrc && s.Per.hasSrc() && bits4 == defaultBits4 && bits6 >= defaultBits6:
		return fmt.Errorf(`count = %q: is always 1 with per = %s; use per = "dst", or a shorter prefix such as "src/24"`, s.Count, s.Per)
	}
	return nil
}

// bits returns the prefix lengths of sources.
func (s Spec) bits() (bits4, bits6 int) {
	bits4, bits6 = s.Bits4, s.Bits6
	if bits4 == 0 {
		bits4 = defaultBits4
	}
	if bits6 == 0 {
		bits6 = defaultBits6
	}
	return bits4, bits6
}

// part returns the length of the parts of the window, or 0 where each event is remembered.
func (s Spec) part() time.Duration {
	if s.Count == Bytes || s.Over > MaxExact {
		return (s.Within + Parts - 1) / Parts
	}
	return 0
}

// depth returns how much a window has to hold: what is counted one by one, or
// its parts, of which it can overlap one more than it has.
func (s Spec) depth() int {
	if s.part() > 0 {
		return Parts + 1
	}
	return int(s.Over) + 1
}

func (s Spec) bytesPerKey() int {
	n := int(unsafe.Sizeof(head{}))
	if s.Per.pair() {
		n += int(unsafe.Sizeof(address{}))
	}
	if s.Count.distinct() {
		return n + distinctBytes(s.depth(), s.Count.addresses())
	}
	return n + sumsBytes(s.depth(), s.part() > 0)
}

func (s Spec) errorf(format string, args ...any) error {
	return fmt.Errorf("detector %q: %w", s.Name, fmt.Errorf(format, args...))
}
