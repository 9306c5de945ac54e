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

func bansRows() []row {
	return []row{
		{ID: "bans.restore", What: "1,000,000 bans put back after a flush", Unit: seconds, Anchor: "a bare netlink load of the same elements", MaxRatio: 1.3},
		{ID: "bans.memory", What: "  … peak memory of the process that knows them", Unit: megabytes, Max: most(200)},
		{ID: "bans.submit", What: "  … before that, submitted one by one", Unit: seconds, Anchor: "the same load"},
	}
}

// The table and the set that hold bans of IPv4 hosts.
const (
	coreTable = "moonlatch"
	hostBans  = "banned4"
)

// measureBans makes bans, destroys the kernel's table, has the book put them
// back, and loads the same elements over bare netlink into another namespace.
func measureBans(ctx context.Context, b *bench) error {
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
	submitted, err := submit(ctx, book, b.size.bans)
	if err != nil {
		return err
	}
	var put, one pair
	err = repeat(ctx, b.size.repetition, func() error {
		restored, err := restore(ctx, book)
		if err != nil {
			return err
		}
		like, err := restoredLike(c, b.size.bans)
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
	b.find("bans.restore", put.at(0.5))
	b.find("bans.memory", finding{Measured: mem.peak})
	b.find("bans.submit", one.at(0.5))
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
func submit(ctx context.Context, book *ban.Book, n int) (time.Duration, error) {
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- book.Run(running) }()
	start := time.Now()
	for i := range n {
		r := ban.Request{Target: netip.PrefixFrom(banned(i), 32), Times: []time.Duration{24 * time.Hour}, Why: "11 ports in 10ms", By: "portscan"}
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
	if inForce := book.Stats().InForce[ban.Kind{Family: ban.IPv4, Origin: ban.Local}]; inForce != n {
		return 0, fmt.Errorf("%d of %d bans are in force", inForce, n)
	}
	return time.Since(start), nil
}

// bannedAddress spreads addresses over 16.0.0.0/4, no two of them neighbours.
func bannedAddress(i int) uint32 { return 16<<24 + uint32(i)*3 }

func banned(i int) netip.Addr { return addr4(bannedAddress(i)) }

func addr4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

// restoredLike looks at one of the bans that were put back, and whether all are there.
func restoredLike(c *nft.Client, n int) (bareSet, error) {
	t := nft.Table{Family: nft.Inet, Name: coreTable}
	info, err := c.SetInfo(t, hostBans)
	if err != nil {
		return bareSet{}, err
	}
	if info.Count >= 0 && info.Count != n {
		return bareSet{}, fmt.Errorf("%d of %d bans are back", info.Count, n)
	}
	e, ok, err := c.Element(t, hostBans, netip.PrefixFrom(banned(n/2), 32))
	if err != nil || !ok {
		return bareSet{}, fmt.Errorf("a ban is not back: %w", err)
	}
	return bareSet{interval: info.Interval, timeout: e.Timeout, comment: e.Comment}, nil
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
	time.Sleep(time.Second)
}
