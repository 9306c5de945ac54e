package ban

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"moonlatch/engine/nft"
)

// queueSize is how many requests Submit holds for Run.
const queueSize = 1 << 14

// A Config says what a Book works with. The functions are called from the goroutines of Run and Ban,
// one at a time, and delay the bans that follow.
type Config struct {
	NFT *nft.Client // required; the Book does not close it

	Now     func() time.Time            // nil is time.Now; times with a monotonic clock keep the book right when the wall clock is set
	Observe func(latency time.Duration) // from Request.Packet to the kernel's acknowledgement; may be nil
	Booked  func(Ban)                   // each ban that the kernel acknowledged; may be nil
	Failed  func(Request, error)        // each request to Submit that the kernel refused for good; may be nil
}

// A Book is the ban book. It is safe for concurrent use.
//
// Several processes may have a Book of the same kernel at once. Each knows the bans that others made
// before it was opened, and reads all of them from the kernel wherever it lists bans; a ban of a
// target that another one banned since is not recognised as a duplicate but takes its place.
type Book struct {
	cfg   Config
	nft   *nft.Client
	epoch time.Time

	index    *index
	names    names
	guarded  atomic.Pointer[protection]
	queue    chan Request
	pending  pending
	counters counters

	mu       sync.Mutex // held while the kernel is written to; guards what follows
	prefixes prefixBans
	offences offences
	trial    *trial
}

// Open makes the core table complete, without touching the bans in it, and adopts those and the protected addresses.
func Open(ctx context.Context, cfg Config) (*Book, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	b := &Book{
		cfg:   cfg,
		nft:   cfg.NFT,
		epoch: cfg.Now(),
		index: newIndex(),
		queue: make(chan Request, queueSize),
	}
	b.counters.total = newStats()
	if _, err := ensure(ctx, b.nft); err != nil {
		return nil, fmt.Errorf("open the ban book: %w", err)
	}
	if err := b.adopt(); err != nil {
		return nil, fmt.Errorf("open the ban book: %w", err)
	}
	return b, nil
}

// clock returns the time since the Book was opened, which is how it counts time.
func (b *Book) clock() time.Duration { return b.cfg.Now().Sub(b.epoch) }

// wall returns the time of day of a time on the book's clock.
func (b *Book) wall(until time.Duration) time.Time {
	if until == forever {
		return time.Time{}
	}
	now := b.cfg.Now()
	return now.Add(until - now.Sub(b.epoch)).Round(0)
}

// adopt fills the book with what the kernel holds.
func (b *Book) adopt() error {
	for _, s := range bannedSets() {
		if s.net() {
			continue
		}
		now := b.clock()
		elements, err := b.elements(s)
		if err != nil {
			return err
		}
		for _, e := range elements {
			t, n := s.target(e.Prefix), parseNote(e.Comment)
			b.index.put(t, b.entry(n, untilOf(e, now)))
			if n.origin == Local {
				b.offences.add(t)
			}
		}
	}
	if err := b.loadPrefixes(); err != nil {
		return err
	}
	return b.adoptProtection()
}

// elements lists a set. Where transactions keep coming meanwhile it may miss some of theirs, and only theirs.
func (b *Book) elements(s set) ([]nft.Element, error) {
	elements, err := b.nft.Elements(core(), string(s))
	if err != nil && !errors.Is(err, nft.ErrInterrupted) {
		return nil, err
	}
	return elements, nil
}

// target returns what an element of the set stands for.
func (s set) target(element netip.Prefix) target {
	t := targetOf(element)
	if s == banned6s64 {
		return t.shorten(64)
	}
	return t
}

// untilOf returns when an element that was read at now ends.
func untilOf(e nft.Element, now time.Duration) time.Duration {
	if e.Expires == 0 || e.Expires > forever-now {
		return forever
	}
	return now + e.Expires
}

func (b *Book) entry(n note, until time.Duration) entry {
	return entry{until: until, by: b.names.id(n.by), manual: n.origin == Manual}
}

// names numbers the authors of bans, to count by them and to keep the index free of pointers.
// What comes after the first maxNames shares a number.
type names struct {
	mu  sync.Mutex
	ids map[string]uint16
	all []string
}

const maxNames = math.MaxUint8

// otherName stands for the names that are too many.
const otherName = "other"

func (n *names) id(name string) uint16 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if id, ok := n.ids[name]; ok {
		return id
	}
	if len(n.all) == 0 {
		n.ids, n.all = map[string]uint16{otherName: 0}, []string{otherName}
	}
	if len(n.all) > maxNames || name == otherName {
		return 0
	}
	id := uint16(len(n.all))
	n.ids[name] = id
	n.all = append(n.all, name)
	return id
}

func (n *names) name(id uint16) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all[id]
}
