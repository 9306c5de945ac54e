package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

func setRows() []row {
	return []row{
		{ID: "set.apply", What: "a set of 1,000,000 addresses from a file, applied", Unit: seconds, Anchor: "the file read, and a bare netlink load of it", MaxRatio: 1.5},
		{ID: "set.memory", What: "  … peak memory of moonlatch apply, or its nft", Unit: megabytes, Max: most(200)},
	}
}

const feedPolicy = `local fw = require "moonlatch"
local feed = fw.set "feed" { file = "feed.txt" }
local input = fw.chain "input" { hook = "input" }
input { "listed", src = feed, fw.drop }
`

// measureSet applies a policy with a long list, from the start of the command to
// its end, and then reads the same list and loads it over bare netlink.
func measureSet(ctx context.Context, b *bench) error {
	p, err := b.program("set", nil)
	if err != nil {
		return err
	}
	list := filepath.Join(p.folder, "feed.txt")
	if err := writeFeed(list, b.size.addresses); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.folder, "feed.lua"), []byte(feedPolicy), 0o600); err != nil {
		return err
	}
	start := time.Now()
	state, err := p.wait(p.command(ctx, "apply", "feed.lua"))
	took := time.Since(start)
	if err != nil {
		return err
	}
	c, err := nft.Open(nft.Config{})
	if err != nil {
		return err
	}
	defer c.Close()
	info, err := c.SetInfo(nft.Table{Family: nft.Inet, Name: ruleset.Table(1)}, "feed4")
	if err != nil {
		return err
	}
	if info.Count >= 0 && info.Count < b.size.addresses {
		return fmt.Errorf("%d of %d addresses are in the set", info.Count, b.size.addresses)
	}
	settle()
	start = time.Now()
	addresses, err := readFeed(list)
	if err != nil {
		return err
	}
	reading := time.Since(start)
	bare, err := loadElsewhere(ctx, bareSet{interval: info.Interval}, len(addresses), func(i int) uint32 { return addresses[i] })
	if err != nil {
		return err
	}
	b.find("set.apply", finding{Measured: took.Seconds(), Anchor: (reading + bare).Seconds(), Samples: 1})
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok { // of the process and those it waited for, whichever had most
		b.find("set.memory", finding{Measured: float64(usage.Maxrss) * 1024 / 1e6})
	}
	return nil
}

func writeFeed(path string, n int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprintln(w, banned(i))
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
		b := a.As4()
		out = append(out, binary.BigEndian.Uint32(b[:]))
	}
	return out, lines.Err()
}
