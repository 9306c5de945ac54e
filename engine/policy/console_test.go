package policy

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/memory"
)

const consolePolicy = `
local admins = fw.set "admins" { "192.0.2.0/28", "2001:db8::1" }
fw.set "web" { 80, 443 }
fw.detect "portscan" { on = closed, over = 10, within = "60s" }
local knocks = fw.metric.counter("knocks", "Knocks.")
fw.on(closed, function(ev) knocks:add(1) end)
`

// eval evaluates in the session "s", and returns what is shown.
func (s *stage) eval(source string, write bool) (string, error) {
	out, err := s.Eval(Eval{Session: "s", Source: source, Write: write})
	return out.Output + strings.Join(out.Texts, " | "), err
}

func TestEval(t *testing.T) {
	s := newStage(t, consolePolicy)
	for _, c := range []struct{ source, want string }{
		{`1 + 1`, "2"},
		{`"a\nb", nil, true`, `"a\nb" | nil | true`},
		{`x = 7`, ""},
		{`x * 2`, "14"},
		{`function f(n) return n .. "!" end`, ""},
		{`f(x)`, `"7!"`},
		{`for i = 1, 2 do print(i, "x") end`, "1\tx\n2\tx\n"},
		{`print "\27[2J"`, "?[2J\n"},
		{`sets.admins`, `{ "192.0.2.0/28", "2001:db8::1" }`},
		{`sets.web`, `{ "80", "443" }`},
		{`chains.input.rules`, `{ "closed" }`},
		{`detectors.portscan.over`, "10"},
		{`streams`, `{ "closed" }`},
		{`fw`, "the module fw"},
		{`fw.drop`, "drop"},
		{`fw.bans()`, "0"},
		{`{ 1, 2, a = { b = {} }, ["x y"] = 3 }`, `{ 1, 2, ["x y"] = 3, a = { b = {} } }`},
		{`(function() local t = {} t.t = t return t end)()`, `{ t = { … itself … } }`},
		{`pcall(error, "no")`, `false | "no"`},
	} {
		if got, err := s.eval(c.source, false); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.source, got, err, c.want)
		}
	}
	if out, err := s.Eval(Eval{Session: "another", Source: "x"}); err == nil {
		t.Errorf("another session sees the first one's names: %+v", out)
	}
}

func TestEvalMistakes(t *testing.T) {
	s := newStage(t, consolePolicy)
	for source, want := range map[string]string{
		`fw.bna("x")`:             `unknown name fw.bna (did you mean "ban"?)`,
		`set.admins`:              `undefined name "set" (did you mean "sets"?)`,
		`fw.chain "x"`:            "a policy declares only while it is read",
		`error "what"`:            "what",
		`1 +`:                     "syntax error at the end of the file",
		`os.exit()`:               "os is not available in a policy",
		`string.x = 1`:            "read-only",
		`fw.ban = nil`:            "fw cannot be changed",
		strings.Repeat("x", 70e3): "longer than 64 KiB",
	} {
		if _, err := s.eval(source, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50s: %v, want %q", source, err, want)
		}
	}
}

// A console without write changes nothing; with it, it does what a handler may.
func TestEvalReadOnly(t *testing.T) {
	s := newStage(t, consolePolicy)
	s.env.Memory = memory.New(time.Now)
	for _, source := range []string{`fw.ban("203.0.113.9", "1h")`, `fw.unban "203.0.113.9"`, `fw.remember("a", 1)`, `pcall(fw.ban, "203.0.113.9", "1h") and error "banned"`} {
		if _, err := s.eval(source, false); source[0] == 'f' && (err == nil || !strings.Contains(err.Error(), "start it with --write")) {
			t.Errorf("%s: %v", source, err)
		}
	}
	if len(s.bans) > 0 {
		t.Errorf("a console that only reads banned %v", s.bans)
	}
	if got, err := s.eval(`fw.ban("203.0.113.9", "1h", "why"), fw.remember("a", 1), fw.recall "a"`, true); err != nil || got != "true | true | 1" {
		t.Errorf("%s, %v", got, err)
	}
	if diff := cmp.Diff(`[1h0m0s] "why" by console input`, s.bans[netip.MustParsePrefix("203.0.113.9/32")]); diff != "" {
		t.Error(diff)
	}
	if _, err := s.eval(`fw.unban "203.0.113.9"`, false); err == nil {
		t.Error("what may write is remembered from one call to the next")
	}
}

// Whatever is typed ends, and says no more than a screen can take.
func TestEvalIsBounded(t *testing.T) {
	s := newStage(t, consolePolicy)
	for source, want := range map[string]string{
		`while true do end`:                         "instruction budget used up",
		`pcall(function() while true do end end)`:   "instruction budget used up",
		`string.rep("x", 1e9)`:                      "string longer than",
		`local function f() return f() + 1 end f()`: "stack overflow",
	} {
		if _, err := s.eval(source, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
	}
	for _, source := range []string{
		`string.rep("x", 1e6)`,
		`(function() local t = {} for i = 1, 1e5 do t[i] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" end return t end)()`,
		`(function() local t = {} for i = 1, 200 do t["k" .. i] = string.rep("x", 1000) end return t, t, t end)()`,
		`(function() local t = {} local u = t for i = 1, 1000 do u.u = {} u = u.u end return t end)()`,
		`for i = 1, 1e4 do print(string.rep("x", 1e4)) end`,
	} {
		out, err := s.Eval(Eval{Session: "s", Source: source})
		shown := len(out.Output) + len(strings.Join(out.Texts, ""))
		asJSON, _ := json.Marshal(out.Values)
		if err != nil && !strings.Contains(err.Error(), "budget") && !strings.Contains(err.Error(), "too long") || shown > 4*maxShown || len(asJSON) > 4<<20 {
			t.Errorf("%s: %d bytes are shown, %d of JSON, %v", source, shown, len(asJSON), err)
		}
	}
	if got, err := s.eval("1", false); err != nil || got != "1" {
		t.Errorf("the policy is out of order: %s, %v", got, err)
	}
	for i := range 3 * maxSessions {
		if _, err := s.Eval(Eval{Session: strings.Repeat("x", i+1), Source: "y = 1"}); err != nil || len(s.sessions) > maxSessions {
			t.Errorf("%d sessions, %v", len(s.sessions), err)
		}
	}
}

func TestComplete(t *testing.T) {
	s := newStage(t, consolePolicy)
	if _, err := s.eval(`mine = { first = 1, second = 2 }`, false); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string][]string{
		"fw.rem":          {"fw.remember"},
		"x = fw.log.wa":   {"x = fw.log.warn"},
		"fw.metric.":      {"fw.metric.counter", "fw.metric.gauge", "fw.metric.histogram"},
		"#sets.ad":        {"#sets.admins"},
		"mine.":           {"mine.first", "mine.second"},
		"string.rep":      {"string.rep"},
		"chains.input.po": {"chains.input.policy"},
		"print(dete":      {"print(detectors"},
		"whi":             {"while"},
		"nothing.x":       nil,
		"fw.nothing.x":    nil,
		"fw.log.info.x":   nil,
	} {
		if diff := cmp.Diff(want, s.Complete("s", line)); diff != "" {
			t.Errorf("%s:\n%s", line, diff)
		}
	}
}
