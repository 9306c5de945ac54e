package policy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// checking is a stage whose policy has a check with this body, which runs once here.
func checking(t *testing.T, body string) *stage {
	t.Helper()
	return newStage(t, `fw.watchdog { lease = "30s", check = function() `+body+` end }`)
}

func TestCheckVerdicts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := l.Addr().String()
	defer l.Close()
	for body, want := range map[string]string{
		`return true`:                         "",
		`return fw.probe.tcp("` + open + `")`: "",
		`local ok = fw.probe.tcp("` + open + `", "10s") return ok`:                                "",
		`local _, ok = pcall(fw.probe.tcp, "` + open + `") return ok`:                             "",
		`return fw.probe.tcp("127.0.0.1:1")`:                                                      "tcp 127.0.0.1:1: connection refused after ",
		`return fw.probe.udp("127.0.0.1:1")`:                                                      "udp 127.0.0.1:1: connection refused after ",
		`return fw.probe.http("http://127.0.0.1:1/")`:                                             "http://127.0.0.1:1/: connection refused after ",
		`return fw.probe.dns("example.org@127.0.0.1:1")`:                                          "connection refused after ",
		`local a, b = fw.probe.tcp("127.0.0.1:1"), fw.probe.ping("127.0.0.1") return not a and b`: "",
		`return false`:                          "it returned false",
		`return false, "tired"`:                 "tired",
		`return`:                                "it returned nil, and only true says that all is well",
		``:                                      "it returned nil",
		`return nil, "tired"`:                   "it returned nil",
		`return 1`:                              "it returned the number 1, and only true",
		`return "true"`:                         `it returned "true", and only true`,
		`error("boom")`:                         "policy.lua:5: check policy.lua:5: boom",
		`local t = {} t.x.y = 1`:                "attempt to index",
		`while true do end`:                     "instruction budget used up",
		`return fw.probe.tcp("127.0.0.1")`:      `probe tcp "127.0.0.1": HOST:PORT is expected`,
		`return fw.probe.tcp("127.0.0.1:1", 3)`: `time-out: 3 has no unit: write "3s" for seconds`,
		`return fw.probe.tcp("127.0.0.1:1", "1h")`:         "a time-out of 1h0m0s is not possible",
		`return fw.probe.tcp("127.0.0.1:1", "1s", 1)`:      "argument 3 is one too many",
		`return fw.probe.tcp(nil)`:                         `fw.probe.tcp("192.0.2.1:443") is expected, not nil`,
		`return fw.probe.http("127.0.0.1:1")`:              "no URL: write http://HOST/PATH",
		`return fw.probe[tostring("smtp")]("127.0.0.1:1")`: "unknown name fw.probe.smtp",
	} {
		err := checking(t, body).Check(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
	}
}

