package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Tapper is the part of Service that shows logged packets as they come.
type Tapper interface {
	// Tap writes the packets that the rules log to w for a time, as a pcap file of
	// link type NFLOG, until ctx ends, and returns how many were left out because w was too slow. Whoever
	// is behind w may hear of it only then. There is one tap at a time: a second one is Busy.
	Tap(ctx context.Context, d time.Duration, w io.Writer) (dropped uint64, err error)
}

// droppedTrailer is the HTTP trailer with the number that Tap returns.
const droppedTrailer = "Moonlatch-Dropped"

// Tap implements Tapper.
func (c *Client) Tap(ctx context.Context, d time.Duration, w io.Writer) (dropped uint64, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://moonlatch/v1/tap?for="+d.String(), nil)
	if err != nil {
		return 0, fmt.Errorf("tap: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, &Error{Unreachable, fmt.Sprintf("the daemon did not answer: %v", err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		e := &Error{Code: Failed, Message: resp.Status}
		if err := json.NewDecoder(resp.Body).Decode(e); err != nil {
			e.Message = resp.Status
		}
		return 0, e
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return 0, fmt.Errorf("tap: %w", err)
	}
	dropped, _ = strconv.ParseUint(resp.Trailer.Get(droppedTrailer), 10, 64) // absent where the daemon went away
	return dropped, nil
}

func serveTap(mux router, s Tapper) {
	mux.HandleFunc("GET /v1/tap", func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.URL.Query().Get("for"))
		if err != nil || d <= 0 {
			reply(w, nil, &Error{BadRequest, "for: how long, such as 10m"})
			return
		}
		w.Header().Set("Trailer", droppedTrailer)
		out := &flushed{w: w}
		dropped, err := s.Tap(r.Context(), d, out)
		if err != nil && !out.begun {
			w.Header().Del("Trailer")
			reply(w, nil, err)
			return
		}
		w.Header().Set(droppedTrailer, strconv.FormatUint(dropped, 10))
	})
}

// flushed hands on at once what is written.
type flushed struct {
	w     http.ResponseWriter
	begun bool
}

func (f *flushed) Write(b []byte) (int, error) {
	f.begun = true
	n, err := f.w.Write(b)
	if err == nil {
		err = http.NewResponseController(f.w).Flush()
	}
	return n, err
}
