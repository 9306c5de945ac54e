package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/netns"
	"moonlatch/engine/nft"
)

func (k kind) bansRows() []row {
	return []row{
		{ID: k.id("bans", "restore"), What: "1,000,000 bans of " + k.bannedAs + " put back after a flush", Unit: seconds, Anchor: "a bare netlink load of the same elements", MaxRatio: 1.3},
		{ID: k.id("bans", "memory"), What: "  … peak memory of the process that knows them", Unit: megabytes, Max: most(200)},
		{ID: k.id("bans", "submit"), What: "  … before that, submitted one by one", Unit: seconds, Anchor: "the same load"},
	}
}

// coreTable holds the bans.
const coreTable = "moonlatch"

// kind is a kind of addresses, all of which stand for a number.
type kind struct {
	bannedAs, addresses string
	digit               string // behind the names of rows
	v6                  bool
	address             func(number uint32) netip.Addr
	bits                int    // of the prefix that is banned
	bans                string // the kernel set of such bans
	set                 string // the kernel set of the policy's
}

// hostBans holds the bans of IPv4 hosts.
const hostBans = "banned4"

func kinds() (v4, v6 kind) {
	v4 = kind{bannedAs: "IPv4 hosts", addresses: "IPv4 addresses", address: addr4, bits: 32, bans: hostBans, set: "feed4"}
	v6 = kind{bannedAs: "IPv6 /64s", addresses: "IPv6 addresses", digit: "6", v6: true, address: addr6, bits: 64, bans: "banned6_64", set: "feed6"}
	return v4, v6
}

// ban is the ith of many to be banned.
func (k kind) ban(i int) netip.Prefix { return netip.PrefixFrom(k.address(bannedAddress(i)), k.bits) }

// repetition is how often what is done side by side is repeated.
func (k kind) repetition(b *bench) int {
	if k.v6 {
		return 1 // there is not the time for all of it twice
	}
	return b.size.repetition
}

// id names a row of a measurement.
func (k kind) id(measurement, row string) string { return measurement + k.digit + "." + row }

// measureBans makes bans, destroys the kernel's table, has the book put them
// back, and loads the same elements over bare netlink into another namespace.
func (k kind) measureBans(ctx context.Context, b *bench) error {
	c, err := nft.Open(nft.Config{})
	if err != nil {
		return err
	}
	defer c.Close()
	book, err := ban.Open(ctx, ban.Config{NFT: c})
	if err != nil {
		return err
	}
	defer book.Close()
	submitted, err := k.submit(ctx, book, b.size.bans)
	if err != nil {
		return err
	}
	var put, one pair
	err = repeat(ctx, k.repetition(b), func() error {
		restored, err := restore(ctx, book)
		if err != nil {
			return err
		}
		like, err := k.restoredLike(c, b.size.bans)
		if err != nil {
			return err
		}
		bare, err := loadElsewhere(ctx, like, b.size.bans, bannedAddress)
		put.add(restored.Seconds(), bare.Seconds())
		one.add(submitted.Seconds(), bare.Seconds())
		return err
	})
	if err != nil {
		return err
	}
	mem, err := memoryOf(os.Getpid())
	if err != nil {
		return err
	}
	b.find(k.id("bans", "restore"), put.at(0.5))
	b.find(k.id("bans", "memory"), finding{Measured: mem.peak})
	b.find(k.id("bans", "submit"), one.at(0.5))
	return nil
}

// restore destroys everything and has the book put it back.
func restore(ctx context.Context, book *ban.Book) (time.Duration, error) {
	if err := nftRun(ctx, "flush ruleset"); err != nil {
		return 0, err
	}
	settle()
	start := time.Now()
	restored, err := book.Mend(ctx)
	if err != nil || !restored {
		return 0, fmt.Errorf("put the bans back: %t, %w", restored, err)
	}
	return time.Since(start), nil
}

// submit makes n bans as a detector does and returns when the kernel holds them.
func (k kind) submit(ctx context.Context, book *ban.Book, n int) (time.Duration, error) {
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- book.Run(running) }()
	start := time.Now()
	for i := range n {
		r := ban.Request{Target: k.ban(i), Times: []time.Duration{24 * time.Hour}, Why: "11 ports in 10ms", By: "portscan"}
		for !book.Submit(r) { // the queue is full
			if ctx.Err() != nil {
				stop()
				return 0, errors.Join(ctx.Err(), <-ended)
			}
			time.Sleep(time.Millisecond)
		}
	}
	stop() // Run returns when it has done what is queued
	if err := <-ended; err != nil {
		return 0, err
	}
	if inForce := book.Stats().InForce; inForce[ban.Kind{Family: ban.IPv4, Origin: ban.Local}]+inForce[ban.Kind{Family: ban.IPv6, Origin: ban.Local}] != n {
		return 0, fmt.Errorf("of %d bans there are in force %v", n, inForce)
	}
	return time.Since(start), nil
}

// bannedAddress spreads numbers over 16.0.0.0/4, no two of them neighbours.
func bannedAddress(i int) uint32 { return 16<<24 + uint32(i)*3 }

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func addr4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

// addr6 is the first address of a /64 in 2001:db8::/32.
func addr6(n uint32) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// restoredLike looks at one of the bans that were put back, and whether all are there.
func (k kind) restoredLike(c *nft.Client, n int) (bareSet, error) {
	t := nft.Table{Family: nft.Inet, Name: coreTable}
	info, err := c.SetInfo(t, k.bans)
	if err != nil {
		return bareSet{}, err
	}
	if info.Count >= 0 && info.Count != n {
		return bareSet{}, fmt.Errorf("%d of %d bans are back", info.Count, n)
	}
	e, ok, err := c.Element(t, k.bans, host(k.ban(n/2).Addr()))
	if err != nil || !ok {
		return bareSet{}, fmt.Errorf("a ban is not back: %w", err)
	}
	return bareSet{v6: k.v6, interval: info.Interval, timeout: e.Timeout, comment: e.Comment}, nil
}

// loadElsewhere loads n elements over bare netlink in a new namespace.
func loadElsewhere(ctx context.Context, s bareSet, n int, address func(i int) uint32) (took time.Duration, err error) {
	elsewhere, err := netns.New()
	if err != nil {
		return 0, err
	}
	defer elsewhere.Close()
	err = elsewhere.Do(func() error {
		if err := s.declare(ctx, 1<<20); err != nil {
			return err
		}
		took, err = s.load(ctx, n, address)
		return err
	})
	return took, err
}

// settle lets the kernel, which destroys sets in the background, and the garbage
// collector finish what has nothing to do with what is measured next.
func settle() {
	runtime.GC()
	time.Sleep(2 * time.Second)
}
