package feed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/packet"
)

func ban(target string) Item {
	return Item{Kind: KindBan, Ban: &Ban{Target: Target{netip.MustParsePrefix(target)}}}
}

func knock(src string, port uint16) (*Source, *packet.Packet) {
	return &Source{Stream: "closed", Chain: "input", Rule: "knock", Verdict: "drop"},
		&packet.Packet{Time: time.Unix(1, 0), Src: netip.MustParseAddr(src), Dport: port, HasPorts: true, Payload: []byte("x")}
}

// all takes what a subscription has already.
func all(s *Subscription) (out []Item) {
	for it, ok := s.Try(); ok; it, ok = s.Try() {
		out = append(out, it)
	}
	return out
}

// said shortens items to what a test compares.
func said(items []Item) (out []string) {
	for _, it := range items {
		text := string(it.Kind)
		if it.Ban != nil {
			text += " " + it.Ban.Target.String()
		}
		if it.Kind == KindEvent {
			text += fmt.Sprintf(" %s %d", it.Event.Packet.Src, it.Event.Packet.Dport)
		}
		out = append(out, text)
	}
	return out
}

// TestSubscribe replays what is held of later than an ID, in order, and goes on with what comes.
func TestSubscribe(t *testing.T) {
	for _, tt := range []struct {
		name  string
		since func(second, last uint64) uint64
		want  []string
	}{
		{"all", func(_, _ uint64) uint64 { return 0 }, []string{"ban 192.0.2.1", "event 203.0.113.9 22", "ban 192.0.2.2"}},
		{"after an ID", func(second, _ uint64) uint64 { return second }, []string{"ban 192.0.2.2"}},
		{"only new", func(_, _ uint64) uint64 { return Now }, nil},
		{"another hub's ID", func(_, last uint64) uint64 { return last + 1000 }, []string{"ban 192.0.2.1", "event 203.0.113.9 22", "ban 192.0.2.2"}},
	} {
		h := NewHub()
		src, p := knock("203.0.113.9", 22)
		h.Publish(ban("192.0.2.1/32"))
		h.Event(src, "eth0", "", p)
		second := h.Last()
		h.Publish(ban("192.0.2.2/32"))
		s := h.Subscribe(Filter{}, tt.since(second, h.Last()))
		got := all(s)
		if diff := cmp.Diff(tt.want, said(got)); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
		for i := 1; i < len(got); i++ {
			if got[i].ID <= got[i-1].ID {
				t.Errorf("%s: ID %d after %d", tt.name, got[i].ID, got[i-1].ID)
			}
		}
		h.Publish(ban("192.0.2.3/32"))
		if it, err := s.Next(t.Context()); err != nil || it.Ban.Target.String() != "192.0.2.3" {
			t.Errorf("%s: next is %v, %v", tt.name, it, err)
		}
		s.Close()
	}
}

// TestEventIsACopy: the reader uses its packet, and the payload's buffer, again.
func TestEventIsACopy(t *testing.T) {
	h := NewHub()
	s := h.Subscribe(Filter{}, Now)
	defer s.Close()
	src, p := knock("203.0.113.9", 22)
	h.Event(src, "eth0", "", p)
	p.Dport = 80
	it, err := s.Next(t.Context())
	if err != nil || it.Event.Packet.Dport != 22 || it.Event.Packet.Payload != nil || it.Event.Iif != "eth0" || !it.Time.Equal(time.Unix(1, 0)) {
		t.Errorf("got %+v, %v", it, err)
	}
}

func TestFilter(t *testing.T) {
	h := NewHub()
	src, p := knock("203.0.113.9", 22)
	h.Event(src, "", "", p)
	_, other := knock("198.51.100.1", 80)
	h.Event(&Source{Stream: "other"}, "", "", other)
	h.Publish(ban("203.0.113.9/32"))
	h.Publish(ban("2001:db8::/64"))
	h.Publish(Item{Kind: KindUnban, Ban: &Ban{Count: 3}})
	h.Publish(Item{Kind: KindApply, Generation: &Generation{Number: 3}})
	event := "event 203.0.113.9 22"
	for _, tt := range []struct {
		name string
		f    Filter
		want []string
	}{
		{"all", Filter{}, []string{event, "event 198.51.100.1 80", "ban 203.0.113.9", "ban 2001:db8::/64", "unban ", "apply"}},
		{"kinds", Filter{Kinds: []Kind{KindBan, KindApply}}, []string{"ban 203.0.113.9", "ban 2001:db8::/64", "apply"}},
		{"kinds with events", Filter{Kinds: []Kind{KindEvent, KindApply}}, []string{event, "event 198.51.100.1 80", "apply"}},
		{"stream", Filter{Stream: "closed"}, []string{event}},
		{"source", Filter{Src: netip.MustParsePrefix("203.0.113.0/24")}, []string{event, "ban 203.0.113.9"}},
		{"source in a banned prefix", Filter{Src: netip.MustParsePrefix("2001:db8::1/128")}, []string{"ban 2001:db8::/64"}},
		{"port", Filter{Port: 22}, []string{event}},
		{"port, of bans", Filter{Port: 22, Kinds: []Kind{KindBan}}, nil},
	} {
		s := h.Subscribe(tt.f, 0)
		if diff := cmp.Diff(tt.want, said(all(s))); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
		s.Close()
	}
}

