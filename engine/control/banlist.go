package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"
)

// BanLists is the part of Service about many bans at once.
type BanLists interface {
	FindBans(ctx context.Context, req BanFilter) (FoundBans, error)
	// BannedLike lists some of what is banned whose text begins so. It asks no kernel.
	BannedLike(ctx context.Context, req LikeRequest) ([]string, error)
	Import(ctx context.Context, req ImportRequest) (ImportResult, error)
}

// BanFilter says which bans are wanted: those that meet all that is set.
type BanFilter struct {
	By      string        `json:"by,omitempty"`      // the detector, the handler or the person
	Why     string        `json:"why,omitempty"`     // part of the reason, in any case
	Within  string        `json:"within,omitempty"`  // a prefix that they lie in, or an address that they cover
	Origin  string        `json:"origin,omitempty"`  // local or manual
	Older   time.Duration `json:"older,omitempty"`   // banned for longer than this
	Younger time.Duration `json:"younger,omitempty"` // banned for less
	Longer  time.Duration `json:"longer,omitempty"`  // with more left than this
	Shorter time.Duration `json:"shorter,omitempty"` // with less left
	Sort    string        `json:"sort,omitempty"`    // one of BanOrders, with a - before it for the other way round
	Limit   int           `json:"limit,omitempty"`   // 0 for all
}

// BanOrders are what bans can be sorted by.
func BanOrders() []string { return []string{"left", "age", "address", "by", "why"} }

// FoundBans are bans in force.
type FoundBans struct {
	APIVersion string `json:"apiVersion"`
	Bans       []Ban  `json:"bans"`
	Matching   int    `json:"matching"` // how many there are, also beyond the limit
}

// LikeRequest asks for what is banned whose text begins with Prefix.
type LikeRequest struct {
	Prefix string `json:"prefix"`
	Limit  int    `json:"limit"`
}

// ImportRequest asks for many bans, which keep the times that they say.
type ImportRequest struct {
	Bans      iter.Seq[ListedBan] `json:"-"`
	Progress  func(done int)      `json:"-"` // may be nil
	KeepGoing bool                `json:"keep_going"`
	DryRun    bool                `json:"dry_run"`
	From      string              `json:"from,omitempty"` // what file the list was, for the record
	By        string              `json:"by,omitempty"`   // who asks, likewise
}

// ListedBan is a ban of a list, and where it stands there.
type ListedBan struct {
	Ban
	Line int `json:"line"`
}

// ImportResult tells what came of an import.
type ImportResult struct {
	APIVersion string        `json:"apiVersion"`
	Booked     int           `json:"booked"`
	Duplicates int           `json:"duplicates"` // banned for as long already, or listed twice
	Refused    []RefusedBan  `json:"refused"`
	Took       time.Duration `json:"took_ns"`
}

// RefusedBan is a ban of a list that cannot be made.
type RefusedBan struct {
	Line int    `json:"line"`
	Why  string `json:"why"`
}

// FindBans implements Service.
func (c *Client) FindBans(ctx context.Context, req BanFilter) (f FoundBans, err error) {
	err = c.call(ctx, "POST", "bans/find", req, &f)
	return f, err
}

// BannedLike implements Service.
func (c *Client) BannedLike(ctx context.Context, req LikeRequest) (l []string, err error) {
	err = c.call(ctx, "POST", "bans/like", req, &l)
	return l, err
}

// importStep is a line of the answer to an import: how many are done, or the end.
type importStep struct {
	Done   int           `json:"done,omitempty"`
	Result *ImportResult `json:"result,omitempty"`
	Failed *Error        `json:"failed,omitempty"`
}

