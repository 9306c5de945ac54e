package policy

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/detect"
	"moonlatch/engine/packet"
)

// book is a small ban book.
type book map[netip.Prefix]string

func (b book) Ban(ban Ban) error {
	if ban.Target.Contains(netip.MustParseAddr("198.51.100.7")) {
		return errors.New("198.51.100.7 is protected")
	}
	b[ban.Target] = fmt.Sprintf("%v %q by %s", ban.Times, ban.Why, ban.By)
	if ban.Answer != (Answer{}) {
		b[ban.Target] += fmt.Sprintf(" %+v", ban.Answer)
	}
	return nil
}

func (b book) Unban(target netip.Prefix) error {
	if _, ok := b[target]; !ok {
		return fmt.Errorf("%s is not banned", target)
	}
	delete(b, target)
	return nil
}

func (b book) Banned(a netip.Addr) bool {
	for p := range b {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func (b book) Bans() int { return len(b) }

// stage runs handlers and keeps what they do.
type stage struct {
	*Policy
	bans book
	log  bytes.Buffer
}

const stagePrelude = `local fw = require "moonlatch"
local log = fw.log.info
local closed = fw.stream "closed"
fw.chain "input" { hook = "input" } { "closed", closed, fw.drop }
`

func newStage(t testing.TB, source string) *stage {
	t.Helper()
	s := &stage{bans: book{}}
	env := testEnv()
	env.Actions = s.bans
	env.Log = slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	s.Policy = loadText(t, stagePrelude+source, env)
	return s
}

// handle runs every handler that wants the packet.
func (s *stage) handle(p *packet.Packet) error {
	for _, h := range s.Handlers() {
		if h.Match(p) {
			if err := s.Handle(h, "closed", p); err != nil {
				return err
			}
		}
	}
	return nil
}

// messages returns the logged messages and forgets them.
func (s *stage) messages() []string {
	var out []string
	for line := range strings.Lines(s.log.String()) {
		_, msg, _ := strings.Cut(line, "msg=")
		msg, _, _ = strings.Cut(msg, " at=")
		out = append(out, strings.Trim(msg, `"`))
	}
	s.log.Reset()
	return out
}

// syn is a TCP packet that tells everything.
func syn() *packet.Packet {
	return &packet.Packet{
		Time: time.Unix(1700000000, 500_000_000), Hook: 1, Iif: 2, Mark: 7, Length: 60,
		Src: netip.MustParseAddr("203.0.113.9"), Dst: netip.MustParseAddr("192.0.2.80"), TTL: 57,
		Proto: 6, HasProto: true, Sport: 40000, Dport: 3389, HasPorts: true,
		Flags: packet.SYN, HasFlags: true, Payload: []byte("GET /etc/passwd HTTP/1.0"),
		MAC: [6]byte{0, 0, 0x5e, 0, 0x53, 1}, HasMAC: true,
	}
}

func ping6() *packet.Packet {
	return &packet.Packet{
		Src: netip.MustParseAddr("2001:db8::9"), Dst: netip.MustParseAddr("2001:db8::80"), TTL: 64,
		Proto: 58, HasProto: true, ICMPType: 128, ICMPCode: 0, HasICMP: true, UID: 100000, GID: 5, HasOwner: true,
	}
}

const showAll = `
local names = { "time", "stream", "rule", "family", "src", "dst", "proto", "sport", "dport", "flags", "ttl", "length",
  "iif", "oif", "mark", "mac", "icmp_type", "icmp_code", "uid", "gid", "country", "asn", "payload" }
fw.on(closed, function(ev)
  for _, name in ipairs(names) do log(name .. "=" .. tostring(ev[name])) end
end)`

func TestEventFields(t *testing.T) {
	for _, f := range eventFields() {
		if !strings.Contains(showAll, `"`+f.Name+`"`) {
			t.Errorf("the test does not show %s", f.Name)
		}
	}
	s := newStage(t, `fw.geo { country = "/var/lib/GeoIP/GeoLite2-Country.mmdb", asn = "/var/lib/GeoIP/GeoLite2-ASN.mmdb" }`+showAll)
	tests := []struct {
		p    *packet.Packet
		want string
	}{
		{syn(), "time=1.7000000005e+09 stream=closed rule=closed family=ipv4 src=203.0.113.9 dst=192.0.2.80 proto=tcp sport=40000 dport=3389 flags=syn ttl=57 length=60 " +
			"iif=eth0 oif=nil mark=7 mac=00:00:5e:00:53:01 icmp_type=nil icmp_code=nil uid=nil gid=nil country=CN asn=64500 payload=GET /etc/passwd HTTP/1.0"},
		{ping6(), "time=nil stream=closed rule=closed family=ipv6 src=2001:db8::9 dst=2001:db8::80 proto=icmpv6 sport=nil dport=nil flags=nil ttl=64 length=nil " +
			"iif=nil oif=nil mark=0 mac=nil icmp_type=echo-request icmp_code=0 uid=100000 gid=5 country=CN asn=nil payload=nil"},
		{&packet.Packet{}, "time=nil stream=closed rule=closed family=nil src=nil dst=nil proto=nil sport=nil dport=nil flags=nil ttl=nil length=nil " +
			"iif=nil oif=nil mark=0 mac=nil icmp_type=nil icmp_code=nil uid=nil gid=nil country=nil asn=nil payload=nil"},
	}
	for _, tt := range tests {
		if err := s.handle(tt.p); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, strings.Join(s.messages(), " ")); diff != "" {
			t.Errorf("fields (-want +got):\n%s", diff)
		}
	}
}

func TestPositionalFields(t *testing.T) {
	s := newStage(t, `fw.on(closed, { tcp = 3389, fields = { "src", "dport", "ttl", "uid" } }, function(src, dport, ttl, uid, more)
  log(src .. " " .. dport .. " " .. ttl .. " " .. tostring(uid) .. " " .. tostring(more))
end)`)
	if err := s.handle(syn()); err != nil {
		t.Fatal(err)
	}
	if err := s.handle(ping6()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"203.0.113.9 3389 57 nil nil"}, s.messages()); diff != "" {
		t.Error(diff)
	}
}

