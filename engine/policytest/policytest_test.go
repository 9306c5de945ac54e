package policytest_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/policytest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

const policyText = `
local fw = require "moonlatch"
local accept, drop = fw.accept, fw.drop
local admins = fw.set "admins" { "192.0.2.0/28", "2001:db8::/48" }
fw.set "ports" { 80, 443 }
local closed, odd = fw.stream "closed", fw.stream "odd"
fw.protect { admins }
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "replies", ct = "established", accept }
input { "ssh", tcp = 22, src = admins, accept }
input { "web", tcp = { 80, 443 }, accept }
input { "telnet", tcp = 23, fw.trap "24h", drop }
input { "odd", udp = 7, odd, drop }
input { "closed", flags = "syn", closed, drop }
fw.detect "portscan" { on = closed, count = "distinct dport", over = 10, within = "60s", ban = { "1h", "24h" } }
fw.on(odd, function(ev)
  if ev.sport == 666 then error "the devil" end
  fw.ban(ev.src, "5m", "odd")
end)
fw.every("10m", function() fw.unban("203.0.113.77") end)
local noted = fw.stream "noted"
input { "noted", udp = 100, noted, drop }
fw.on(noted, function(ev) assert(fw.notify("ops", { title = "a packet from " .. ev.src, text = "its ttl is " .. ev.ttl })) end)
local memo = fw.stream "memo"
input { "memo", udp = 99, memo, drop }
fw.on(memo, function(ev)
  if fw.recall("knocked") then fw.ban(ev.src, "9h", "again") end
  fw.remember("knocked", true, "1h")
end)
`

// run runs a test file and returns what its tests and itself are told.
func run(t *testing.T, text string) (results []policytest.Result, err error) {
	t.Helper()
	netnstest.Kernel(t)
	folder := fstest.MapFS{"web.lua": {Data: []byte(policyText)}, "web_test.lua": {Data: []byte(text)}, "bad.lua": {Data: []byte("local fw = require 'moonlatch'\nfw.chian 'x' {}\n")}}
	f, err := policytest.Load(policytest.Config{Folder: folder, Log: slog.New(slog.DiscardHandler)}, "web_test.lua")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = f.Run(t.Context(), nil, func(r policytest.Result) { results = append(results, r) })
	return results, err
}

const head = "local t = require 'moonlatch.test'\nlocal web = t.load 'web.lua'\n"

// inTest is a file with one test, whose body is on line 4.
func inTest(body string) string { return head + "t.test('x', function()\n" + body + "\nend)\n" }

func TestPasses(t *testing.T) {
	for name, body := range map[string]string{
		"detector": `for port = 1000, 1011 do t.send { tcp = port }; t.send { src = "192.0.2.5", tcp = port } end
			t.banned("203.0.113.9", "1h"); t.not_banned("192.0.2.5")
			t.send { tcp = 443 }:expect("drop", "banned")`,
		"trap": `t.send { tcp = 23 }:expect("drop", "telnet"); t.banned("203.0.113.9", "24h")
			t.send { tcp = 80 }:expect("drop", "banned")
			t.advance "23h"; t.banned("203.0.113.9"); t.advance "2h"; t.not_banned("203.0.113.9")
			t.send { tcp = 80 }:expect("accept", "web")`,
		"handler":     `t.send { src = "2001:db8:7::7", udp = 7 }; t.banned("2001:db8:7::8", "5m")`,
		"timer":       `t.send { src = "203.0.113.77", tcp = 23 }; t.advance "9m"; t.banned "203.0.113.77"; t.advance "1m"; t.not_banned "203.0.113.77"`,
		"memory":      `t.send { udp = 99 }; t.advance "59m"; t.send { udp = 99 }; t.banned("203.0.113.9", "9h")`,
		"memory ends": `t.send { udp = 99 }; t.advance "61m"; t.send { udp = 99 }; t.not_banned("203.0.113.9")`,
		"events":      `t.send { tcp = 9, count = 7 }; assert(t.events "closed" == 7)`,
		"state": `t.send { tcp = 80, flags = "ack", sport = 7 }:expect("accept", "web"); t.connect { tcp = 80, sport = 8 }
			t.send { tcp = 80, flags = "ack", sport = 8 }:expect("accept", "replies")`,
		"sets":    `for _, a in ipairs(web.sets.admins) do assert(a == "192.0.2.0/28" or a == "2001:db8::/48", a) end`,
		"address": `t.send { dst = "192.0.2.80", tcp = 80 }:expect("accept"); t.address "192.0.2.80"; assert(t.send { dst = "192.0.2.80", tcp = 80 }.rule == "web")`,
		"notices": `t.send { udp = 100 }; t.notified "ops"; t.notified("ops", "^a packet from 203%.0%."); t.notified("ops", "ttl")`,
		"fields":  `local s = t.send { tcp = 80 }:expect("accept"); assert(s.verdict == "accept" and s.rule == "web" and s.chain == "input")`,
	} {
		t.Run(name, func(t *testing.T) {
			results, err := run(t, inTest(body))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range results[0].Failures {
				t.Errorf("%s: %s\n%s", f.Place, f.Text, strings.Join(f.Trace, "\n"))
			}
		})
	}
}