// TestFloodKeepsBans: however many packets come, who looks late still sees the ban, and
// who is slow is told how much it missed.
func TestFloodKeepsBans(t *testing.T) {
	h := NewHub()
	slow := h.Subscribe(Filter{}, Now)
	defer slow.Close()
	onlyBans := h.Subscribe(Filter{Kinds: []Kind{KindBan}}, Now)
	defer onlyBans.Close()
	h.Publish(ban("192.0.2.1/32"))
	src, p := knock("203.0.113.9", 22)
	const more = 100
	for range eventsHeld + more {
		h.Event(src, "", "", p)
	}
	got := all(slow)
	if len(got) != eventsHeld+1 || got[0].Kind != KindBan {
		t.Errorf("%d items, the first a %s; want %d and the ban", len(got), got[0].Kind, eventsHeld+1)
	}
	if slow.Missed() != more {
		t.Errorf("missed %d, want %d", slow.Missed(), more)
	}
	if n := len(all(onlyBans)); n != 1 || onlyBans.Missed() != 0 {
		t.Errorf("%d bans, and %d missed; want 1 and none", n, onlyBans.Missed())
	}
}

func TestClose(t *testing.T) {
	h := NewHub()
	s := h.Subscribe(Filter{}, Now)
	done := make(chan error)
	go func() {
		_, err := s.Next(context.Background())
		done <- err
	}()
	s.Close()
	s.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("error %v, want ErrClosed", err)
	}
	if n := h.subscribers.Load(); n != 0 || len(h.subs) != 0 {
		t.Errorf("%d subscribers are left", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s = h.Subscribe(Filter{}, Now)
	defer s.Close()
	if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// TestNothingIsLost has several goroutines publish, each less than is held, to several that
// wait: every one of these gets everything, in order.
func TestNothingIsLost(t *testing.T) {
	h := NewHub()
	const publishers, each, listeners = 4, othersHeld / 4, 4
	var listening sync.WaitGroup
	for range listeners {
		s := h.Subscribe(Filter{}, Now)
		listening.Go(func() {
			defer s.Close()
			last := uint64(0)
			for range publishers * each {
				it, err := s.Next(t.Context())
				if err != nil || it.ID <= last {
					t.Errorf("after %d came %d, %v", last, it.ID, err)
					return
				}
				last = it.ID
			}
		})
	}
	for range publishers {
		listening.Go(func() {
			for range each {
				h.Publish(ban("192.0.2.1/32"))
			}
		})
	}
	listening.Wait()
}

// TestEventAllocatesNothing, whether somebody listens or not.
func TestEventAllocatesNothing(t *testing.T) {
	h := NewHub()
	src, p := knock("203.0.113.9", 22)
	if n := testing.AllocsPerRun(1000, func() { h.Event(src, "eth0", "", p) }); n != 0 {
		t.Errorf("%v allocations for an event that nobody listens to", n)
	}
	s := h.Subscribe(Filter{}, Now)
	defer s.Close()
	if n := testing.AllocsPerRun(1000, func() { h.Event(src, "eth0", "", p) }); n != 0 {
		t.Errorf("%v allocations for an event that somebody listens to", n)
	}
	var none *Hub
	none.Event(src, "", "", p)
	none.Publish(Item{})
}

func BenchmarkEvent(b *testing.B) {
	for _, listeners := range []int{0, 1, 500} {
		b.Run(fmt.Sprintf("%d listeners", listeners), func(b *testing.B) {
			h := NewHub()
			for range listeners {
				s := h.Subscribe(Filter{}, Now)
				go func() {
					for {
						if _, err := s.Next(context.Background()); err != nil {
							return
						}
					}
				}()
				defer s.Close()
			}
			src, p := knock("203.0.113.9", 22)
			b.ReportAllocs()
			for b.Loop() {
				h.Event(src, "eth0", "", p)
			}
		})
	}
}