func TestEventMatch(t *testing.T) {
	s := newStage(t, `fw.on(closed, function(ev)
  log(tostring(ev:match("passwd")))
  log(tostring(ev:match("shadow")))
  local method, path, none = ev:match([[^(\w+) (\S+)(x)?]])
  log(method .. " " .. path .. " " .. tostring(none))
end)`)
	if err := s.handle(syn()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"passwd", "nil", "GET /etc/passwd nil"}, s.messages()); diff != "" {
		t.Error(diff)
	}
}

// TestCallErrors holds each mistake in a handler to its message and line.
func TestCallErrors(t *testing.T) {
	tests := []struct{ source, want string }{
		{`log(ev[tostring("sorce")])`, `policy.lua:6: handler policy.lua:5: an event has no field "sorce" (did you mean "src"?)`},
		{`log(ev[1])`, `policy.lua:6: handler policy.lua:5: an event has no field the number 1`},
		{`ev.src = "x"`, `policy.lua:6: handler policy.lua:5: an event cannot be changed`},
		{`ev.match("x")`, `policy.lua:6: handler policy.lua:5: an event is expected, not "x": write ev:match(…), with a colon`},
		{`ev:match("(")`, "policy.lua:6: handler policy.lua:5: error parsing regexp: missing closing ): `(` (patterns are RE2, not Lua's: https://golang.org/s/re2syntax)"},
		{`ev:match(("x"):rep(1001))`, `policy.lua:6: handler policy.lua:5: the pattern is longer than 1000 bytes`},
		{`fw.ban(ev.src, 60)`, `policy.lua:6: handler policy.lua:5: fw.ban: 60 has no unit: write "60s" for seconds`},
		{`fw.ban(ev.src)`, `policy.lua:6: handler policy.lua:5: fw.ban: a time such as "60s" is expected, not nil`},
		{`fw.ban(ev.src, {})`, `policy.lua:6: handler policy.lua:5: fw.ban: the list of times is empty`},
		{`fw.ban(ev.oif, "1h")`, `policy.lua:6: handler policy.lua:5: fw.ban(address, …) is expected, not nil: a misspelt name?`},
		{`fw.ban("scanner", "1h")`, `policy.lua:6: handler policy.lua:5: fw.ban: "scanner" is no address or prefix`},
		{`fw.ban("192.0.2.1/33", "1h")`, `policy.lua:6: handler policy.lua:5: fw.ban: "192.0.2.1/33" is no address or prefix`},
		{`fw.ban(ev.src, "11y")`, `policy.lua:6: handler policy.lua:5: fw.ban: a ban lasts ten years ("10y") at most`},
		{`fw.ban(ev.src, "-1h")`, `policy.lua:6: handler policy.lua:5: fw.ban: "-1h" is no time: write for example "60s", "10m", "12h" or "7d"`},
		{`fw.ban(ev.src, "1h", { kil = true })`, `policy.lua:6: handler policy.lua:5: fw.ban: unknown option "kil" (did you mean "kill"?)`},
		{`fw.ban(ev.src, "1h", "why", { kill = 1 })`, `policy.lua:6: handler policy.lua:5: fw.ban: kill: true or false is expected, not the number 1`},
		{`fw.ban(ev.src, "1h", "why", { spare = "conected" })`, `policy.lua:6: handler policy.lua:5: fw.ban: spare: "conected" is not possible (did you mean "connected"?): it is one of connected`},
		{`fw.ban(ev.src, "1h", { "kill" })`, `policy.lua:6: handler policy.lua:5: fw.ban: its options are { kill = true, spare = "connected" }, not "kill"`},
		{`fw.ban(ev.src, "1h", true)`, `policy.lua:6: handler policy.lua:5: fw.ban(address, time, reason, { kill = true }) is expected, not true`},
		{`fw.ban(ev.src, "1h", "why", "again")`, `policy.lua:6: handler policy.lua:5: fw.ban(address, time, reason, { kill = true }) is expected: argument 4 is one too many`},
		{`fw.banned("x")`, `policy.lua:6: handler policy.lua:5: fw.banned: "x" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9")`},
		{`fw.chain "x"`, `policy.lua:6: handler policy.lua:5: fw.chain declares something, and a policy declares only while it is read: a handler cannot call it`},
		{`fw.every("1m", function() end)`, `policy.lua:6: handler policy.lua:5: fw.every declares something, and a policy declares only while it is read: a handler cannot call it`},
		{`closed { rate = "1/s" }`, `policy.lua:6: handler policy.lua:5: stream "closed" is configured while the policy is read: a handler cannot change it`},
		{`fw[tostring("bnas")]()`, `policy.lua:6: handler policy.lua:5: unknown name fw.bnas (did you mean "bans"?)`},
		{`error("own")`, `policy.lua:6: handler policy.lua:5: own`},
		{`while true do end`, `policy.lua:6: handler policy.lua:5: instruction budget used up: 1000000 instructions (an endless loop?)`},
	}
	for _, tt := range tests {
		s := newStage(t, "fw.on(closed, function(ev)\n"+tt.source+"\nend)")
		err := s.handle(syn())
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s:\n got %v\nwant %s", tt.source, err, tt.want)
			continue
		}
		var e *CallError
		if !errors.As(err, &e) || !strings.Contains(e.Traceback, "policy.lua:6") {
			t.Errorf("%s: no traceback in %#v", tt.source, err)
		}
		stats, reason := s.Handlers()[0].Stats(), "runtime"
		want := CallbackStats{Calls: 1, Errors: 1}
		if strings.Contains(tt.want, "budget") {
			want, reason = CallbackStats{Calls: 1, Timeouts: 1}, "timeout"
		}
		if stats != want || e.Reason != reason {
			t.Errorf("%s: reason %s, stats %+v", tt.source, e.Reason, stats)
		}
	}
}

