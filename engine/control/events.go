package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"moonlatch/engine/feed"
)

// Observing is the part of Service that tells what happens.
type Observing interface {
	// Events tells what happened, and with Follow what happens, until ctx ends, tell fails or,
	// of a Client, the daemon has gone, which is no error.
	Events(ctx context.Context, req EventsRequest, tell func(...Told) error) error
	LogLevel(ctx context.Context, req LogLevel) (LogLevel, error)
}

// EventsRequest asks for what happened, and with Follow for what happens.
type EventsRequest struct {
	Kinds   []string  `json:"kinds,omitempty"`    // feed's; none means all
	Stream  string    `json:"stream,omitempty"`   // packet events of this stream only
	Src     string    `json:"src,omitempty"`      // of an address or prefix only
	Port    uint16    `json:"port,omitempty"`     // packet events to or from this port only
	After   time.Time `json:"after,omitzero"`     // no older ones
	SinceID uint64    `json:"since_id,omitempty"` // only later ones than the item with this ID
	Limit   int       `json:"limit"`              // at most so many of those that happened already, the latest
	Follow  bool      `json:"follow"`             // go on until the caller hangs up
}

// KindDropped is the kind of a line that tells how many items the reader was too slow for.
const KindDropped feed.Kind = "dropped"

// Told is one line of the answer.
type Told struct {
	feed.Item
	Dropped uint64 `json:"dropped,omitempty"` // with KindDropped
}

// Filter is what the request asks for. The error is an *Error.
func (r EventsRequest) Filter() (feed.Filter, error) {
	f := feed.Filter{Stream: r.Stream, Port: r.Port}
	for _, k := range r.Kinds {
		kind, err := feed.ParseKind(k)
		if err != nil {
			return f, &Error{BadRequest, err.Error()}
		}
		f.Kinds = append(f.Kinds, kind)
	}
	if r.Src != "" {
		var t feed.Target
		if err := t.UnmarshalText([]byte(r.Src)); err != nil {
			return f, &Error{BadRequest, fmt.Sprintf("source %q is no address or prefix: write it as 192.0.2.1 or 192.0.2.0/24", r.Src)}
		}
		f.Src = unmapped(t.Prefix).Masked()
	}
	if r.Limit < 0 {
		return f, &Error{BadRequest, fmt.Sprintf("a limit of %d events is less than none", r.Limit)}
	}
	return f, nil
}

// unmapped is an IPv4 prefix that is written as one of IPv6.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// Events answers a request from a hub: each line goes to tell, until all is told, ctx ends or
// tell fails. Who is slow is told how much was dropped.
func Events(ctx context.Context, hub *feed.Hub, req EventsRequest, tell func(...Told) error) error {
	f, err := req.Filter()
	if err != nil {
		return err
	}
	s := hub.Subscribe(f, req.SinceID)
	defer s.Close()
	if err := tell(held(s, req)...); err != nil || !req.Follow {
		return err
	}
	dropped := uint64(0)
	for {
		it, err := s.Next(ctx)
		if err != nil {
			return err
		}
		lines := []Told{{Item: it}}
		if missed := s.Missed(); missed > dropped {
			lines = []Told{droppedLine(missed - dropped), lines[0]}
			dropped = missed
		}
		for len(lines) < maxLines {
			it, ok := s.Try()
			if !ok {
				break
			}
			lines = append(lines, Told{Item: it})
		}
		if err := tell(lines...); err != nil {
			return err
		}
	}
}

// maxLines is how many lines are written at once, as far as they are there already.
const maxLines = 64

func droppedLine(n uint64) Told {
	return Told{Item: feed.Item{Time: time.Now(), Kind: KindDropped}, Dropped: n}
}

// held is what there is already, the latest of it.
func held(s *feed.Subscription, req EventsRequest) []Told {
	var out []Told
	for it, ok := s.Try(); ok; it, ok = s.Try() {
		if !it.Time.Before(req.After) {
			out = append(out, Told{Item: it})
		}
	}
	return out[max(0, len(out)-req.Limit):]
}

// serveEvents streams the answer, one line of JSON for each item.
func serveEvents(s Service) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req EventsRequest
		if !request(w, r, &req) {
			return
		}
		var b bytes.Buffer
		to := json.NewEncoder(&b)
		flush := http.NewResponseController(w)
		began := false
		err := s.Events(r.Context(), req, func(lines ...Told) error {
			began = true
			b.Reset()
			for _, line := range lines {
				if err := to.Encode(line); err != nil {
					return err
				}
			}
			if _, err := w.Write(b.Bytes()); err != nil {
				return err
			}
			return flush.Flush()
		})
		if err != nil && !began {
			reply(w, nil, err)
		}
	}
}

// Events implements Service. The error is nil when the daemon has told all, or gone.
func (c *Client) Events(ctx context.Context, req EventsRequest, tell func(...Told) error) error {
	resp, err := c.ask(ctx, "POST", "events", req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := json.NewDecoder(resp.Body)
	for {
		var line Told
		err := lines.Decode(&line)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), err != nil && strings.Contains(err.Error(), "connection reset"):
			return nil
		case err != nil:
			return &Error{Failed, fmt.Sprintf("the daemon's events cannot be read: %v", err)}
		}
		if err := tell(line); err != nil {
			return err
		}
	}
}