func TestFails(t *testing.T) {
	for body, want := range map[string]string{
		`t.send { tcp = 22 }:expect("accept", "ssh")`:                       `expected accept by "ssh", got drop by "closed"`,
		`t.send { tcp = 80 }:expect("drop")`:                                `expected drop, got accept by "web"`,
		`t.send { udp = 9 }:expect("accept")`:                               `expected accept, got drop by the policy of chain input`,
		`t.send { src = "127.0.0.1", tcp = 80 }:expect("accept")`:           `expected accept, got lost: no rule dropped it, but the kernel did (no route, or not a possible sender)`,
		`t.send { dst = "198.51.100.1", tcp = 80 }:expect("accept", "web")`: `expected accept by "web", got accept: no chain of the policy sees it`,
		`t.connect { tcp = 22 }`:                                            `the connection cannot be made: drop by "closed"`,
		`t.banned "203.0.113.9"`:                                            `203.0.113.9 is not banned`,
		`t.send { tcp = 23 }; t.banned("203.0.113.9", "1h")`:                `203.0.113.9 is banned for 24h0m0s, by trap (touched telnet), and not for 1h0m0s`,
		`t.send { tcp = 23 }; t.not_banned("203.0.113.9")`:                  `203.0.113.9 is banned, as 203.0.113.9 for 24h0m0s by trap: touched telnet`,
		`t.send { udp = 7, sport = 666 }`:                                   `the policy's Lua failed: web.lua:17: handler web.lua:16: the devil`,
		`t.send { tcp = 80 }:expect_nat { dport = 8080 }`:                   `expected dport 8080 after NAT, got 80`,
		`t.notified "ops"`:                                                  `ops is told nothing`,
		`t.send { udp = 100 }; t.notified("osp")`:                           `osp is told nothing`,
		`t.send { udp = 100 }; t.notified("ops", "x")`:                      `ops is told nothing that matches "x", but "a packet from 203.0.113.9"`,
		`assert(false, "what the author says")`:                             `what the author says`,
	} {
		results, err := run(t, inTest(body))
		switch {
		case err != nil:
			t.Errorf("%s: %v", body, err)
		case len(results[0].Failures) != 1:
			t.Errorf("%s: %d failures: %+v", body, len(results[0].Failures), results[0].Failures)
		default:
			f := results[0].Failures[0]
			if f.Place != "web_test.lua:4" || f.Text != want {
				t.Errorf("%s\ngot  %s: %s\nwant web_test.lua:4: %s", body, f.Place, f.Text, want)
			}
		}
	}
}