// An event that was kept is gone, and stays so while the next one is handled.
func TestEventIsGone(t *testing.T) {
	s := newStage(t, `local state = {}
fw.on(closed, function(ev)
  if state.ev then log(state.ev.src) end
  state.ev = ev
end)`)
	if err := s.handle(syn()); err != nil {
		t.Fatal(err)
	}
	err := s.handle(syn())
	if err == nil || !strings.HasSuffix(err.Error(), "ev is gone after the handler returns: copy the fields you need") {
		t.Errorf("got %v", err)
	}
}

// Between two events there is none.
func TestEventIsGoneInTimers(t *testing.T) {
	s := newStage(t, `local state = {}
fw.on(closed, function(ev) state.ev = ev end)
fw.every("1m", function() log(state.ev.src) end)`)
	if err := s.handle(syn()); err != nil {
		t.Fatal(err)
	}
	if err := s.Tick(s.Timers()[0]); err == nil || !strings.HasSuffix(err.Error(), "ev is gone after the handler returns: copy the fields you need") {
		t.Errorf("got %v", err)
	}
}

func TestBans(t *testing.T) {
	s := newStage(t, `
local function show(...) local ok, why = ...; log(tostring(ok) .. " " .. tostring(why)) end
fw.on(closed, function(ev)
  show(fw.ban(ev.src, "6h", "probe\27[2J\n"))
  show(fw.ban("2001:db8:1:2:3::4", { "1h", "24h", "7d" }))
  show(fw.ban("::ffff:203.0.113.10", "90m"))
  show(fw.ban("203.0.113.77/24", "1h"))
  show(fw.ban("2001:db8::1/128", "1h"))
  show(fw.ban("2001:db8:9::9/64", "1h"))
  show(fw.ban("198.51.100.7", "1h"))
  log(fw.bans())
  log(tostring(fw.banned("203.0.113.99")) .. tostring(fw.banned("192.0.2.1")))
  show(fw.unban("203.0.113.99/24"))
  show(fw.unban("203.0.113.99/24"))
end)`)
	if err := s.handle(syn()); err != nil {
		t.Fatal(err)
	}
	want := []string{"true nil", "true nil", "true nil", "true nil", "true nil", "true nil", "false 198.51.100.7 is protected", "6", "truefalse", "true nil", "false 203.0.113.0/24 is not banned"}
	if diff := cmp.Diff(want, s.messages()); diff != "" {
		t.Error(diff)
	}
	by := " by handler policy.lua:7"
	bans := book{
		netip.MustParsePrefix("203.0.113.9/32"):       `[6h0m0s] "probe?[2J?"` + by,
		netip.MustParsePrefix("2001:db8:1:2:3::4/64"): `[1h0m0s 24h0m0s 168h0m0s] ""` + by,
		netip.MustParsePrefix("203.0.113.10/32"):      `[1h30m0s] ""` + by,
		netip.MustParsePrefix("2001:db8:9::/64"):      `[1h0m0s] ""` + by,
		netip.MustParsePrefix("2001:db8::1/128"):      `[1h0m0s] ""` + by,
	}
	if diff := cmp.Diff(bans, s.bans, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// Without Actions every ban is refused, and that is no failure of the handler.
func TestNoActions(t *testing.T) {
	p := loadText(t, stagePrelude+`fw.on(closed, function(ev) assert(not fw.ban(ev.src, "1h") and not fw.unban(ev.src) and not fw.banned(ev.src) and fw.bans() == 0) end)`, Env{})
	if err := p.Handle(p.Handlers()[0], "closed", syn()); err != nil {
		t.Error(err)
	}
}

func TestSwitchedOff(t *testing.T) {
	s := newStage(t, `local calls = { n = 0 }
fw.on(closed, function(ev)
  calls.n = calls.n + 1
  if calls.n ~= 9 then error("broken") end
end)`)
	h := s.Handlers()[0]
	for i := range 8 + 1 + maxFailures {
		if h.Off() {
			t.Fatalf("off before call %d", i)
		}
		s.handle(syn())
	}
	if !h.Off() {
		t.Fatalf("not off after %d failures in a row", maxFailures)
	}
	before := h.Stats()
	if err := s.handle(syn()); err != nil || h.Stats() != before {
		t.Errorf("a handler that is off ran: %v, %+v", err, h.Stats())
	}
}

func TestTimers(t *testing.T) {
	s := newStage(t, `fw.every("10m", function() log("every") end)
fw.after("90s", function() log("after") end); fw.after("90s", function() error("x") end)`)
	timers := s.Timers()
	if len(timers) != 3 || timers[0].Every != 10*time.Minute || timers[0].After != 0 || timers[1].After != 90*time.Second {
		t.Fatalf("timers: %+v", timers)
	}
	if names := timers[1].Name + " " + timers[2].Name; names != "policy.lua:6 policy.lua:6#2" {
		t.Errorf("names: %s", names)
	}
	for _, timer := range timers[:2] {
		if err := s.Tick(timer); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{"every", "after"}, s.messages()); diff != "" {
		t.Error(diff)
	}
	if err := s.Tick(timers[2]); err == nil || err.Error() != "policy.lua:6: timer policy.lua:6#2: x" {
		t.Errorf("got %v", err)
	}
}

func TestHit(t *testing.T) {
	s := newStage(t, `fw.detect "scan" { on = closed, over = 1, within = "1m", ban = { "1h", "1d" }, shadow = true, except = "192.0.2.0/24", track = 800,
  count = "distinct dport", action = function(hit)
  log(hit.detector .. " " .. hit.src .. " " .. hit.count .. " " .. table.concat(hit.ports, ",") .. " " .. (hit.last - hit.first))
  log(hit[tostring("scr")])
end }
fw.detect "plain" { on = { closed }, over = 5, within = "1m" }`)
	d := s.Detectors()[0]
	if d.Name != "scan" || d.Pos.Line != 5 || len(d.Streams) != 1 || !d.Shadow || len(d.Ban) != 2 || d.Action == nil ||
		d.Spec.Count != detect.DistinctDport || d.Spec.Over != 1 || d.Spec.Within != time.Minute || d.Spec.Track != 800 ||
		!d.Spec.Except.Contains(netip.MustParseAddr("192.0.2.9")) {
		t.Errorf("detector: %+v", d)
	}
	hit := detect.Hit{Detector: "scan", Src: netip.MustParsePrefix("203.0.113.9/32"), First: time.Unix(10, 0), Last: time.Unix(12, 0), Count: 2, Ports: []uint16{22, 80}}
	err := s.Hit(d, hit)
	if want := `policy.lua:8: action scan: a hit has no field "scr" (did you mean "src"?)`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if diff := cmp.Diff([]string{"scan 203.0.113.9 2 22,80 2"}, s.messages()); diff != "" {
		t.Error(diff)
	}
	if plain := s.Detectors()[1]; plain.Action != nil || s.Hit(plain, hit) != nil || len(plain.Ban) != 0 || plain.Spec.Count != detect.Events {
		t.Errorf("detector: %+v", plain)
	}
}

// A hit without a source has no src, and tells what it has instead.
func TestHitKeys(t *testing.T) {
	s := newStage(t, `
local function show(hit)
  log(hit.key .. " " .. tostring(hit.src) .. " " .. tostring(hit.dst) .. " " .. tostring(hit.dport) .. " " .. table.concat(hit.addresses, ","))
end
fw.detect "crowd" { on = closed, over = 1, within = "1m", count = "distinct src", per = "dst", action = show }
fw.detect "net" { on = closed, over = 1e9, within = "1m", count = "bytes", per = "src/24", ban = "1h", action = show }
fw.detect "pair" { on = closed, over = 1, within = "1m", per = { "src/48", "dport" }, action = show }
fw.detect "link" { on = closed, over = 1, within = "1m", per = { "dst", "src" }, action = show }`)
	var configured []string
	for i, hit := range []detect.Hit{
		{Per: detect.Dst, Dst: netip.MustParseAddr("192.0.2.1"), Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8::")}},
		{Per: detect.Src, Src: netip.MustParsePrefix("203.0.113.9/24")},
		{Per: detect.SrcDport, Src: netip.MustParsePrefix("2001:db8::9/48"), Dport: 22},
		{Per: detect.SrcDst, Src: netip.MustParsePrefix("203.0.113.9/32"), Dst: netip.MustParseAddr("192.0.2.1")},
	} {
		d := s.Detectors()[i]
		configured = append(configured, fmt.Sprintf("%s per %s/%d/%d over %d", d.Spec.Count, d.Spec.Per, d.Spec.Bits4, d.Spec.Bits6, d.Spec.Over))
		if err := s.Hit(d, hit); err != nil {
			t.Error(err)
		}
	}
	specs := []string{`distinct src per "dst"/0/0 over 1`, `bytes per "src"/24/0 over 1000000000`, `events per { "src", "dport" }/0/48 over 1`, `events per { "src", "dst" }/0/0 over 1`}
	if diff := cmp.Diff(specs, configured); diff != "" {
		t.Error(diff)
	}
	want := []string{
		"192.0.2.1 nil 192.0.2.1 nil 203.0.113.9,2001:db8::",
		"203.0.113.0/24 203.0.113.9 nil nil ",
		"2001:db8::/48 to port 22 2001:db8::9 nil 22 ",
		"203.0.113.9 to 192.0.2.1 203.0.113.9 192.0.2.1 nil ",
	}
	if diff := cmp.Diff(want, s.messages()); diff != "" {
		t.Error(diff)
	}
}

// What a packet puts into a log or a reason cannot write to a terminal.
func TestLogIsPrintable(t *testing.T) {
	s := newStage(t, `fw.on(closed, function(ev) log("a\27[2Jb\nc\200" .. ("x"):rep(5000)) end)`)
	if err := s.handle(syn()); err != nil {
		t.Fatal(err)
	}
	if msg := s.messages()[0]; !strings.HasPrefix(msg, "a?[2Jb?c?xxx") || len(msg) != maxMessage {
		t.Errorf("%d bytes: %.40q", len(msg), msg)
	}
}

// A handler that takes fields costs no garbage, so a flood of events of addresses
// that came by before leaves nothing to collect.
func TestHandleDoesNotAllocate(t *testing.T) {
	s := newStage(t, `fw.on(closed, { fields = { "rule", "family", "src", "dst", "proto", "sport", "dport", "flags", "ttl" } },
function(rule, family, src, dst, proto, sport, dport, flags, ttl) end)`)
	h, p := s.Handlers()[0], syn()
	if n := testing.AllocsPerRun(1000, func() { s.Handle(h, "closed", p) }); n != 0 {
		t.Errorf("%v allocations per event", n)
	}
	if n := h.Stats().Calls; n != 1001 {
		t.Errorf("%d calls", n)
	}
}