// Import implements Service. The list goes through the socket ban by ban.
func (c *Client) Import(ctx context.Context, req ImportRequest) (ImportResult, error) {
	body, w := io.Pipe()
	go func() { w.CloseWithError(writeImport(w, req)) }()
	r, err := http.NewRequestWithContext(ctx, "POST", "http://moonlatch/v1/bans/import", body)
	if err != nil {
		return ImportResult{}, fmt.Errorf("import: %w", err)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return ImportResult{}, &Error{Unreachable, fmt.Sprintf("the daemon did not answer: %v", errors.Unwrap(err))}
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	if resp.StatusCode != http.StatusOK {
		e := &Error{Code: Failed, Message: resp.Status}
		if err := d.Decode(e); err != nil {
			e.Message = resp.Status
		}
		return ImportResult{}, e
	}
	for {
		var s importStep
		switch err := d.Decode(&s); {
		case err != nil:
			return ImportResult{}, &Error{Unreachable, fmt.Sprintf("the daemon ended in the midst of the import: moonlatch bans tells what is banned (%v)", err)}
		case s.Failed != nil:
			return ImportResult{}, s.Failed
		case s.Result != nil:
			return *s.Result, nil
		case req.Progress != nil:
			req.Progress(s.Done)
		}
	}
}

// maxImport bounds the list of an import: some four million bans.
const maxImport = 1 << 30

// writeImport writes how to import, the bans, and the word that those are all.
func writeImport(to io.Writer, req ImportRequest) error {
	w := bufio.NewWriterSize(to, 1<<16)
	e := json.NewEncoder(w)
	if err := e.Encode(req); err != nil {
		return err
	}
	n := 0
	for b := range req.Bans {
		if err := e.Encode(b); err != nil {
			return err
		}
		n++
	}
	if err := e.Encode(importEnd{ListedBan{}, &n}); err != nil {
		return err
	}
	return w.Flush()
}

// importEnd is a ban, or how many there were.
type importEnd struct {
	ListedBan
	All *int `json:"all,omitempty"`
}

// readImport reads what writeImport wrote, all of it or nothing: a client may die in between.
func readImport(body io.Reader) (ImportRequest, []ListedBan, error) {
	var req ImportRequest
	d := json.NewDecoder(body)
	if err := d.Decode(&req); err != nil {
		return req, nil, fmt.Errorf("the import cannot be read: %w", err)
	}
	var bans []ListedBan
	for {
		var b importEnd
		if err := d.Decode(&b); err != nil {
			return req, nil, fmt.Errorf("the list of bans is cut off: %w", err)
		}
		if b.All == nil {
			bans = append(bans, b.ListedBan)
			continue
		}
		if *b.All != len(bans) {
			return req, nil, fmt.Errorf("%d of %d bans arrived", len(bans), *b.All)
		}
		return req, bans, nil
	}
}

func serveBanLists(mux router, s BanLists) {
	ask(mux, "POST /v1/bans/find", s.FindBans)
	ask(mux, "POST /v1/bans/like", s.BannedLike)
	mux.HandleFunc("POST /v1/bans/import", func(w http.ResponseWriter, r *http.Request) {
		req, bans, err := readImport(http.MaxBytesReader(w, r.Body, maxImport))
		if err != nil {
			reply(w, nil, &Error{BadRequest, err.Error() + "; nothing was imported"})
			return
		}
		e := json.NewEncoder(w)
		req.Bans = func(yield func(ListedBan) bool) {
			for _, b := range bans {
				if !yield(b) {
					return
				}
			}
		}
		req.Progress = func(done int) {
			e.Encode(importStep{Done: done}) // an error here means that the client has gone
			http.NewResponseController(w).Flush()
		}
		req.By = peerOf(r.Context()).named(req.By)
		result, err := s.Import(context.WithoutCancel(r.Context()), req)
		mux.audit(peerOf(r.Context()).call(fmt.Sprintf("bans import %s of %d bans", req.From, len(bans)), err))
		if err == nil {
			e.Encode(importStep{Result: &result})
			return
		}
		var failed *Error
		if !errors.As(err, &failed) {
			failed = &Error{Failed, err.Error()}
		}
		e.Encode(importStep{Failed: failed})
	})
}
