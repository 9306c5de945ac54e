package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moonlatch/engine/control"
	"moonlatch/engine/feed"
)

// memory is a Service that keeps what it is asked. What it does not have is never called.
type memory struct {
	control.Service
	audited   []control.Call
	confirmed control.ConfirmRequest
	unbanned  string
	asked     atomic.Int64 // for the status
	bans      []control.Ban
	faults    []control.Entry
	err       error
}

func (m *memory) Status(context.Context) (control.Status, error) {
	m.asked.Add(1)
	return control.Status{APIVersion: control.Version, State: control.Opened, Daemon: &control.DaemonStatus{Bans: len(m.bans)}}, m.err
}
func (m *memory) History(_ context.Context, req control.HistoryRequest) ([]control.Entry, error) {
	if req.Target != "" {
		return []control.Entry{{Target: req.Target, Kind: "ban", Why: "on record"}}, m.err
	}
	if !slices.Equal(req.Kinds, []string{"fault"}) {
		return nil, errors.New("asked for something else")
	}
	return m.faults, m.err
}
func (m *memory) Bans(context.Context) ([]control.Ban, error) { return m.bans, m.err }
func (m *memory) Confirm(_ context.Context, req control.ConfirmRequest) (control.Confirmed, error) {
	m.confirmed = req
	return control.Confirmed{APIVersion: control.Version}, m.err
}
func (m *memory) Explain(_ context.Context, req control.ExplainRequest) (control.Explanation, error) {
	return control.Explanation{Target: req.Target}, m.err
}
func (m *memory) Protect(_ context.Context, req control.ProtectRequest) (control.ProtectResult, error) {
	return control.ProtectResult{Protected: control.Protected{Target: req.Target}}, m.err
}
func (m *memory) Audited(c control.Call) { m.audited = append(m.audited, c) }
func (m *memory) Unban(_ context.Context, req control.UnbanRequest) (control.UnbanResult, error) {
	m.unbanned = req.Target
	return control.UnbanResult{Lifted: 1}, m.err
}

// page is a server of the page, and the token that it takes.
type page struct {
	*Server
	url, token string
	service    *memory
}

// serve runs a server on loopback until the test ends.
func serve(t *testing.T) page {
	t.Helper()
	return serveWith(t, Config{Address: "127.0.0.1:0"})
}

func serveWith(t *testing.T, cfg Config) page {
	t.Helper()
	m := &memory{}
	cfg.Feed = feed.NewHub()
	cfg.State, cfg.Log = t.TempDir(), slog.New(slog.DiscardHandler)
	cfg.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "moonlatch_up 1\n") })
	token, err := NewToken(cfg.State)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Listen(m, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return page{s, "http://" + s.Addr().String(), token, m}
}

// request asks with headers, given as name and value in turn, and returns the answer.
func (p page) request(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// TestRefused: whatever is no request of the page's own is refused, says why, and changes nothing.
func TestRefused(t *testing.T) {
	p := serve(t)
	const confirm = `{"generation": 7}`
	for _, tt := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		want                     string
	}{
		{"no token", "POST", "/api/confirm", confirm, nil, 403, "sudo moonlatch web token"},
		{"wrong token", "POST", "/api/confirm", confirm, []string{tokenHeader, p.token + "x"}, 403, "this is not the token"},
		{"part of the token", "POST", "/api/confirm", confirm, []string{tokenHeader, p.token[:10]}, 403, "this is not the token"},
		{"another origin", "POST", "/api/confirm", confirm, []string{tokenHeader, p.token, "Origin", "http://evil.example"}, 403, "another site"},
		{"another port", "POST", "/api/confirm", confirm, []string{tokenHeader, p.token, "Origin", "http://127.0.0.1:1"}, 403, "another site"},
		{"an opaque origin", "POST", "/api/confirm", confirm, []string{tokenHeader, p.token, "Origin", "null"}, 403, "another site"},
		{"cross-site", "POST", "/api/confirm", confirm, []string{tokenHeader, p.token, "Sec-Fetch-Site", "cross-site"}, 403, "another site"},
		{"same-site", "POST", "/api/confirm", confirm, []string{tokenHeader, p.token, "Sec-Fetch-Site", "same-site"}, 403, "another site"},
		{"a read by another site", "GET", "/api/status", "", []string{"Sec-Fetch-Site", "cross-site"}, 403, "another site"},
		{"a rebound name", "GET", "/api/status", "", []string{"Host", "evil.example"}, 403, "open it as localhost"},
		{"a rebound name of a file", "GET", "/", "", []string{"Host", "127.0.0.1.evil.example:9632"}, 403, "open it as localhost"},
		{"oversized", "POST", "/api/confirm", `{"by": "` + strings.Repeat("x", maxBody) + `"}`, []string{tokenHeader, p.token}, 422, "longer than the 65536 bytes"},
		{"no JSON", "POST", "/api/confirm", "confirm", []string{tokenHeader, p.token}, 422, "not what this call takes"},
		{"an unknown field", "POST", "/api/confirm", `{"generaton": 7}`, []string{tokenHeader, p.token}, 422, "generaton"},
		{"unknown call", "GET", "/api/shutdown", "", nil, 404, "there is nothing at /api/shutdown"},
		{"a write as a read", "GET", "/api/confirm", "", []string{tokenHeader, p.token}, 404, "nothing at"},
		{"unknown route", "GET", "/etc/passwd", "", nil, 404, "nothing at"},
		{"a way out", "GET", "/lib/../../web.go", "", nil, 404, "nothing at"},
		{"a folder", "GET", "/lib/", "", nil, 404, "nothing at"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, text := p.request(t, tt.method, tt.path, tt.body, tt.headers...)
			var e control.Error
			if err := json.Unmarshal([]byte(text), &e); err != nil || resp.StatusCode != tt.status || !strings.Contains(e.Message, tt.want) {
				t.Errorf("%d %s\nwant %d and %q", resp.StatusCode, text, tt.status, tt.want)
			}
			if p.service.confirmed.Generation != 0 {
				t.Fatalf("confirmed all the same: %+v", p.service.confirmed)
			}
		})
	}
}

