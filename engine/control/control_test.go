package control

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/feed"
)

// memory is a Service that keeps what it is asked.
type memory struct {
	applied   ApplyRequest
	confirmed ConfirmRequest
	bans      []Ban
	hub       *feed.Hub
	audited   []Call
	protected []Protected
	err       error
}

func (m *memory) Status(context.Context) (Status, error) {
	return Status{APIVersion: Version, State: Opened}, m.err
}
func (m *memory) Apply(_ context.Context, req ApplyRequest) (Applied, error) {
	m.applied = req
	return Applied{APIVersion: Version, Generation: Generation{Number: 7}}, m.err
}
func (m *memory) Confirm(_ context.Context, req ConfirmRequest) (Confirmed, error) {
	m.confirmed = req
	return Confirmed{Generation: Generation{Number: 7}, Session: Session{Session: SessionOld}}, m.err
}
func (m *memory) Extend(_ context.Context, req ExtendRequest) (Extended, error) {
	return Extended{Generation: Generation{Number: 7}, Left: req.For.Seconds()}, m.err
}
func (m *memory) Rollback(ctx context.Context, req RollbackRequest) (Status, error) {
	s, err := m.Status(ctx)
	s.Confirmed = &Generation{Number: req.Generation}
	return s, err
}
func (m *memory) Console(_ context.Context, req ConsoleRequest) (ConsoleResult, error) {
	return ConsoleResult{Policy: "web.lua", Values: []any{req.Source, req.By}}, m.err
}
func (m *memory) Reset(context.Context) (ResetResult, error) { return ResetResult{Open: true}, m.err }
func (m *memory) Ban(_ context.Context, req BanRequest) (Ban, error) {
	m.bans = append(m.bans, Ban{Target: req.Target, Why: req.Why})
	return m.bans[len(m.bans)-1], m.err
}
func (m *memory) Unban(context.Context, UnbanRequest) (UnbanResult, error) {
	return UnbanResult{Lifted: len(m.bans)}, m.err
}
func (m *memory) Explain(_ context.Context, req ExplainRequest) (Explanation, error) {
	return Explanation{Target: req.Target}, m.err
}
func (m *memory) Tap(_ context.Context, d time.Duration, w io.Writer) (uint64, error) {
	if m.err == nil {
		io.WriteString(w, d.String())
	}
	return 3, m.err
}
func (m *memory) Bans(context.Context) ([]Ban, error) { return m.bans, m.err }
func (m *memory) Rules(context.Context) (RuleList, error) {
	return RuleList{Generation: 7, Rules: []Rule{{Chain: "input", Name: "ssh", Packets: 1}}}, m.err
}
func (m *memory) Changes(context.Context) (ChangeList, error) {
	return ChangeList{Trial: Generation{Number: 7}, Changes: []Change{{Action: "added", Kind: "rule"}}}, m.err
}
func (m *memory) Events(ctx context.Context, req EventsRequest, tell func(...Told) error) error {
	if m.err != nil {
		return m.err
	}
	return Events(ctx, m.hub, req, tell)
}
func (m *memory) LogLevel(_ context.Context, req LogLevel) (LogLevel, error) { return req, m.err }
func (m *memory) History(_ context.Context, req HistoryRequest) ([]Entry, error) {
	return []Entry{{Kind: req.Kinds[0], Target: req.Target}}, m.err
}
func (m *memory) Top(_ context.Context, req TopRequest) ([]Total, error) {
	return []Total{{Name: req.Of}}, m.err
}
func (m *memory) Timeline(_ context.Context, req TimelineRequest) ([]Point, error) {
	return []Point{{Start: req.Since, Events: 3}}, m.err
}
func (m *memory) Audited(c Call) { m.audited = append(m.audited, c) }
func (m *memory) Protected(context.Context) ([]Protected, error) {
	return m.protected, m.err
}
func (m *memory) Protect(_ context.Context, req ProtectRequest) (ProtectResult, error) {
	p := Protected{Target: req.Target, Owner: OwnerUser, Note: req.Note}
	m.protected = append(m.protected, p)
	return ProtectResult{Protected: p}, m.err
}
func (m *memory) Unprotect(_ context.Context, req UnprotectRequest) (UnprotectResult, error) {
	return UnprotectResult{Target: req.Target, Still: OwnerHost}, m.err
}

// serve serves a Service on a socket until the test ends.
func serve(t *testing.T, s Service) (path string, c *Client) {
	t.Helper()
	return serveUntil(t, context.Background(), s)
}

// serveUntil is serve until ctx ends.
func serveUntil(t *testing.T, ctx context.Context, s Service) (path string, c *Client) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "run", "control.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- Serve(ctx, l, s, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c, err = Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return path, c
}

