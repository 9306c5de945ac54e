package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"moonlatch/engine/nft"
)

func scrapeRows() []row {
	return []row{
		{ID: "scrape.bans", What: "a scrape of /metrics with 1,000,000 bans", Unit: milliseconds, Anchor: "the same with 10", MaxRatio: 1.5},
		{ID: "scrape.set", What: "a scrape of /metrics with a set of 1,000,000 addresses", Unit: milliseconds, Anchor: "the same with 10", MaxRatio: 1.5},
	}
}

// measureScrape reads the daemon's metrics while the kernel holds little, and again while it holds much.
func measureScrape(ctx context.Context, b *bench) error {
	return errors.Join(measureScrapeOfBans(ctx, b), measureScrapeOfSet(ctx, b))
}

func measureScrapeOfBans(ctx context.Context, b *bench) error {
	c, err := nft.Open(nft.Config{})
	if err != nil {
		return err
	}
	defer c.Close()
	daemon, err := b.guard(ctx)
	if err != nil {
		return err
	}
	defer daemon.kill()
	k, _ := kinds()
	scrapes := func(bans int) ([]float64, error) {
		_, err := c.Load(nft.Table{Family: nft.Inet, Name: coreTable}, k.bans, func(yield func(nft.Element) bool) {
			for i := range bans {
				if !yield(nft.Element{Prefix: k.ban(i), Timeout: time.Hour}) {
					return
				}
			}
		})
		settle() // the daemon looks after its table, which somebody else has changed
		if err != nil {
			return nil, err
		}
		return b.scrapes(ctx)
	}
	var took pair
	if took.anchor, err = scrapes(10); err != nil {
		return err
	}
	if took.ours, err = scrapes(b.size.bans); err != nil {
		return err
	}
	b.find("scrape.bans", took.at(0.5))
	return nil
}

func measureScrapeOfSet(ctx context.Context, b *bench) error {
	p, err := b.program("scrape", nil)
	if err != nil {
		return err
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	defer p.kill()
	k, _ := kinds()
	scrapes := func(addresses int) ([]float64, error) {
		if err := k.writeFeed(filepath.Join(p.folder, feedFile), addresses); err != nil {
			return nil, err
		}
		if err := p.confirm(ctx, "feed.lua", []byte(feedPolicy)); err != nil {
			return nil, err
		}
		settle()
		return b.scrapes(ctx)
	}
	var took pair
	if took.anchor, err = scrapes(10); err != nil {
		return err
	}
	if took.ours, err = scrapes(b.size.addresses); err != nil {
		return err
	}
	b.find("scrape.set", took.at(0.5))
	return nil
}

// scrapes are the milliseconds that reading the metrics takes, again and again.
func (b *bench) scrapes(ctx context.Context) (took []float64, err error) {
	for len(took) < b.size.scrapes && err == nil {
		start := time.Now()
		_, err = readMetrics(ctx)
		took = append(took, ms(time.Since(start)))
	}
	return took, err
}
