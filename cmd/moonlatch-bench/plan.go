package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// A measurement fills some rows, in a process and a namespace of its own.
type measurement struct {
	name  string
	limit time.Duration // of its time
	rows  []row
	take  func(context.Context, *bench) error
}

// plan is every measurement there is, and with it every budget. Those that load
// the kernel so that it has to clean up behind them come last.
func plan() []measurement {
	const s = time.Second
	v4, v6 := kinds()
	return []measurement{
		{"nflog", 20 * s, nflogRows(), measureNFLOG},
		{"detector", 10 * s, detectorRows(), measureDetector},
		{"lua", 15 * s, luaRows(), measureLua},
		{"rules", 25 * s, rulesRows(), measureRules},
		{"scan", 45 * s, scanRows(), measureScan},
		{"flood", 25 * s, floodRows(), measureFlood},
		{"idle", 20 * s, idleRows(), measureIdle},
		{"expiry", 60 * s, expiryRows(), measureExpiry},
		{"scrape", 50 * s, scrapeRows(), measureScrape},
		{"bans", 45 * s, v4.bansRows(), v4.measureBans},
		{"boot", 90 * s, bootRows(), measureBoot},
		{"set", 35 * s, v4.setRows(), v4.measureSet},
		{"set6", 25 * s, v6.setRows(), v6.measureSet},
		{"bans6", 45 * s, v6.bansRows(), v6.measureBans},
	}
}

// choose returns the measurement of a name, or all for "", which do not include the soak.
func (o options) choose(name string) ([]measurement, error) {
	all := plan()
	if name == soakName {
		return []measurement{{soakName, o.soak + time.Minute, soakRows(), measureSoak}}, nil
	}
	if name == "" {
		return all, nil
	}
	var names []string
	for _, m := range all {
		if m.name == name {
			return []measurement{m}, nil
		}
		names = append(names, m.name)
	}
	return nil, fmt.Errorf("there is no measurement %q: they are %s", name, strings.Join(names, ", "))
}

// sizes are how much is measured.
type sizes struct {
	events     int           // that pass through in-process code
	rules      int           // of a ruleset
	bans       int           // put back
	addresses  int           // of a set
	sources    int           // of a scan at each rate, one after another
	spoofed    int           // sources of the flood
	scanners   int           // inside the flood
	flood      time.Duration // at least
	soak       time.Duration
	idle       time.Duration
	trials     int // in as many namespaces
	trial      time.Duration
	scrapes    int // of metrics
	repetition int // of what is done side by side, if there is time
}

func (o options) sizes() sizes {
	if o.quick {
		return sizes{
			events: 2000, rules: 100, bans: 2000, addresses: 2000, sources: 3, spoofed: 100_000, scanners: 1,
			flood: 300 * time.Millisecond, soak: o.soak, idle: 300 * time.Millisecond, trials: 2, trial: time.Second, scrapes: 5, repetition: 1,
		}
	}
	return sizes{
		events: 400_000, rules: 10_000, bans: 1_000_000, addresses: 1_000_000, sources: 120, spoofed: 1_000_000, scanners: 8,
		flood: 4 * time.Second, soak: o.soak, idle: 10 * time.Second, trials: 100, trial: time.Second, scrapes: 200, repetition: 3,
	}
}