// TestRoundTrip asks everything once, over a real socket.
func TestRoundTrip(t *testing.T) {
	m := &memory{}
	_, c := serve(t, m)
	ctx := t.Context()
	req := ApplyRequest{Entry: "web.lua", Files: map[string][]byte{"web.lua": {0, 1, 255}}, Confirm: time.Minute, Spare: []string{"192.0.2.1"}, By: "ann"}
	if a, err := c.Apply(ctx, req); err != nil || a.Generation.Number != 7 {
		t.Errorf("apply: %+v, %v", a, err)
	}
	if !strings.HasPrefix(m.applied.By, "ann (uid ") {
		t.Errorf("applied by %q; want the name and the peer", m.applied.By)
	}
	m.applied.By = req.By
	if diff := cmp.Diff(req, m.applied); diff != "" {
		t.Error(diff)
	}
	if s, err := c.Status(ctx); err != nil || s.State != Opened {
		t.Errorf("status: %+v, %v", s, err)
	}
	if g, err := c.Confirm(ctx, ConfirmRequest{Generation: 7, NewSession: true, PID: 1}); err != nil || g.Number != 7 || g.Session.Session != SessionOld {
		t.Errorf("confirm: %+v, %v", g, err)
	}
	if m.confirmed.PID != os.Getpid() || !m.confirmed.NewSession || m.confirmed.Generation != 7 || !strings.HasPrefix(m.confirmed.By, "uid ") {
		t.Errorf("asked to confirm %+v; want what was asked, and the peer as the kernel tells it", m.confirmed)
	}
	if e, err := c.Extend(ctx, ExtendRequest{For: time.Minute}); err != nil || e.Left != 60 {
		t.Errorf("extend: %+v, %v", e, err)
	}
	if s, err := c.Rollback(ctx, RollbackRequest{Generation: 7}); err != nil || s.Confirmed.Number != 7 {
		t.Errorf("rollback: %+v, %v", s, err)
	}
	if r, err := c.Reset(ctx); err != nil || !r.Open {
		t.Errorf("reset: %+v, %v", r, err)
	}
	if b, err := c.Ban(ctx, BanRequest{Target: "192.0.2.1", For: time.Hour, Why: "a <b> & \"c\""}); err != nil || b.Why != "a <b> & \"c\"" {
		t.Errorf("ban: %+v, %v", b, err)
	}
	if b, err := c.Bans(ctx); err != nil || len(b) != 1 {
		t.Errorf("bans: %+v, %v", b, err)
	}
	if r, err := c.Rules(ctx); err != nil || len(r.Rules) != 1 || r.Rules[0].Packets != 1 {
		t.Errorf("rules: %+v, %v", r, err)
	}
	if l, err := c.Changes(ctx); err != nil || l.Trial.Number != 7 || len(l.Changes) != 1 {
		t.Errorf("changes: %+v, %v", l, err)
	}
	if e, err := c.Explain(ctx, ExplainRequest{Target: "192.0.2.1"}); err != nil || e.Target != "192.0.2.1" {
		t.Errorf("explain: %+v, %v", e, err)
	}
	var tapped strings.Builder
	if dropped, err := c.Tap(ctx, time.Minute, &tapped); err != nil || dropped != 3 || tapped.String() != "1m0s" {
		t.Errorf("tap: %d %q, %v", dropped, tapped.String(), err)
	}
	m.err = &Error{Busy, "one at a time"}
	if _, err := c.Tap(ctx, time.Minute, &tapped); err == nil || err.Error() != "one at a time" {
		t.Errorf("a second tap: %v", err)
	}
	m.err = nil
	if p, err := c.Protect(ctx, ProtectRequest{Target: "192.0.2.1", Note: "me"}); err != nil || p.Note != "me" {
		t.Errorf("protect: %+v, %v", p, err)
	}
	if p, err := c.Protected(ctx); err != nil || len(p) != 1 || p[0].Owner != OwnerUser {
		t.Errorf("protected: %+v, %v", p, err)
	}
	if r, err := c.Unprotect(ctx, UnprotectRequest{Target: "192.0.2.1"}); err != nil || r.Still != OwnerHost {
		t.Errorf("unprotect: %+v, %v", r, err)
	}
	if r, err := c.Unban(ctx, UnbanRequest{All: true}); err != nil || r.Lifted != 1 {
		t.Errorf("unban: %+v, %v", r, err)
	}
}

// TestErrors brings every code across the socket.
func TestErrors(t *testing.T) {
	m := &memory{}
	_, c := serve(t, m)
	for _, code := range []Code{Failed, BadRequest, BadPolicy, NotPermitted, NoTrial, RolledBack, NotFound, Refused, Busy} {
		m.err = &Error{code, "because of " + string(code)}
		_, err := c.Status(t.Context())
		var e *Error
		if !errors.As(err, &e) || *e != *m.err.(*Error) {
			t.Errorf("%s came across as %v", code, err)
		}
	}
	m.err = errors.New("anything else")
	if _, err := c.Confirm(t.Context(), ConfirmRequest{}); err == nil || err.Error() != "anything else" {
		t.Errorf("another error came across as %v", err)
	}
}

