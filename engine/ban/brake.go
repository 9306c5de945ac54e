package ban

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"
)

// What the brake holds a ban back for. Test with errors.Is.
var (
	ErrRate  = errors.New("is held back: too many bans in a short time")
	ErrShare = errors.New("is held back: too much of a prefix would be banned")
)

// Brake holds the bans of policies back when they become too many: forged sources can
// make a policy ban anybody. A person's bans are never held back. The zero Brake holds none.
type Brake struct {
	Bans   int           // new bans, of which as many can come at once; 0 for any number
	Per    time.Duration // in which so many more may come
	Shares []Share       // the most of some prefixes that may be banned
	// Most is how many bans there may be, 0 for as many as the kernel takes. One more
	// takes the place of the ban of a policy's that ends soonest, or is refused if that is itself.
	Most int
}

// DefaultBrake is the brake of a policy that says nothing: no flood of forged sources
// fills the sets faster than a person can look, and the sets never refuse a ban.
func DefaultBrake() Brake { return Brake{Bans: 3000, Per: time.Minute, Most: MaxBans} }

// MaxBans is the largest Brake.Most and Brake.Bans.
const MaxBans = hashSize

// Share is the most of a prefix that bans may cover, in hundredths of its addresses, or of its /64s for IPv6.
type Share struct {
	Percent int
	Of      netip.Prefix // a certain prefix
	Bits    int          // or each prefix of this length, of the family that IPv6 says
	IPv6    bool
}

func (s Share) String() string {
	switch {
	case s.Of.IsValid():
		return fmt.Sprintf("%d%% of %s", s.Percent, s.Of)
	case s.IPv6:
		return fmt.Sprintf("%d%% of each IPv6 /%d", s.Percent, s.Bits)
	}
	return fmt.Sprintf("%d%% of each IPv4 /%d", s.Percent, s.Bits)
}

// Check returns an error for a share that means nothing.
func (s Share) Check() error {
	widest, narrowest := 8, 31
	if s.IPv6 || s.Of.Addr().Is6() {
		widest, narrowest = 16, 63
	}
	bits := s.Bits
	if s.Of.IsValid() {
		bits = s.Of.Bits()
	}
	switch {
	case s.Percent < 1 || s.Percent > 100:
		return fmt.Errorf("%d%% is no share: it is 1%% to 100%%", s.Percent)
	case bits < widest || bits > narrowest:
		return fmt.Errorf("a share is one of a prefix from /%d to /%d, not of a /%d", widest, narrowest, bits)
	case s.most() < 1:
		return fmt.Errorf("%s is less than one address, so that nobody could be banned", s)
	}
	return nil
}

// bits is the length of the prefixes as targets.
func (s Share) bits() uint8 {
	switch {
	case s.Of.IsValid():
		return targetOf(s.Of).bits
	case s.IPv6:
		return uint8(s.Bits)
	}
	return uint8(s.Bits) + mapped
}

func (s Share) family() Family {
	if s.IPv6 || s.Of.IsValid() && s.Of.Addr().Is6() {
		return IPv6
	}
	return IPv4
}

// most is how many units of a prefix may be banned.
func (s Share) most() int64 {
	whole := units(target{bits: s.bits()}, s.family())
	return int64(float64(whole) * float64(s.Percent) / 100)
}

// units is how many addresses, or /64s, a target is.
func units(t target, f Family) int64 {
	if f == IPv4 {
		return 1 << (128 - t.bits)
	}
	return 1 << (64 - min(t.bits, 64))
}

// parent returns the prefix that a ban of t is counted for, and as how much.
func (s Share) parent(t target) (p target, n int64, ok bool) {
	f := t.family()
	if f != s.family() {
		return p, 0, false
	}
	p = t
	if s.Of.IsValid() {
		p = targetOf(s.Of)
	} else if bits := s.bits(); t.bits > bits {
		p = t.shorten(bits)
	}
	if !p.overlaps(t) {
		return p, 0, false
	}
	p.bits = s.bits() // of a wider ban, the first prefix in it stands for all
	return p, min(units(t, f), units(p, f)), true
}

// SetBrake replaces the brake, from the next ban on. It counts anew what has been used up of it.
func (b *Book) SetBrake(brake Brake) error {
	for _, s := range brake.Shares {
		if err := s.Check(); err != nil {
			return fmt.Errorf("brake: %w", err)
		}
	}
	if brake.Bans < 0 || brake.Bans > MaxBans || brake.Most < 0 || brake.Most > MaxBans {
		return fmt.Errorf("brake: %d bans in %s, %d at most: they are 0 to %d", brake.Bans, brake.Per, brake.Most, MaxBans)
	}
	if brake.Bans > 0 && (brake.Per < time.Second || brake.Per > 24*time.Hour) {
		return fmt.Errorf("brake: %d bans in %s: it is 1s to 24h", brake.Bans, brake.Per)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.brake = brake
	b.bucket = bucket{left: float64(brake.Bans), at: b.clock()}
	b.index.tally(brake.Shares)
	return nil
}

// bucket is the bans that may be made at once.
type bucket struct {
	left float64
	at   time.Duration // when it was filled up last
}

// take takes one ban, if there is one.
func (k *bucket) take(b Brake, now time.Duration) bool {
	grown := float64(now-k.at) / float64(b.Per) * float64(b.Bans)
	k.left, k.at = math.Min(k.left+math.Max(grown, 0), float64(b.Bans)), now
	if k.left < 1 {
		return false
	}
	k.left--
	return true
}

// hold returns why the brake holds a policy's ban back, if it does. The caller holds b.mu.
func (b *Book) hold(r Request, now time.Duration) error {
	if r.Origin != Local {
		return nil
	}
	t := targetOf(r.Target)
	if !b.index.has(t) { // a ban that is only prolonged covers nothing new
		if s, ok := b.index.exceeded(t); ok {
			return fmt.Errorf("%s %w: the most is %s", show(r.Target), ErrShare, s)
		}
	}
	if b.brake.Bans > 0 && !b.bucket.take(b.brake, now) {
		return fmt.Errorf("%s %w: the most is %d in %s", show(r.Target), ErrRate, b.brake.Bans, b.brake.Per)
	}
	return nil
}
