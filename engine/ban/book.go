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

// A Config says what a Book works with. The functions may be called by several
// goroutines at once. They delay the bans that follow, so they must not wait.
type Config struct {
	NFT *nft.Client // required; Close leaves it open

	// Now is time.Now if nil. Times with a monotonic clock keep the book right when the wall clock is set.
	Now func() time.Time
	// Played means that Now is not the kernel's clock: Expire ends bans, and nobody else makes any.
	Played bool
	// Observe gets the time from Request.Packet to the kernel's acknowledgement. May be nil.
	Observe func(latency time.Duration)
	// Booked gets each ban that the kernel acknowledged. May be nil.
	Booked func(Ban)
	// Lifted gets the targets of n bans that ended, and how, as Stats has it: at most maxNamed
	// of them, and none where all were lifted at once. May be nil.
	Lifted func(targets []netip.Prefix, n int, how string)
	// Changed gets each change of the bans that the kernel acknowledged, in the kernel's order. No other ban is
	// made before it returns. May be nil.
	Changed func(Change)
	// Mended is told that sets were missing from the core table, and that the bans are back but for their reasons. It is
	// called while no other ban can be made, and must not use the Book. May be nil.
	Mended func()
	// Failed gets each submitted request that the kernel refused for good. May be nil.
	Failed func(Request, error)
	// Storm is told when bans begin to be held back, and when that is over. May be nil.
	Storm func(Storm)
	// Connected finds out whom this host has opened connections to, for requests that spare them. May take
	// some milliseconds. If nil, nobody is spared.
	Connected func() (func(netip.Prefix) bool, error)
	// Cut gets the target of each ban that the kernel acknowledged and that asked for it. May be nil.
	Cut func(netip.Prefix)
}

// A Book is the ban book. It is safe for concurrent use.
//
// Several processes may have a Book of the same kernel at once: Ban, and whatever
// lists or lifts bans, ask the kernel what others did. Submit and Run do so until Run
// has adopted the bans that it found, and are for one process alone from there on.
type Book struct {
	cfg    Config
	nft    *nft.Client
	lister *nft.Client // for what may take long, which others who read would have to wait for
	epoch  time.Time

	index    *index
	names    names
	guarded  atomic.Pointer[protection]
	queue    chan Request
	pending  pending
	counters counters
	held     storms
	adopted  atomic.Bool
	adopting sync.WaitGroup

	mu       sync.Mutex // held while the kernel is written to; guards what follows
	prefixes prefixBans
	offences offences
	trial    *trial
	adoption *adoption // nil when none is going on

	brake       Brake
	bucket      bucket
	aggregation Aggregation
	crowds      crowds
	recount     bool // bans came into the index that crowds does not have

	destroyed bool // sets were missing from the core table, and not all that they held is back
}

// Open makes the core table complete, without touching what is in it, and adopts
// the protected addresses and the bans of prefixes; Run adopts those of hosts. The
// calling thread must be in the network namespace of cfg.NFT. The caller closes the Book.
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
	b.held = storms{tell: cfg.Storm, now: cfg.Now}
	if err := b.open(ctx); err != nil {
		return nil, fmt.Errorf("open the ban book: %w", err)
	}
	return b, nil
}

func (b *Book) open(ctx context.Context) error {
	if _, err := ensure(ctx, b.nft); err != nil {
		return err
	}
	if err := b.loadPrefixes(); err != nil {
		return err
	}
	if err := b.adoptProtection(); err != nil {
		return err
	}
	var err error
	b.lister, err = nft.Open(nft.Config{})
	return err
}

// Close frees what the Book holds, but not Config.NFT. To be called after Run has returned. Bans stay in force.
func (b *Book) Close() error {
	err := b.lister.Close() // ends the listing that Run may have left behind
	b.adopting.Wait()
	return err
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

// elements lists a set. Where it is in motion meanwhile, some may be missing.
func elements(c *nft.Client, s set) ([]nft.Element, error) {
	all, err := c.Elements(core(), string(s))
	if err != nil && !errors.Is(err, nft.ErrInterrupted) {
		return nil, err
	}
	return all, nil
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
	return newEntry(until, b.names.id(n.by), n.origin == Manual)
}

// names numbers the authors of bans, to count by them and to keep the index free of pointers.
// What comes after the first maxNames shares a number.
type names struct {
	mu  sync.Mutex
	ids map[string]uint8
	all []string
}

const maxNames = math.MaxUint8

// otherName stands for the names that are too many.
const otherName = "other"

func (n *names) id(name string) uint8 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if id, ok := n.ids[name]; ok {
		return id
	}
	if len(n.all) == 0 {
		n.ids, n.all = map[string]uint8{otherName: 0}, []string{otherName}
	}
	if len(n.all) > maxNames || name == otherName {
		return 0
	}
	id := uint8(len(n.all))
	n.ids[name] = id
	n.all = append(n.all, name)
	return id
}

func (n *names) name(id uint8) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all[id]
}