func TestNoCheckIsAGoodCheck(t *testing.T) {
	if err := newStage(t, ``).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFailedCheckTellsWhere(t *testing.T) {
	s := newStage(t, `local function ask() error("boom") end
fw.watchdog { lease = "30s", check = function()
  local ok = ask()
  return ok
end }`)
	var failed *CallError
	if err := s.Check(t.Context()); !errors.As(err, &failed) || !strings.Contains(failed.Traceback, "policy.lua:7: in") {
		t.Errorf("got %v with traceback %q", err, failed.Traceback)
	}
}

// A check that was switched off would be one that passes for ever.
func TestCheckIsNeverSwitchedOff(t *testing.T) {
	s := checking(t, `while true do end`)
	for range 2 * maxFailures {
		if err := s.Check(t.Context()); err == nil {
			t.Fatal("a check without end passes")
		}
	}
	if got := s.Watchdog().Check.Stats(); got.Timeouts != 2*maxFailures || s.Watchdog().Check.Off() {
		t.Errorf("stats %+v, off %v", got, s.Watchdog().Check.Off())
	}
}

func TestProbesBelongToTheCheck(t *testing.T) {
	s := newStage(t, `fw.on(closed, function() fw.probe.tcp("127.0.0.1:1") end)`)
	err := s.Handle(s.Handlers()[0], "closed", syn())
	if err == nil || !strings.Contains(err.Error(), "fw.probe.tcp waits, and so works in the check of fw.watchdog only") {
		t.Errorf("got %v", err)
	}
}

// slow is a web server that answers when it is told to.
type slow struct {
	*httptest.Server
	asked, answer chan struct{}
}

func newSlow(t *testing.T) slow {
	s := slow{asked: make(chan struct{}, 16), answer: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.asked <- struct{}{}
		select {
		case <-s.answer:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// start runs a check until it waits for the server.
func (s slow) start(t *testing.T, ctx context.Context, p *stage) (ended chan error) {
	t.Helper()
	ended = make(chan error, 1)
	go func() { ended <- p.Check(ctx) }()
	select {
	case <-s.asked:
	case err := <-ended:
		t.Fatalf("the check ended before it was answered: %v", err)
	}
	return ended
}

// While a check waits, everything else goes on; afterwards it finds its locals,
// its budget and what others did meanwhile.
func TestOthersRunWhileACheckWaits(t *testing.T) {
	web := newSlow(t)
	s := newStage(t, fmt.Sprintf(`local handled, mine = 0, 0
fw.on(closed, function() handled = handled + 1; fw.ban("203.0.113.9", "1h", "handler") end)
fw.on(closed, function() while true do end end)
fw.watchdog { lease = "30s", check = function()
  local before = handled
  local _, results = pcall(function() mine = mine + 1; return { fw.probe.http(%q, "30s") } end)
  mine = mine + 1
  for i = 1, 300000 do end
  fw.ban("203.0.113.10", "1h", "check")
  return results[1] and handled == before + 100 and mine == 2, handled .. " " .. mine
end }`, web.URL))
	ended := web.start(t, t.Context(), s)
	for range 100 {
		if err := s.Handle(s.Handlers()[0], "closed", syn()); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 { // each spends its whole budget
		if err := s.Handle(s.Handlers()[1], "closed", syn()); err == nil {
			t.Fatal("a handler without end returns")
		}
	}
	web.answer <- struct{}{}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for target, by := range s.bans {
		want := map[string]string{
			"203.0.113.9/32":  `[1h0m0s] "handler" by handler policy.lua:6`,
			"203.0.113.10/32": `[1h0m0s] "check" by check policy.lua:8`,
		}[target.String()]
		if by != want {
			t.Errorf("%s: %s, want %s", target, by, want)
		}
	}
	if len(s.bans) != 2 {
		t.Errorf("bans: %v", s.bans)
	}
}

func TestCheckTakesTooLong(t *testing.T) {
	web := newSlow(t)
	s := checking(t, fmt.Sprintf(`fw.probe.http(%q, "30s") return true`, web.URL))
	late := errors.New("longer than the lease allows")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, late)
	defer cancel()
	if err := s.Check(ctx); !errors.Is(err, late) {
		t.Errorf("got %v", err)
	}
}

func TestCloseWhileACheckWaits(t *testing.T) {
	web := newSlow(t)
	s := checking(t, fmt.Sprintf(`pcall(fw.probe.http, %q, "30s") return true`, web.URL))
	ended := web.start(t, t.Context(), s)
	s.Close()
	web.answer <- struct{}{}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := s.Check(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("a check after Close: %v", err)
	}
}

// Checks and handlers from several goroutines, for the race detector.
func TestChecksAndHandlersTakeTurns(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newStage(t, fmt.Sprintf(`local n = 0
fw.on(closed, function(ev) n = n + 1; if ev.dport ~= 443 then error("no event") end end)
fw.watchdog { lease = "30s", check = function() n = n + 1; return fw.probe.tcp(%q) end }`, l.Addr()))
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for range 20 {
				if err := s.Check(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	p := syn()
	p.Dport = 443
	for range 5000 {
		if err := s.Handle(s.Handlers()[0], "closed", p); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
}
