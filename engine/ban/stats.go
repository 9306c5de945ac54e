package ban

import (
	"maps"
	"sync"
)

// Family is an address family.
type Family string

// The families.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

// Why a ban was not made. Stats has a figure for each.
const (
	SuppressedProtected = "protected"
	SuppressedDuplicate = "duplicate"
	SuppressedInvalid   = "invalid" // a target or a time that cannot be
	SuppressedQueueFull = "queue_full"
	SuppressedSetFull   = "set_full"
	SuppressedTrialOver = "trial_over"
	SuppressedKernel    = "kernel" // refused for another reason, after retrying
	SuppressedRate      = "rate_limit"
	SuppressedShare     = "share"     // too much of a prefix would be banned
	SuppressedConnected = "connected" // this host has a connection open to the target
)

// How a ban ended. Stats has a figure for each.
const (
	UnbannedExpired   = "expired"
	UnbannedRequest   = "request" // Unban and UnbanAll
	UnbannedProtected = "protected"
	UnbannedTrial     = "trial"   // it ended unconfirmed
	UnbannedEvicted   = "evicted" // it made room for a longer one
)

// Kind is what bans in force are counted by.
type Kind struct {
	Family Family
	Origin Origin
}

// Author is what bans made are counted by. By is "other" beyond the first 255 names.
type Author struct {
	By     string
	Origin Origin
}

// Stats is a snapshot. All but InForce and Queued are running totals since Open.
type Stats struct {
	InForce    map[Kind]int // of all kinds; a ban that ended may count for some seconds more while Run runs
	Banned     map[Author]uint64
	Suppressed map[string]uint64
	Unbanned   map[string]uint64
	Storms     map[string]bool // the reasons for which bans are held back at the moment
	Adopted    bool            // InForce is complete: Run has read what the kernel held before
	Retries    uint64          // transactions that were tried again
	Queued     int             // requests that Run has not taken yet
}

// counters are the running totals.
type counters struct {
	mu    sync.Mutex
	total Stats
}

func newStats() Stats {
	s := Stats{
		InForce:    make(map[Kind]int),
		Banned:     make(map[Author]uint64),
		Suppressed: make(map[string]uint64),
		Unbanned:   make(map[string]uint64),
	}
	for _, reason := range []string{
		SuppressedProtected, SuppressedDuplicate, SuppressedInvalid, SuppressedQueueFull,
		SuppressedSetFull, SuppressedTrialOver, SuppressedKernel,
		SuppressedRate, SuppressedShare, SuppressedConnected,
	} {
		s.Suppressed[reason] = 0
	}
	for _, reason := range []string{UnbannedExpired, UnbannedRequest, UnbannedProtected, UnbannedTrial, UnbannedEvicted} {
		s.Unbanned[reason] = 0
	}
	return s
}

func (c *counters) suppressed(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total.Suppressed[reason]++
}

func (c *counters) unbanned(reason string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total.Unbanned[reason] += uint64(n)
}

func (c *counters) banned(by Author) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total.Banned[by]++
}

func (c *counters) retried() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total.Retries++
}

// Stats returns the figures without asking the kernel.
func (b *Book) Stats() Stats {
	b.counters.mu.Lock()
	s := b.counters.total
	s.Banned = maps.Clone(s.Banned)
	s.Suppressed = maps.Clone(s.Suppressed)
	s.Unbanned = maps.Clone(s.Unbanned)
	b.counters.mu.Unlock()
	s.InForce = make(map[Kind]int)
	for i, family := range []Family{IPv4, IPv6} {
		for j, origin := range []Origin{Local, Manual} {
			s.InForce[Kind{family, origin}] = int(b.index.inForce[i][j].Load())
		}
	}
	s.Queued = len(b.queue)
	s.Storms = b.held.going()
	s.Adopted = b.adopted.Load()
	return s
}
