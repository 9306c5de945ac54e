package control

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/feed"
)

func banned(target string) feed.Item {
	return feed.Item{Kind: feed.KindBan, Ban: &feed.Ban{Target: feed.Target{Prefix: netip.MustParsePrefix(target)}}}
}

func targets(lines []Told) (out []string) {
	for _, l := range lines {
		if l.Ban != nil {
			out = append(out, l.Ban.Target.String())
		}
	}
	return out
}

// TestEventsHeld asks for what happened already.
func TestEventsHeld(t *testing.T) {
	m := &memory{hub: feed.NewHub()}
	_, c := serve(t, m)
	old := banned("192.0.2.1/32")
	old.Time = time.Now().Add(-time.Hour)
	m.hub.Publish(old)
	m.hub.Publish(feed.Item{Kind: feed.KindApply, Generation: &feed.Generation{Number: 1}})
	id := m.hub.Last()
	m.hub.Publish(banned("192.0.2.2/32"))
	m.hub.Publish(banned("2001:db8::/64"))
	for _, tt := range []struct {
		name string
		req  EventsRequest
		want []string
	}{
		{"all", EventsRequest{Limit: 100}, []string{"192.0.2.1", "192.0.2.2", "2001:db8::/64"}},
		{"the latest", EventsRequest{Limit: 1}, []string{"2001:db8::/64"}},
		{"none", EventsRequest{}, nil},
		{"after a time", EventsRequest{Limit: 100, After: time.Now().Add(-time.Minute)}, []string{"192.0.2.2", "2001:db8::/64"}},
		{"after an ID", EventsRequest{Limit: 100, SinceID: id}, []string{"192.0.2.2", "2001:db8::/64"}},
		{"source", EventsRequest{Limit: 100, Src: "2001:db8::7"}, []string{"2001:db8::/64"}},
		{"mapped source", EventsRequest{Limit: 100, Src: "::ffff:192.0.2.2"}, []string{"192.0.2.2"}},
		{"mapped prefix", EventsRequest{Limit: 100, Src: "::ffff:192.0.2.0/127"}, []string{"192.0.2.1"}},
		{"kind", EventsRequest{Limit: 100, Kinds: []string{"apply"}}, nil},
	} {
		var got []Told
		err := c.Events(t.Context(), tt.req, func(lines ...Told) error {
			got = append(got, lines...)
			return nil
		})
		if diff := cmp.Diff(tt.want, targets(got)); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", tt.name, err, diff)
		}
	}
}

// TestEventsRefuse what makes no sense, with what would.
func TestEventsRefuse(t *testing.T) {
	m := &memory{hub: feed.NewHub()}
	_, c := serve(t, m)
	for want, req := range map[string]EventsRequest{
		`no kind of event is called "bna" (did you mean "ban"?)`: {Kinds: []string{"bna"}},
		`source "192.0.2" is no address or prefix`:               {Src: "192.0.2"},
		`a limit of -1 events is less than none`:                 {Limit: -1},
	} {
		err := c.Events(t.Context(), req, func(...Told) error { return nil })
		var e *Error
		if !errors.As(err, &e) || e.Code != BadRequest || len(e.Message) < len(want) || e.Message[:len(want)] != want {
			t.Errorf("%+v: %v, want %s", req, err, want)
		}
	}
}

// TestEventsFollow goes on with what happens, until whoever reads hangs up.
func TestEventsFollow(t *testing.T) {
	m := &memory{hub: feed.NewHub()}
	_, c := serve(t, m)
	ctx, hangUp := context.WithCancel(t.Context())
	n := 0
	m.hub.Publish(banned("192.0.2.0/32"))
	err := c.Events(ctx, EventsRequest{Follow: true, Limit: 100}, func(lines ...Told) error {
		for range lines {
			if n++; n == 5 {
				hangUp()
				return nil
			}
			m.hub.Publish(banned("192.0.2.0/32"))
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || n < 5 {
		t.Errorf("%d lines, %v", n, err)
	}
}

// TestEventsEndWithTheServer: a stream does not keep a daemon from ending.
func TestEventsEndWithTheServer(t *testing.T) {
	hub := feed.NewHub()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	began := make(chan struct{})
	_, c := serveUntil(t, ctx, &memory{hub: hub})
	hub.Publish(banned("192.0.2.1/32"))
	go func() {
		ended <- c.Events(context.Background(), EventsRequest{Follow: true, Limit: 1}, func(...Told) error {
			close(began)
			return nil
		})
	}()
	<-began
	start := time.Now()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("a daemon that ended is the error %v", err)
	}
	if took := time.Since(start); took >= grace {
		t.Errorf("it took %s, as long as requests under way may take", took)
	}
}

// TestSlowReaderIsTold how much it missed, and then goes on; nobody waits for it.
func TestSlowReaderIsTold(t *testing.T) {
	hub := feed.NewHub()
	const flood = 10000
	dropped, seen := uint64(0), uint64(0)
	first := true
	hub.Publish(banned("192.0.2.1/32"))
	err := Events(t.Context(), hub, EventsRequest{Follow: true, Limit: 1}, func(lines ...Told) error {
		if first { // while this reader is at its first line
			first = false
			for range flood {
				hub.Publish(banned("192.0.2.2/32"))
			}
			return nil
		}
		for _, l := range lines {
			if l.Kind == KindDropped {
				dropped += l.Dropped
				continue
			}
			seen++
		}
		if dropped+seen >= flood {
			return errors.New("enough")
		}
		return nil
	})
	if err == nil || dropped == 0 || dropped+seen != flood {
		t.Errorf("of %d, %d were told and %d dropped: %v", flood, seen, dropped, err)
	}
}