// TestWrite: the page's own requests pass, as localhost too, and say who asked.
func TestWrite(t *testing.T) {
	p := serve(t)
	local := strings.Replace(p.url, "127.0.0.1", "localhost", 1)
	for _, headers := range [][]string{
		{},
		{"Origin", p.url, "Sec-Fetch-Site", "same-origin"},
		{"Host", strings.TrimPrefix(local, "http://"), "Origin", local},
		{"Host", "[::1]:8080", "Origin", "http://[::1]:8080"}, // as through ssh -L 8080
	} {
		p.service.confirmed = control.ConfirmRequest{}
		resp, text := p.request(t, "POST", "/api/confirm", `{"generation": 7}`, append(headers, tokenHeader, p.token)...)
		if resp.StatusCode != http.StatusOK || p.service.confirmed.Generation != 7 || p.service.confirmed.By != "web page (127.0.0.1)" || p.service.confirmed.PID != control.NoProcess {
			t.Errorf("%v: %d %s, %+v", headers, resp.StatusCode, text, p.service.confirmed)
		}
	}
	p.service.err = &control.Error{Code: control.NoTrial, Message: "nothing is on trial"}
	if resp, text := p.request(t, "POST", "/api/confirm", "{}", tokenHeader, p.token); resp.StatusCode != http.StatusConflict || !strings.Contains(text, `"no_trial"`) {
		t.Errorf("a refusal of the daemon's: %d %s", resp.StatusCode, text)
	}
}

// TestToken: a new one is worth everything at once and the old one nothing.
func TestToken(t *testing.T) {
	p := serve(t)
	info, err := os.Stat(filepath.Join(p.cfg.State, tokenFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's mode: %v, %v; want 0600", info.Mode(), err)
	}
	renewed, err := NewToken(p.cfg.State)
	if err != nil || renewed == p.token || len(renewed) < 26 {
		t.Fatalf("a new token: %q after %q, %v", renewed, p.token, err)
	}
	if left, _ := filepath.Glob(filepath.Join(p.cfg.State, tokenFile+".*")); len(left) > 0 {
		t.Errorf("left over: %s", left)
	}
	for token, want := range map[string]int{p.token: 403, renewed: 200, "": 403} {
		if resp, text := p.request(t, "POST", "/api/unban", `{"target": "192.0.2.1"}`, tokenHeader, token); resp.StatusCode != want {
			t.Errorf("token %q: %d %s, want %d", token, resp.StatusCode, text, want)
		}
	}
	for content, want := range map[string]string{"": "damaged", "\n": "damaged", "short": "damaged"} {
		if err := os.WriteFile(filepath.Join(p.cfg.State, tokenFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if resp, text := p.request(t, "POST", "/api/unban", "{}", tokenHeader, strings.TrimSpace(content)); resp.StatusCode == 200 || !strings.Contains(text, want) {
			t.Errorf("a token file with %q: %d %s", content, resp.StatusCode, text)
		}
	}
	os.Remove(filepath.Join(p.cfg.State, tokenFile))
	if _, err := ReadToken(p.cfg.State); !errors.Is(err, ErrNoToken) {
		t.Errorf("no token: %v", err)
	}
	if resp, text := p.request(t, "POST", "/api/unban", "{}"); resp.StatusCode != 403 || !strings.Contains(text, "run sudo moonlatch web token") {
		t.Errorf("before there is a token: %d %s", resp.StatusCode, text)
	}
}

// TestHeaders: every answer says what a browser may do with it.
func TestHeaders(t *testing.T) {
	p := serve(t)
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/app.js": "text/javascript; charset=utf-8", "/style/base.css": "text/css; charset=utf-8",
		"/mark.svg": "image/svg+xml", "/lib/uplot.LICENSE.txt": "text/plain; charset=utf-8", "/api/status": "application/json",
		"/api/nothing": "application/json", "/metrics": "text/plain; charset=utf-8",
	} {
		resp, _ := p.request(t, "GET", path, "")
		for name, want := range map[string]string{
			"Content-Type": kind, "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %s: %q, want %q", path, name, got, want)
			}
		}
	}
	resp, _ := p.request(t, "GET", "/app.js", "")
	if again, text := p.request(t, "GET", "/app.js", "", "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified || text != "" {
		t.Errorf("a file that the browser has: %d", again.StatusCode)
	}
}

