package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

func (k kind) setRows() []row {
	return []row{
		{ID: k.id("set", "apply"), What: "a set of 1,000,000 " + k.addresses + " from a file, applied", Unit: seconds, Anchor: "the file read, and a bare netlink load of it", MaxRatio: 1.5},
		{ID: k.id("set", "memory"), What: "  … peak memory of moonlatch apply, or its nft", Unit: megabytes, Max: most(200)},
	}
}

const feedPolicy = `local fw = require "moonlatch"
local feed = fw.set "feed" { file = "` + feedFile + `" }
local input = fw.chain "input" { hook = "input" }
input { "listed", src = feed, fw.drop }
`

// measureSet applies a policy with a long list, from the start of the command to
// its end, and then reads the same list and loads it over bare netlink.
func (k kind) measureSet(ctx context.Context, b *bench) error {
	c, err := nft.Open(nft.Config{})
	if err != nil {
		return err
	}
	defer c.Close()
	var took pair
	var peak float64
	round := 0
	err = repeat(ctx, k.repetition(b), func() error {
		round++
		p, err := b.program(fmt.Sprint("set", round), nil)
		if err != nil {
			return err
		}
		ours, mem, err := k.applyFeed(ctx, p, b.size.addresses)
		if err != nil {
			return err
		}
		t := nft.Table{Family: nft.Inet, Name: ruleset.Table(1)}
		info, err := c.SetInfo(t, k.set)
		if err != nil {
			return err
		}
		if info.Count >= 0 && info.Count < b.size.addresses {
			return fmt.Errorf("%d of %d addresses are in the set", info.Count, b.size.addresses)
		}
		if err := nftRun(ctx, "flush ruleset"); err != nil {
			return err
		}
		settle()
		bare, err := readAndLoad(ctx, p, bareSet{v6: k.v6, interval: info.Interval})
		took.add(ours.Seconds(), bare.Seconds())
		peak = max(peak, mem)
		return err
	})
	if err != nil {
		return err
	}
	b.find(k.id("set", "apply"), took.at(0.5))
	b.find(k.id("set", "memory"), finding{Measured: peak})
	return nil
}

const feedFile = "feed.txt"

// applyFeed applies the policy and returns how long that took and how many megabytes.
func (k kind) applyFeed(ctx context.Context, p *program, addresses int) (took time.Duration, mem float64, err error) {
	if err := k.writeFeed(filepath.Join(p.folder, feedFile), addresses); err != nil {
		return 0, 0, err
	}
	if err := os.WriteFile(filepath.Join(p.folder, "feed.lua"), []byte(feedPolicy), 0o600); err != nil {
		return 0, 0, err
	}
	start := time.Now()
	state, err := p.wait(p.command(ctx, "apply", "feed.lua"))
	took = time.Since(start)
	if err != nil {
		return 0, 0, err
	}
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, 0, errors.New("no resource usage of a process")
	}
	return took, float64(usage.Maxrss) * 1024 / 1e6, nil // of the process and those it waited for, whichever had most
}

func readAndLoad(ctx context.Context, p *program, s bareSet) (time.Duration, error) {
	start := time.Now()
	addresses, err := readFeed(filepath.Join(p.folder, feedFile))
	reading := time.Since(start)
	if err != nil {
		return 0, err
	}
	loading, err := loadElsewhere(ctx, s, len(addresses), func(i int) uint32 { return addresses[i] })
	return reading + loading, err
}

func (k kind) writeFeed(path string, n int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprintln(w, k.address(bannedAddress(i)))
	}
	return w.Flush()
}

// readFeed reads the list as plainly as Go can.
func readFeed(path string) ([]uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []uint32
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		a, err := netip.ParseAddr(lines.Text())
		if err != nil {
			return nil, err
		}
		b := a.AsSlice()
		if a.Is6() {
			b = b[4:]
		}
		out = append(out, binary.BigEndian.Uint32(b))
	}
	return out, lines.Err()
}
