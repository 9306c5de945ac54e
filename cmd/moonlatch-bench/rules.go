package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing/fstest"
	"time"

	"moonlatch/engine/generation"
	"moonlatch/engine/nft"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
)

func rulesRows() []row {
	return []row{{ID: "rules.apply", What: "10,000 rules, rendered, stored, in force", Unit: seconds, Anchor: "nft -f of the same text", MaxRatio: 1.3}}
}

// rulesPolicy makes as many rules as its first line says, no two of them alike.
const rulesPolicy = `
local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input" }
for i = 1, rules do
  input { "rule " .. i, src = ("10.%d.%d.0/24"):format(i / 256 % 256, i % 256), tcp = 1024 + i, fw.accept }
end
`

// measureRules puts a ruleset in force where there is none, and has nft do the
// same with the same text from a file. Where the kernel takes no transaction of
// that size from this user, it measures a smaller one and says so.
func measureRules(ctx context.Context, b *bench) error {
	c, err := nft.Open(nft.Config{})
	if err != nil {
		return err
	}
	defer c.Close()
	m, err := generation.Open(generation.Config{NFT: c, Dir: b.dir})
	if err != nil {
		return err
	}
	r := &rules{nft: c, manager: m, file: filepath.Join(b.dir, "rules.nft")}
	for n := b.size.rules; ; n /= 2 {
		took, err := r.sideBySide(ctx, n, b.size.repetition)
		if n > 1 && errors.Is(err, nft.ErrTooBig) {
			continue
		}
		if err != nil {
			return err
		}
		f := took.at(0.5)
		if n < b.size.rules {
			f.Reduced = true
			f.Note = fmt.Sprintf("only %d rules: net.core.wmem_max allows no more but to root", n)
		}
		b.find("rules.apply", f)
		return nil
	}
}

type rules struct {
	nft     *nft.Client
	manager *generation.Manager
	file    string
}

func (r *rules) sideBySide(ctx context.Context, n, times int) (took pair, err error) {
	text := fmt.Sprintf("local rules = %d", n) + rulesPolicy
	p, err := policy.Load(fstest.MapFS{"policy.lua": {Data: []byte(text)}}, "policy.lua", policy.Env{})
	if err != nil {
		return took, err
	}
	defer p.Close()
	const number = 1_000_000 // none that the manager gives
	rendered := p.Ruleset().Render(ruleset.Options{Generation: number, Trial: true}).String()
	if err := os.WriteFile(r.file, []byte(rendered), 0o600); err != nil {
		return took, err
	}
	err = repeat(ctx, times, func() error {
		ours, err := r.apply(ctx, p)
		if err != nil {
			return err
		}
		anchor, err := r.feed(ctx, number)
		took.add(ours.Seconds(), anchor.Seconds())
		return err
	})
	return took, err
}

// apply puts the policy's ruleset in force and takes it out again.
func (r *rules) apply(ctx context.Context, p *policy.Policy) (time.Duration, error) {
	start := time.Now()
	g, err := r.manager.Apply(ctx, generation.Request{
		Ruleset: p.Ruleset(), Files: p.Files(), By: "bench", Confirm: time.Hour, Fallback: generation.FallbackPrevious,
	})
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	return took, r.discard(g.Number)
}

// feed has nft read the file.
func (r *rules) feed(ctx context.Context, number uint64) (time.Duration, error) {
	start := time.Now()
	out, err := exec.CommandContext(ctx, "nft", "-f", r.file).CombinedOutput()
	took := time.Since(start)
	if err != nil {
		return 0, fmt.Errorf("nft -f: %w: %s", err, out)
	}
	return took, r.discard(number)
}

// discard deletes the table of a generation.
func (r *rules) discard(number uint64) error {
	tx := r.nft.Begin()
	tx.DeleteTable(nft.Table{Family: nft.Inet, Name: ruleset.Table(number)})
	return tx.Commit()
}
