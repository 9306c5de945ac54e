package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/feed"
	"moonlatch/engine/packet"
	"moonlatch/engine/policy"
)

// newTeller is a teller, its log, and a subscription to its feed.
func newTeller(t *testing.T) (teller, *bytes.Buffer, *feed.Subscription) {
	log := new(bytes.Buffer)
	tell := teller{feed: feed.NewHub(), log: slog.New(slog.NewTextHandler(log, nil))}
	s := tell.feed.Subscribe(feed.Filter{}, feed.Now)
	t.Cleanup(s.Close)
	return tell, log, s
}

// A callback's failure is told with its traceback, and logged as an error only when the
// callback is switched off for it.
func TestTellsFaults(t *testing.T) {
	tell, log, s := newTeller(t)
	p, err := policy.Load(fstest.MapFS{"policy.lua": {Data: []byte(`local fw = require "moonlatch"
local closed = fw.stream "closed"
fw.on(closed, function(ev)
  error("broken")
end)`)}}, "policy.lua", policy.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	h := p.Handlers()[0]
	for n := 1; ; n++ {
		err := p.Handle(h, "closed", &packet.Packet{})
		var e *policy.CallError
		if !errors.As(err, &e) {
			t.Fatalf("failure %d: %v", n, err)
		}
		tell.failed(err)
		it, ok := s.Try()
		if !ok || it.Kind != feed.KindFault || it.Fault.Traceback == "" || it.Fault.Place != "policy.lua:4" || it.Fault.Off != h.Off() {
			t.Fatalf("failure %d is told as %+v", n, it.Fault)
		}
		if h.Off() {
			break
		}
		if log.Len() > 0 {
			t.Fatalf("failure %d is logged: %s", n, log)
		}
	}
	if text := log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "callback_kind=handler") || !strings.Contains(text, "broken") {
		t.Errorf("log: %s", text)
	}
}

// TestTellsBansThatEnd one by one, but not a hundred thousand.
func TestTellsBansThatEnd(t *testing.T) {
	tell, log, s := newTeller(t)
	tell.lifted([]netip.Prefix{netip.MustParsePrefix("203.0.113.9/32"), netip.MustParsePrefix("2001:db8::/64")}, 5, ban.UnbannedExpired)
	for i, want := range []string{"target=203.0.113.9 count=1", "target=2001:db8::/64 count=1", `target="" count=3`} {
		it, ok := s.Try()
		if line := strings.Split(log.String(), "\n")[i]; !ok || it.Kind != feed.KindUnban || !strings.Contains(line, want+" reason=expired") {
			t.Errorf("told as %+v, logged as %s, want %s", it.Ban, line, want)
		}
	}
	if it, ok := s.Try(); ok {
		t.Errorf("more is told: %+v", it)
	}
}

// TestTellsStorms, and when they are over.
func TestTellsStorms(t *testing.T) {
	tell, log, s := newTeller(t)
	tell.storm(ban.Storm{Reason: ban.SuppressedRate, Count: 1, Err: ban.ErrRate})
	tell.storm(ban.Storm{Reason: ban.SuppressedRate, Count: 15, Over: true})
	for _, want := range []string{"bans are held back", "bans are held back: that is over"} {
		if it, ok := s.Try(); !ok || it.Kind != feed.KindBrake || !strings.HasPrefix(it.Notice.Title, want) {
			t.Errorf("told as %+v, want %s", it.Notice, want)
		}
	}
	if !strings.Contains(log.String(), "field_bans=15") {
		t.Errorf("log: %s", log)
	}
}

// A Book tells of each ban and of each end, however it comes about.
func TestBookTells(t *testing.T) {
	tell, _, s := newTeller(t)
	b := openBookOf(t, ban.Config{Booked: func(b ban.Ban) { tell.booked(b) }, Lifted: tell.lifted})
	short, long := netip.MustParsePrefix("203.0.113.1/32"), netip.MustParsePrefix("203.0.113.2/32")
	for target, d := range map[netip.Prefix]time.Duration{short: time.Second, long: time.Hour} {
		if _, err := b.Ban(t.Context(), ban.Request{Target: target, Times: []time.Duration{d}, Why: "test", By: "manual", Origin: ban.Manual}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Unban(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for range 3 {
		it, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		told[fmt.Sprintf("%s %s %s", it.Kind, it.Ban.Target, it.Ban.Reason)]++
	}
	for _, want := range []string{"ban 203.0.113.1 ", "ban 203.0.113.2 ", "unban 203.0.113.2 request"} {
		if told[want] != 1 {
			t.Errorf("%q is told %d times: %v", want, told[want], told)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	if it, err := s.Next(t.Context()); err != nil || it.Kind != feed.KindUnban || it.Ban.Target.String() != "203.0.113.1" || it.Ban.Reason != ban.UnbannedExpired {
		t.Errorf("told as %+v, %v; want the end of the short ban", it.Ban, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Whoever listens to nothing but packets gets them with the names of what they met.
func TestReaderFeeds(t *testing.T) {
	r := newReader(t, "none")
	s := r.feed.Subscribe(feed.Filter{}, feed.Now)
	defer s.Close()
	r.event(synEvent(r, netip.MustParseAddr("192.0.2.1"), 23))
	it, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e := it.Event; e.Stream != "closed" || e.Chain != "input" || e.Rule != "closed" || e.Verdict != "drop" || e.Packet.Dport != 23 {
		t.Errorf("event %+v", e)
	}
}
