package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"moonlatch/engine/control"
	"moonlatch/engine/feed"
)

const (
	// A new client is told what was before, which is looked up among what the feed holds.
	maxOpenings = 10 // a second, once maxStreams have come at once
	heartbeat   = 15 * time.Second
	// patience is how long a client may take to receive what it is sent.
	patience = 10 * time.Second
)

// streams serves what happens as server-sent events. One event has a batch of
// items, newest last; its id is that of the last one.
type streams struct {
	broadcast *broadcast
	places    *places
	openings  *rate.Limiter
	heartbeat time.Duration
	patience  time.Duration
	listeners Gauge // may be nil
}

func newStreams(hub *feed.Hub) *streams {
	return &streams{
		broadcast: newBroadcast(hub), places: newPlaces(),
		openings:  rate.NewLimiter(maxOpenings, maxStreams),
		heartbeat: heartbeat, patience: patience,
	}
}

// ServeHTTP serves one client until it goes, is too slow, or the daemon stops.
func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	packets, since, err := parseStream(r)
	if err != nil {
		fail(w, &control.Error{Code: control.BadRequest, Message: err.Error()})
		return
	}
	leave, ok := s.enter(r.RemoteAddr)
	if !ok {
		w.Header().Set("Retry-After", "10")
		w.Header().Set("Connection", "close") // it must not hold a connection while it waits
		refuse(w, http.StatusServiceUnavailable, control.Busy, fmt.Sprintf("%d pages listen already, %d from one other host, or too many came at once: try again in some seconds", maxStreams, maxOfOne))
		return
	}
	defer leave()
	if s.listeners != nil {
		s.listeners.Inc()
		defer s.listeners.Dec()
	}
	w.Header().Set("Content-Type", "text/event-stream")
	c := &client{w: w, control: http.NewResponseController(w), packets: packets, last: since, patience: s.patience}
	s.serve(r.Context(), c)
}

func (s *streams) enter(client string) (leave func(), ok bool) {
	if !s.openings.Allow() {
		return nil, false
	}
	return s.places.enter(client)
}

func (s *streams) serve(ctx context.Context, c *client) {
	l := s.broadcast.join() // before looking at what was, so that nothing falls between
	defer s.broadcast.leave(l)
	if c.write([]byte("retry: 2000\n\n")) != nil || c.catchUp(s.broadcast.since(c.last)) != nil {
		return
	}
	beat := time.NewTicker(s.heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case b := <-l.batches:
			err = c.send(b, l.takeMissed())
		case <-beat.C:
			err = c.write([]byte(": still here\n\n"))
		}
		if err != nil {
			return
		}
	}
}

// since is what the feed still holds of later than an ID.
func (b *broadcast) since(id uint64) *batch {
	sub := b.hub.Subscribe(feed.Filter{}, id)
	defer sub.Close()
	return take(sub, maxBacklog)
}

// client is one who listens.
type client struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	packets  feed.Filter // of packet events; everything else is for everybody
	last     uint64      // ID of the last item that it was sent
	patience time.Duration
}

// catchUp sends what was before. Who is new has missed nothing of it.
func (c *client) catchUp(b *batch) error {
	chosen, missed := b.choose(&c.packets, c.last, maxBacklog)
	if missed += b.missed; c.last == 0 {
		missed = 0
	}
	return c.tell(b, chosen, missed)
}

// send sends what of a batch the client wants and does not have, and how much it missed.
func (c *client) send(b *batch, lost uint64) error {
	chosen, missed := b.choose(&c.packets, c.last, maxShown)
	return c.tell(b, chosen, missed+b.missed+lost)
}

func (c *client) tell(b *batch, chosen []int, missed uint64) error {
	if len(chosen) == 0 && missed == 0 {
		return nil
	}
	if n := len(chosen); n > 0 {
		c.last = b.items[chosen[n-1]].ID
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "id: %d\ndata: {\"missed\":%d,\"items\":[", c.last, missed)
	for n, i := range chosen {
		text, err := b.text(i)
		if err != nil {
			return err
		}
		if n > 0 {
			out.WriteByte(',')
		}
		out.Write(text)
	}
	out.WriteString("]}\n\n")
	return c.write(out.Bytes())
}

func (c *client) write(text []byte) error {
	if err := c.control.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
		return err
	}
	if _, err := c.w.Write(text); err != nil {
		return err
	}
	return c.control.Flush()
}

// parseStream reads what a client wants of packet events, and after which ID.
func parseStream(r *http.Request) (packets feed.Filter, since uint64, err error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return packets, 0, err
	}
	packets.Stream = q.Get("stream")
	if src := q.Get("src"); src != "" {
		if packets.Src, err = parsePrefix(src); err != nil {
			return packets, 0, fmt.Errorf("src: %q is no address or prefix", src)
		}
	}
	if port := q.Get("port"); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return packets, 0, fmt.Errorf("port: %q is no port", port)
		}
		packets.Port = uint16(n)
	}
	after := r.Header.Get("Last-Event-ID")
	if after == "" {
		after = q.Get("after")
	}
	if after != "" {
		if since, err = strconv.ParseUint(after, 10, 64); err != nil {
			return packets, 0, fmt.Errorf("after: %q is no ID of an event", after)
		}
	}
	return packets, since, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Prefix(a.BitLen())
	}
	return netip.ParsePrefix(s)
}