// TestBadRequests sends what no client of ours sends.
func TestBadRequests(t *testing.T) {
	m := &memory{}
	_, c := serve(t, m)
	for body, want := range map[string]int{
		`{"target":"192.0.2.1","fro":5}`: http.StatusUnprocessableEntity,
		`{`:                              http.StatusUnprocessableEntity,
		`[1]`:                            http.StatusUnprocessableEntity,
		`{"target":"192.0.2.1"}`:         http.StatusOK,
	} {
		resp, err := c.http.Post("http://moonlatch/v1/ban", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s %s, want %d", body, resp.Status, text, want)
		}
	}
	if len(m.bans) != 1 {
		t.Errorf("%d bans were asked for, want 1", len(m.bans))
	}
}

// TestPeers lets only root and the daemon's own user through.
func TestPeers(t *testing.T) {
	m := &memory{}
	h := permitted(slog.New(slog.DiscardHandler), m, routes(m))
	self := uint32(os.Geteuid())
	for _, tt := range []struct {
		peer peer
		want int
	}{
		{peer{uid: 0}, http.StatusOK},
		{peer{uid: self}, http.StatusOK},
		{peer{uid: self + 1000}, http.StatusForbidden},
		{peer{uid: 0, err: errors.New("not told")}, http.StatusForbidden},
	} {
		r := httptest.NewRequest("GET", "/v1/status", nil)
		r = r.WithContext(context.WithValue(r.Context(), peerKey{}, tt.peer))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("peer %+v: %d %s, want %d", tt.peer, w.Code, w.Body, tt.want)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/v1/status", nil))
	if w.Code != http.StatusForbidden {
		t.Errorf("no peer at all: %d, want %d", w.Code, http.StatusForbidden)
	}
}

// TestListen finds another daemon, and takes a dead one's socket over.
func TestListen(t *testing.T) {
	path, _ := serve(t, &memory{})
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another daemon answers") {
		t.Errorf("listen beside another daemon: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket's mode: %v, %v; want 0660", info.Mode(), err)
	}
	file := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("listen on a file: %v", err)
	}
	dead := filepath.Join(t.TempDir(), "dead.sock")
	for range 2 { // the second time over what the first one leaves
		l, err := Listen(dead)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
	}
	if _, err := Dial(t.Context(), filepath.Join(t.TempDir(), "none.sock")); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("dial with no daemon: %v, want ErrNoDaemon", err)
	}
}

// TestNames adds a caller's name to what the kernel says, but nothing that could
// forge a line of the log.
func TestNames(t *testing.T) {
	p := peer{uid: 5, pid: 6}
	for name, want := range map[string]string{
		"ann": "ann (uid 5, pid 6)", "": "uid 5, pid 6", "a\nb": "uid 5, pid 6", strings.Repeat("x", 65): "uid 5, pid 6",
	} {
		if got := p.named(name); got != want {
			t.Errorf("named(%q) = %q, want %q", name, got, want)
		}
	}
}

func (m *memory) FindBans(context.Context, BanFilter) (FoundBans, error) {
	return FoundBans{APIVersion: Version, Bans: m.bans, Matching: len(m.bans)}, m.err
}

func (m *memory) BannedLike(context.Context, LikeRequest) ([]string, error) { return nil, m.err }

func (m *memory) Import(_ context.Context, req ImportRequest) (ImportResult, error) {
	var out ImportResult
	for b := range req.Bans {
		m.bans = append(m.bans, b.Ban)
		out.Booked++
		if req.Progress != nil {
			req.Progress(out.Booked)
		}
	}
	return out, m.err
}

// A list goes through the socket whole or not at all.
func TestImport(t *testing.T) {
	m := &memory{}
	path, c := serve(t, m)
	list := []ListedBan{{Ban{Target: "192.0.2.1", Until: time.Now().UTC(), Why: "a\nb"}, 3}, {Ban{Target: "192.0.2.2"}, 4}}
	last := 0
	got, err := c.Import(t.Context(), ImportRequest{Bans: slices.Values(list), Progress: func(n int) { last = n }})
	if err != nil || got.Booked != 2 || last != 2 || len(m.bans) != 2 || m.bans[0].Why != "a\nb" || !m.bans[0].Until.Equal(list[0].Until) {
		t.Errorf("%+v, %v, last %d, %+v", got, err, last, m.bans)
	}
	m.err = &Error{Busy, "later"}
	if _, err := c.Import(t.Context(), ImportRequest{Bans: slices.Values(list)}); err == nil || err.Error() != "later" {
		t.Errorf("%v", err)
	}
	m.bans, m.err = nil, nil
	var b strings.Builder
	if err := writeImport(&b, ImportRequest{Bans: slices.Values(list)}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{len(b.String()) - 12, 100} { // the client died
		if status, body := post(t, path, "bans/import", b.String()[:n]); status == http.StatusOK || !strings.Contains(body, "nothing was imported") {
			t.Errorf("%d bytes: %d %s", n, status, body)
		}
	}
	if len(m.bans) != 0 {
		t.Errorf("half imported: %v", m.bans)
	}
}

// post sends a body that no client of ours would.
func post(t *testing.T, socket, call, body string) (int, string) {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	h := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	resp, err := h.Post("http://moonlatch/v1/"+call, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (m *memory) Feeds(context.Context) (FeedList, error) { return FeedList{}, m.err }

func (m *memory) RefreshFeeds(context.Context) (FeedList, error) { return FeedList{}, m.err }