// TestAsked: however many ask, the daemon is asked once while its answer is
// fresh; and once more as soon as something was changed.
func TestAsked(t *testing.T) {
	asked := atomic.Int64{}
	a := newAnswer(time.Hour, func(context.Context) (any, error) { return asked.Add(1), nil })
	done := make(chan []byte)
	for range 50 {
		go func() {
			text, _ := a.get(context.Background())
			done <- text
		}()
	}
	for range 50 {
		if text := <-done; string(text) != "1" {
			t.Errorf("answer %s", text)
		}
	}
	a.forget()
	if text, err := a.get(t.Context()); string(text) != "2" || err != nil {
		t.Errorf("after a change: %s, %v", text, err)
	}
	p := serve(t)
	waitFor(t, "an answer that nobody was asked for", func() bool {
		before := p.service.asked.Load()
		p.request(t, "GET", "/api/status", "")
		return p.service.asked.Load() == before
	})
	before := p.service.asked.Load()
	p.request(t, "POST", "/api/confirm", "{}", tokenHeader, p.token)
	if p.request(t, "GET", "/api/status", ""); p.service.asked.Load() == before {
		t.Error("a status from before a confirm is told after it")
	}
}

// TestManyBans: what is told of them is bounded, and too many are not even listed.
func TestManyBans(t *testing.T) {
	p := serve(t)
	for n, want := range map[int]int{3: 3, maxBans + 1: maxBans, maxListed + 1: 0} {
		p.service.bans = make([]control.Ban, n)
		v, err := p.Server.bans(t.Context())
		if l, ok := v.(banList); err != nil || !ok || l.Total != n || len(l.Bans) != want {
			t.Errorf("%d bans: %d of %d told, %v; want %d", n, len(l.Bans), l.Total, err, want)
		}
	}
}

// TestFaults tells of the policy's errors that are on record.
func TestFaults(t *testing.T) {
	p := serve(t)
	if resp, text := p.request(t, "GET", "/api/faults", ""); resp.StatusCode != http.StatusOK || !strings.Contains(text, `{"faults":[]}`) {
		t.Errorf("without any: %d %s", resp.StatusCode, text)
	}
	p = serve(t)
	p.service.faults = []control.Entry{{Kind: "fault", By: "web.lua:9", Why: "no"}}
	if resp, text := p.request(t, "GET", "/api/faults", ""); resp.StatusCode != http.StatusOK || !strings.Contains(text, `"by":"web.lua:9","why":"no"`) {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

// TestExplain asks about one address.
func TestExplain(t *testing.T) {
	p := serve(t)
	if resp, text := p.request(t, "GET", "/api/explain?target=2001:db8::/64", ""); resp.StatusCode != http.StatusOK || !strings.Contains(text, `"target":"2001:db8::/64"`) || !strings.Contains(text, `"why":"on record"`) {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	p.service.err = &control.Error{Code: control.BadRequest, Message: "no address"}
	if resp, text := p.request(t, "GET", "/api/explain", ""); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text, "no address") {
		t.Errorf("without an address: %d %s", resp.StatusCode, text)
	}
}

// TestTooManyRequests are told to wait, and cost nothing.
func TestTooManyRequests(t *testing.T) {
	p := serve(t)
	p.limit.SetLimit(0) // what is used up stays so, however long this takes
	h := p.handler
	refused := 0
	for range 2 * maxBurst {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", p.url+"/api/status", bytes.NewReader(nil)))
		if w.Code == http.StatusTooManyRequests {
			refused++
			if w.Header().Get("Retry-After") == "" || w.Header().Get("Connection") != "close" {
				t.Fatalf("refused with %v", w.Header())
			}
		}
	}
	if refused != maxBurst {
		t.Errorf("of %d requests at once %d were refused, want %d", 2*maxBurst, refused, maxBurst)
	}
}
