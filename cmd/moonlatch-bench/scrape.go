package main

import (
	"context"
	"time"

	"moonlatch/engine/nft"
)

func scrapeRows() []row {
	return []row{{ID: "scrape.bans", What: "a scrape of /metrics with 1,000,000 bans", Unit: milliseconds, Anchor: "the same with 10", MaxRatio: 1.5}}
}

// measureScrape reads the daemon's metrics while the kernel holds few bans, and again while it holds many.
func measureScrape(ctx context.Context, b *bench) error {
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
		err := c.Load(nft.Table{Family: nft.Inet, Name: coreTable}, k.bans, func(yield func(nft.Element) bool) {
			for i := range bans {
				if !yield(nft.Element{Prefix: k.ban(i), Timeout: time.Hour}) {
					return
				}
			}
		})
		settle() // the daemon looks after its table, which somebody else has changed
		var took []float64
		for len(took) < b.size.scrapes && err == nil {
			start := time.Now()
			_, err = readMetrics(ctx)
			took = append(took, ms(time.Since(start)))
		}
		return took, err
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
