package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/ruleset"
)

func TestWatchdogAndProtected(t *testing.T) {
	s := newStage(t, ``)
	if w := s.Watchdog(); w != (Watchdog{Confirm: time.Minute, Fallback: "previous", Drift: "heal"}) {
		t.Errorf("default watchdog: %+v", w)
	}
	s = newStage(t, `local admins = fw.set "admins" { "2001:db8::/48" }
fw.watchdog { confirm = "2m", fallback = "open", lease = "1m30s", drift = "report" }
fw.protect { admins, "192.0.2.1-192.0.2.2", { "::ffff:198.51.100.7" } }
fw.protect "203.0.113.1"`)
	if w := s.Watchdog(); w != (Watchdog{Confirm: 2 * time.Minute, Fallback: "open", Lease: 90 * time.Second, Drift: "report"}) {
		t.Errorf("watchdog: %+v", w)
	}
	if got := fmt.Sprint(s.Protected()); got != "[192.0.2.1/32 192.0.2.2/32 198.51.100.7/32 203.0.113.1/32 2001:db8::/48]" {
		t.Errorf("protected: %s", got)
	}
}

func TestWarnings(t *testing.T) {
	s := newStage(t, `local quiet, unheard, unused = fw.stream "quiet", fw.stream "unheard", fw.stream "unused"
local input = fw.chain "in2" { hook = "input" }
input { "a", iif = { "eht0", "wg*", "tun*", "eth1" }, fw.accept }
input { "b", unheard, fw.drop }
fw.chain "nic" { family = "netdev", hook = "ingress", device = "ethh0" }
fw.chain "forgotten" { "all", fw.drop }
input { "c", "tcp dport vmap { 22 : jump called, 23 : goto called-too }" }
fw.chain "called" {}; fw.chain "called-too" {}
fw.on(quiet, function() end)
fw.detect "d" { on = closed, over = 1, within = "1m" }
fw.watchdog { check = function() return true end }`)
	var got []string
	for _, w := range s.Warnings() {
		got = append(got, w.Error())
	}
	want := []string{
		`policy.lua:7: rule "a": interface "eht0" does not exist on this host (did you mean "eth0"?)`,
		`policy.lua:7: rule "a": interface "tun*" does not exist on this host`,
		`policy.lua:9: chain "nic": interface "ethh0" does not exist on this host (did you mean "eth0"?)`,
		`policy.lua:10: chain "forgotten" is never called: it has no hook, and no rule jumps to it`,
		`policy.lua:5: stream "quiet" never has events: no rule has it among its items`,
		`policy.lua:5: stream "unheard" has no listener: no fw.on and no fw.detect is on it`,
		`policy.lua:5: stream "unused" is not used: no rule logs to it, and nothing listens to it`,
		`policy.lua:11: rule "c" can never match: rule "b" before it, at policy.lua:8, takes all its packets`,
		`policy.lua:15: without a lease, only moonlatch apply --confirm-by-check asks the watchdog's check: with lease = "30s", the daemon asks it every 10s`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestSetWarnings: a set that nothing asks for, and one in which nothing will ever be.
func TestSetWarnings(t *testing.T) {
	for more, want := range map[string]string{
		`fw.set "x" { "192.0.2.1" }`:                                                                                         `policy.lua:4: set "x" is not used: no rule asks for it`,
		`fw.feed "x" { url = "https://lists.example.org/" }`:                                                                 `policy.lua:4: feed "x" is not used: no rule asks for it`,
		`fw.set "p" { of = { "src", "dport" }, { "192.0.2.1", 22 } }`:                                                        `policy.lua:4: set "p" is not used: no rule asks for it`,
		`local x = fw.set "x" {}; input { "a", src = x, fw.drop }`:                                                           `policy.lua:4: rule "a" can never match: set "x" is empty, and nothing fills it`,
		`local x = fw.set "x" {}; input { "a", src = { x, "192.0.2.1" }, fw.drop }`:                                          "",
		`local x = fw.set "x" {}; input { "a", not_src = x, tcp = 1, fw.drop }`:                                              "",
		`local x = fw.set "x" { dynamic = true }; input { "a", src = x, fw.drop }`:                                           "",
		`local x = fw.set "x" { dynamic = true, keep = true }; input { "a", src = x, fw.drop }`:                              "",
		`local x = fw.set "x" { dynamic = true }; input { "a", tcp = 1, fw.add(x, "src"), fw.drop }`:                         "",
		`local x = fw.feed "x" { url = "https://lists.example.org/" }; input { "a", src = x, fw.drop }`:                      "",
		`local x = fw.set "x" { "192.0.2.1" }; fw.protect { x }`:                                                             "",
		`local x = fw.set "x" { "192.0.2.1" }; input { "a", src = fw.set "y" { x }, fw.drop }`:                               "",
		`local x = fw.set "x" { 80 }; input { "a", tcp = x, fw.drop }`:                                                       "",
		`fw.set "x" { "192.0.2.1" }; input { "a", "ip saddr @x", fw.drop }`:                                                  "",
		`local s = fw.set "p" { of = { "src", "dport" }, { "192.0.2.1", 22 } }; input { "a", set = s, tcp = true, fw.drop }`: "",
	} {
		p, err := Load(fstest.MapFS{"policy.lua": {Data: []byte("local fw = require \"moonlatch\"\n\nlocal input = fw.chain \"input\" { hook = \"input\" }\n" + more)}}, "policy.lua", Env{})
		if err != nil {
			t.Fatalf("%s: %v", more, err)
		}
		defer p.Close()
		var got []string
		for _, w := range p.Warnings() {
			if strings.Contains(w.Error(), "is not used: no rule") || strings.Contains(w.Error(), "is empty") {
				got = append(got, w.Error())
			}
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s\ngot  %q\nwant %q", more, got, want)
		}
	}
}

// TestJumpLoop: chains that lead to one another are refused before the kernel does it in its own words.
func TestJumpLoop(t *testing.T) {
	const chains = `local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input" }; local a, b = fw.chain "a" {}, fw.chain "b" {}; input { "a", tcp = 1, fw.jump(a) }
`
	for rules, want := range map[string]string{
		`a { "b", fw.jump(b) }; b { "a", fw.goto_(a) }`:                            `policy.lua:2: chain "a" leads to itself, a -> b -> a`,
		`a { "a", tcp = true, fw.vmap { [80] = a } }`:                              `policy.lua:2: chain "a" leads to itself, a -> a`,
		`a { "b", fw.jump(b) }; input { "b", fw.jump(b) }; a { "b2", fw.jump(b) }`: "",
	} {
		p, err := Load(fstest.MapFS{"policy.lua": {Data: []byte(chains + rules)}}, "policy.lua", Env{})
		if err == nil {
			p.Close()
		}
		if (err != nil) != (want != "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", rules, err, want)
		}
	}
}

// TestBanWarning has a detector that bans, with and without anybody protected.
func TestBanWarning(t *testing.T) {
	const warning = `policy.lua:4: detector "d" bans, and no address is protected: packets with a forged source could have yours banned: add fw.protect { "192.0.2.1" }`
	for more, want := range map[string]bool{
		`fw.detect "d" { on = s, over = 1, within = "1m", ban = "1h" }`:                             true,
		`fw.detect "d" { on = s, over = 1, within = "1m" }`:                                         false,
		`fw.detect "d" { on = s, over = 1, within = "1m", ban = "1h", shadow = true }`:              false,
		`fw.detect "d" { on = s, over = 1, within = "1m", ban = "1h" }; fw.protect { "192.0.2.1" }`: false,
	} {
		warns(t, more, warning, want)
	}
}

// TestSyslogWarning logs to the kernel's log with and without a bound.
func TestSyslogWarning(t *testing.T) {
	const warning = `policy.lua:4: rule "odd" writes a line of the kernel's log for every packet that comes: add limit = "10/min", and the verdict in a rule of its own`
	for more, want := range map[string]bool{
		`input { "odd", tcp = 7, fw.syslog "odd: " }`:                     true,
		`input { "odd", tcp = 7, limit = "10/min", fw.syslog "odd: " }`:   false,
		`fw.chain "out" { hook = "output" } { "odd", fw.syslog "odd: " }`: false,
		`input { "odd", tcp = 7, accept }`:                                false,
	} {
		warns(t, more, warning, want)
	}
}

// warns loads a policy whose last line is more, and looks for a warning.
func warns(t *testing.T, more, warning string, want bool) {
	t.Helper()
	p, err := Load(fstest.MapFS{"policy.lua": {Data: []byte(`local fw = require "moonlatch"; local accept, drop = fw.accept, fw.drop
local s = fw.stream "s"
local input = fw.chain "in" { hook = "input" }; input { "log", tcp = 9, s }
` + more)}}, "policy.lua", Env{})
	if err != nil {
		t.Fatalf("%s: %v", more, err)
	}
	defer p.Close()
	if got := slices.ContainsFunc(p.Warnings(), func(w *ruleset.Error) bool { return w.Error() == warning }); got != want {
		t.Errorf("%s: warned %v, want %v: %v", more, got, want, p.Warnings())
	}
}

// TestLockOutWarning drops everything with and without an eye on open connections.
func TestLockOutWarning(t *testing.T) {
	const warning = `policy.lua:2: chain "in" drops what no rule accepts, and no rule accepts ct = "established": open connections, yours included, and replies to this host are dropped`
	for rule, want := range map[string]bool{
		`input { "ssh", tcp = 22, accept }`:                              true,
		`input { "new", not_ct = { "established", "related" }, drop }`:   true,
		`input { "replies", ct = { "established", "related" }, accept }`: false,
		`input { "replies", "ct state established,related", accept }`:    false,
	} {
		p, err := Load(fstest.MapFS{"policy.lua": {Data: []byte(`local fw = require "moonlatch"; local accept, drop = fw.accept, fw.drop
local input = fw.chain "in" { hook = "input", policy = "drop" }
` + rule)}}, "policy.lua", Env{})
		if err != nil {
			t.Errorf("%s: %v", rule, err)
			continue
		}
		got := slices.ContainsFunc(p.Warnings(), func(w *ruleset.Error) bool { return w.Error() == warning })
		if got != want {
			t.Errorf("%s: warned %v, want %v: %v", rule, got, want, p.Warnings())
		}
		p.Close()
	}
}

// A mistake in a loop is reported once, and a flood of them is cut off.
func TestManyMistakes(t *testing.T) {
	_, err := Load(fstest.MapFS{"policy.lua": {Data: []byte(prelude + `for i = 1, 1000 do input { "a", tpc = 80, accept } end
for i = 1, 150 do input { "a", tcp = 70000 + i, accept } end`)}}, "policy.lua", Env{})
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxMistakes+1 || lines[0] != `policy.lua:2: unknown field "tpc" in rule "a" (did you mean "tcp"?)` || lines[maxMistakes] != "and 51 mistakes more" {
		t.Errorf("%d lines: %s … %s", len(lines), lines[0], lines[len(lines)-1])
	}
}

// Of a bad list the first 20 bad lines are shown.
func TestBadList(t *testing.T) {
	folder := fstest.MapFS{"policy.lua": {Data: []byte(prelude + `fw.set "a" { file = "list" }`)}, "list": {Data: []byte("192.0.2.1\n\n" + strings.Repeat("bad\n", 30))}}
	_, err := Load(folder, "policy.lua", Env{})
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxListMistakes+1 || !strings.HasPrefix(lines[0], `list:3: "bad" is no address`) || lines[maxListMistakes] != "list:23: and more bad lines behind this one" {
		t.Errorf("%d lines: %s … %s", len(lines), lines[0], lines[len(lines)-1])
	}
}

// A list from elsewhere may start with a byte order mark and end its lines as Windows does.
func TestListFromElsewhere(t *testing.T) {
	folder := fstest.MapFS{"policy.lua": {Data: []byte(prelude + `fw.set "a" { file = "list" }`)}, "list": {Data: []byte("\ufeff192.0.2.1\r\n# x\r\n\t2001:db8::/32 # y")}}
	p := loadFolder(t, folder, Env{})
	if got := fmt.Sprint(slices.Collect(p.Ruleset().Sets[2].Addrs.Prefixes())); got != "[192.0.2.1/32 2001:db8::/32]" {
		t.Errorf("got %s", got)
	}
}