func TestFailureShowsTheRules(t *testing.T) {
	results, err := run(t, inTest(`t.send { tcp = 23 }:expect("accept")`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"tcp 203.0.113.9:40000 -> 198.18.0.1:23 syn, in by eth0",
		"  early: its policy: accept",
		"  trapped: its policy: accept",
		`  input "telnet": tcp dport 23 jump rule.input.telnet`,
	}
	got := results[0].Failures[0].Trace
	if diff := cmp.Diff(want, got[:min(len(got), len(want))]); diff != "" {
		t.Errorf("want + got:\n%s\nall: %q", diff, got)
	}
}

// TestMistakes holds every mistake in a test file to its message.
func TestMistakes(t *testing.T) {
	for _, m := range []struct{ file, want string }{
		{inTest(`t.sned { tcp = 22 }`), `web_test.lua:4: unknown name t.sned (did you mean "send"?)`},
		{inTest(`t.send { tpc = 22 }`), `web_test.lua:4: unknown field "tpc" in t.send (did you mean "tcp"?)`},
		{inTest(`t.send { 22 }`), `web_test.lua:4: t.send: its fields have names, and the number 22 has none`},
		{inTest(`t.send "ssh"`), `web_test.lua:4: t.send { src = "203.0.113.9", tcp = 22 } is expected, not "ssh"`},
		{inTest(`t.send { src = "192.0.2.5" }`), `web_test.lua:4: t.send: the protocol is missing: tcp = PORT, udp = PORT, sctp = PORT, icmp = TYPE or proto = NAME`},
		{inTest(`t.send { tcp = 22, udp = 22 }`), `web_test.lua:4: t.send: a packet has one protocol, not tcp and udp`},
		{inTest(`t.send { udp = 22, flags = "syn" }`), `web_test.lua:4: t.send: flags are TCP's`},
		{inTest(`t.send { tcp = 70000 }`), `web_test.lua:4: t.send: tcp: a whole number from 0 to 65535 is expected, not the number 70000`},
		{inTest(`t.send { tcp = "shh" }`), `web_test.lua:4: t.send: tcp: "shh" is no port: a packet goes to one port, such as 22 or "ssh"`},
		{inTest(`t.send { tcp = 22, src = "192.0.2.0/24" }`), `web_test.lua:4: t.send: src: "192.0.2.0/24" is no address: a packet has one address, such as "192.0.2.5"`},
		{inTest(`t.send { tcp = 22, src = "192.0.2.1", dst = "2001:db8::1" }`), `web_test.lua:4: t.send: src 192.0.2.1 and dst 2001:db8::1 are of different address families`},
		{inTest(`t.send { tcp = 22, flags = "sin" }`), `web_test.lua:4: t.send: flags: "sin" are no flags: write "syn", "syn,ack" or "none"`},
		{inTest(`t.send { icmp = "echo-reqest" }`), `web_test.lua:4: t.send: icmp: "echo-reqest" is no type of icmp (did you mean "echo-request"?)`},
		{inTest(`t.send { tcp = 22, iif = "wg*" }`), `web_test.lua:4: t.send: iif: "wg*" is no interface: a packet goes by one interface, such as "eth0"`},
		{inTest(`t.send { tcp = 22, count = 0 }`), `web_test.lua:4: t.send: count is 0: nothing would be sent`},
		{inTest(`t.send { tcp = 22 }:expect("acept")`), `web_test.lua:4: "acept" is no verdict (did you mean "accept"?): it is one of accept, drop, reject, queue, stolen, lost`},
		{inTest(`t.send { tcp = 22 }:expect("accept", "shh")`), `web_test.lua:4: web.lua has no rule "shh" (did you mean "ssh"?)`},
		{inTest(`t.send { tcp = 22 }:expects("accept")`), `web_test.lua:4: a sent packet has no field "expects" (did you mean "expect"?)`},
		{inTest(`t.send { tcp = 80 }:expect_nat { port = 80 }`), `web_test.lua:4: unknown field "port" in expect_nat (did you mean "sport"?)`},
		{inTest(`t.banned("203.0.113.999")`), `web_test.lua:4: "203.0.113.999" is no address: t.banned("203.0.113.9", "1h")`},
		{inTest(`t.send { udp = 100 }; t.notified("ops", "[")`), `web_test.lua:4: t.notified: "[": malformed pattern`},
		{inTest(`t.notified()`), `web_test.lua:4: t.notified("ops", "scan from 203%.0%.113%.9") is expected, and argument 1 is nil`},
		{inTest(`t.advance(10)`), `web_test.lua:4: 10 has no unit: write "10s" for seconds`},
		{inTest(`t.events "close"`), `web_test.lua:4: web.lua has no stream "close" (did you mean "closed"?)`},
		{inTest(`t.test("y", function() end)`), `web_test.lua:4: t.test stands outside of the tests`},
		{inTest(`local x = web.sets.admin`), `web_test.lua:4: web.lua has no set "admin" (did you mean "admins"?)`},
		{head + `t.send { tcp = 22 }`, `web_test.lua:3: t.send works in tests only: t.test("what holds", function() t.send … end)`},
		{head + `t.load "web.lua"`, `web_test.lua:3: t.load: this file tests web.lua already; a file tests one policy`},
		{head + `t.test("x", 5)`, `web_test.lua:3: t.test("what holds", function() … end) is expected, and argument 2 is the number 5`},
		{head + "t.test('x', function() end)\nt.test('x', function() end)", `web_test.lua:4: test "x" is declared twice, first at web_test.lua:3`},
		{head, `web_test.lua declares no test: t.test("what holds", function() … end)`},
		{"local t = require 'moonlatch.test'\n", `web_test.lua tests no policy: it begins with local t = require "moonlatch.test"; t.load "POLICY.lua"`},
		{"local t = require 'moonlatch.tset'\n", `web_test.lua:1: no module "moonlatch.tset"`},
		{"local t = require 'moonlatch.test'\nt.load 'bad.lua'\n", "web_test.lua:2: bad.lua cannot be loaded:\nbad.lua:2: unknown name fw.chian"},
		{"local t = require 'moonlatch.test'\nt.load 'wbe.lua'\n", "web_test.lua:2: wbe.lua cannot be loaded:\n"},
	} {
		_, err := run(t, m.file)
		if got := fmt.Sprint(err); err == nil || !strings.HasPrefix(got, m.want) {
			t.Errorf("%s\ngot  %s\nwant %s", m.file, got, m.want)
		}
	}
}
