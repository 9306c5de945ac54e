package notify

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"moonlatch/engine/feed"
)

const generous = time.Minute

// safeLog collects a log.
type safeLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs the targets of a config file until the test ends.
func start(t *testing.T, config string) (*feed.Hub, *Notifier, *safeLog) {
	t.Helper()
	c, err := parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	hub, log := feed.NewHub(), &safeLog{}
	n := New(c, hub, slog.New(slog.NewTextHandler(log, nil)))
	n.pause, n.host = time.Millisecond, "web1"
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	before := hub.Subscribers()
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	until(t, "it listens", func() bool { return hub.Subscribers() > before })
	return hub, n, log
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(generous); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %s", what)
		}
	}
}

func trialEnd() feed.Item {
	return feed.Item{Kind: feed.KindTrialEnd, Generation: &feed.Generation{Number: 8, Policy: "web.lua", Fallback: "previous"}}
}

// request is what a server was asked.
type request struct{ method, path, auth, title, body string }

// hook is a server that answers as it is told, and keeps what it was asked.
func hook(t *testing.T, answer func(n int) int) (*httptest.Server, func() []request) {
	var mu sync.Mutex
	var got []request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		got = append(got, request{r.Method, r.URL.EscapedPath(), r.Header.Get("Authorization"), r.Header.Get("Title"), string(body)})
		n := len(got)
		mu.Unlock()
		w.Header().Set("Location", "/elsewhere") // which matters to a redirect only
		w.WriteHeader(answer(n))
	}))
	t.Cleanup(s.Close)
	return s, func() []request {
		mu.Lock()
		defer mu.Unlock()
		return append([]request(nil), got...)
	}
}

func always(code int) func(int) int { return func(int) int { return code } }

const ended = "trial ended: it was not confirmed in time, and the kernel has put the fallback in force"

// TestFormats sends the same to a server in each format.
func TestFormats(t *testing.T) {
	text := ended + " generation=8 policy=web.lua fallback=previous"
	for format, want := range map[string]request{
		"json":   {"POST", "/in", "Bearer s3cret", "", ""},
		"slack":  {"POST", "/in", "Bearer s3cret", "", `{"text":"*web1: ` + ended + `*\n` + text + `"}` + "\n"},
		"matrix": {"PUT", "/in/_matrix/client/v3/rooms/%21r:example.org/send/m.room.message/moonlatch-", "Bearer s3cret", "", `{"body":"web1: ` + ended + `\n` + text + `","msgtype":"m.text"}` + "\n"},
		"ntfy":   {"POST", "/in", "Bearer s3cret", "web1: " + ended, text},
	} {
		t.Run(format, func(t *testing.T) {
			server, got := hook(t, always(200))
			room := ""
			if format == "matrix" {
				room = `room = "!r:example.org"`
			}
			hub, n, _ := start(t, fmt.Sprintf("[targets.ops]\nformat = %q\nurl = %q\ntoken = \"s3cret\"\n%s", format, server.URL+"/in", room))
			hub.Publish(trialEnd())
			until(t, "a message", func() bool { return n.Stats()[0].Sent == 1 })
			r := got()[0]
			if format == "json" {
				var doc struct {
					APIVersion, Title, Text string
					Item                    feed.Item
				}
				if err := json.Unmarshal([]byte(r.body), &doc); err != nil || doc.APIVersion != "moonlatch/v1" || doc.Title != "web1: "+ended || doc.Item.Generation.Number != 8 {
					t.Errorf("%s: %v", r.body, err)
				}
				r.body = ""
			}
			if format == "matrix" && strings.HasPrefix(r.path, want.path) {
				r.path = want.path
			}
			if r != want {
				t.Errorf("got  %+v\nwant %+v", r, want)
			}
		})
	}
}

// TestRetries: what may pass is tried again, what is refused for good is not, and no log tells a secret.
func TestRetries(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answer  func(int) int
		asked   int
		sent    uint64
		retried uint64
	}{
		{"server errors that pass", func(n int) int { return map[bool]int{true: 503, false: 204}[n < 3] }, 3, 1, 2},
		{"server errors", always(500), attempts, 0, attempts - 1},
		{"too many", func(n int) int { return map[bool]int{true: 429, false: 200}[n < 2] }, 2, 1, 1},
		{"refused", always(403), 1, 0, 0},
		{"redirected", always(302), 1, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, got := hook(t, tt.answer)
			hub, n, log := start(t, fmt.Sprintf("[targets.ops]\nformat = \"json\"\nurl = %q\ntoken = \"s3cret\"", server.URL+"/s3cret"))
			hub.Publish(trialEnd())
			until(t, "the end", func() bool { s := n.Stats()[0]; return s.Sent+s.Dropped == 1 })
			if s := n.Stats()[0]; len(got()) != tt.asked || s.Sent != tt.sent || s.Retried != tt.retried {
				t.Errorf("asked %d times, %+v", len(got()), s)
			}
			if text := log.String(); strings.Contains(text, "s3cret") || (tt.sent == 0) != strings.Contains(text, "given up") {
				t.Errorf("log: %s", text)
			}
		})
	}
}

// TestUnreachable targets, and those whose certificate nobody knows: errors that tell no secret.
func TestUnreachable(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	closed := httptest.NewServer(nil)
	closed.Close()
	for address, want := range map[string]string{secure.URL: "certificate", closed.URL: "refused"} {
		c, err := parse(fmt.Appendf(nil, "[targets.ops]\nformat = \"slack\"\nurl = %q", address+"/s3cret"))
		if err != nil {
			t.Fatal(err)
		}
		err = New(c, feed.NewHub(), slog.New(slog.DiscardHandler)).Test(t.Context(), "ops")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

// TestHangingTarget delays neither who publishes nor another target; its queue is bounded, and its drops are counted.
func TestHangingTarget(t *testing.T) {
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hanging.Close()
	defer close(release)
	server, got := hook(t, always(200))
	hub, n, _ := start(t, fmt.Sprintf("[targets.dead]\nformat = \"json\"\nurl = %q\nmost = 100000\n[targets.ops]\nformat = \"json\"\nurl = %q\nmost = 100000", hanging.URL, server.URL))
	began := time.Now()
	for range queueSize {
		hub.Publish(trialEnd())
	}
	if took := time.Since(began); took > generous {
		t.Errorf("publishing took %s", took)
	}
	until(t, "the other target has all", func() bool { return len(got()) == queueSize })
	for range 10 {
		hub.Publish(trialEnd())
	}
	until(t, "drops are counted", func() bool { return n.Stats()[0].Dropped >= 9 })
}

// TestRateLimit holds back what is too much, and says how much that was.
func TestRateLimit(t *testing.T) {
	c, err := parse([]byte("[targets.ops]\nformat = \"ntfy\"\nurl = \"http://h\"\nmost = 2\nper = \"1h\""))
	if err != nil {
		t.Fatal(err)
	}
	n, to := New(c, feed.NewHub(), slog.New(slog.DiscardHandler)), c.targets[0]
	it, now := trialEnd(), time.Now()
	for range 7 {
		n.offer(to, &it, now)
	}
	if s := n.Stats()[0]; len(to.queue) != 2 || s.Suppressed != 5 {
		t.Errorf("%d wait, %+v; want 2, and 5 suppressed", len(to.queue), s)
	}
	n.offer(to, &it, now.Add(time.Hour))
	for range 2 {
		if m := <-to.queue; strings.Contains(m.body, "suppressed") {
			t.Errorf("body: %s", m.body)
		}
	}
	if m := <-to.queue; !strings.HasSuffix(m.body, "(5 more suppressed)") {
		t.Errorf("body: %s", m.body)
	}
}

// TestWants: targets are told of what they ask for, and by default of nothing that passes by itself.
func TestWants(t *testing.T) {
	c, err := parse([]byte("[targets.all]\nformat = \"json\"\nurl = \"http://h\"\n[targets.bans]\nformat = \"json\"\nurl = \"http://h\"\non = [\"ban\"]"))
	if err != nil {
		t.Fatal(err)
	}
	ban := feed.Item{Kind: feed.KindBan, Ban: &feed.Ban{Target: feed.Target{Prefix: netip.MustParsePrefix("192.0.2.1/32")}}}
	for _, tt := range []struct {
		it   feed.Item
		want [2]bool
	}{
		{trialEnd(), [2]bool{true, false}},
		{ban, [2]bool{false, true}},
		{feed.Item{Kind: feed.KindFault, Fault: &feed.Fault{}}, [2]bool{false, false}},
		{feed.Item{Kind: feed.KindFault, Fault: &feed.Fault{Off: true}}, [2]bool{true, false}},
		{feed.Item{Kind: feed.KindLease, Lease: &feed.Lease{State: feed.LeaseFailing}}, [2]bool{false, false}},
		{feed.Item{Kind: feed.KindLease, Lease: &feed.Lease{State: feed.LeaseOpen}}, [2]bool{true, false}},
		{feed.Item{Kind: feed.KindNotice, Notice: &feed.Notice{To: "bans"}}, [2]bool{false, true}},
	} {
		if got := [2]bool{c.targets[0].wants(&tt.it), c.targets[1].wants(&tt.it)}; got != tt.want {
			t.Errorf("%s: %v, want %v", tt.it.Kind, got, tt.want)
		}
	}
}

// TestMistakes names the line and the nearest name, and tells no secret.
func TestMistakes(t *testing.T) {
	const web = "[targets.ops]\nformat = \"json\"\nurl = \"https://h/s3cret\"\n"
	for config, want := range map[string]string{
		"":                                                "1: there is no target",
		"[targets.ops]\nformta = \"json\"":                `2: unknown key "formta" (did you mean "format"?)`,
		"[target.ops]\nformat = \"json\"":                 `1: unknown key "target" (did you mean "targets"?)`,
		"[targets.ops]\nformat = 3":                       "2: ",
		"[targets.ops\n":                                  "1: ",
		"[targets.ops]\nformat = \"slak\"":                `2: target "ops": format "slak" is unknown (did you mean "slack"?)`,
		web + "on = [\"bna\"]":                            `(did you mean "ban"?)`,
		web + "on = [\"event\"]":                          "packets are too many",
		web + "per = \"soon\"":                            `per "soon" is no duration`,
		web + "most = -1":                                 "at least one",
		web + "title = \"{{.Hots}}\"":                     "Hots",
		web + "body = \"{{\"":                             `4: target "ops": body: `,
		web + "ca_file = \"/nowhere\"":                    `4: target "ops": ca_file: open /nowhere`,
		web + "ca_file = \"/dev/null\"":                   "ca_file holds no certificate",
		web + "token_file = \"$CREDENTIALS_DIRECTORY/t\"": "LoadCredential=t:",
		"[targets.ops]\nformat = \"ntfy\"\ntoken = \"s3cret\"\nurl = \"http://ntfy.example\"": `4: target "ops": url begins with http://`,
		web + "url_env = \"X\"":                                             "only one of url, url_file and url_env",
		web + "room = \"!r:h\"":                                             "needs a room",
		web + "from = \"a@b\"":                                              "are for format mail",
		web + "token_file = \"/nowhere\"":                                   "token_file: open /nowhere",
		"[targets.ops]\nformat = \"json\"":                                  "url is none of",
		"[targets.x]\nformat = \"json\"\nurl = \"s3cret\"":                  `3: target "x": url is none of`,
		"[targets.m]\nformat = \"mail\"\nserver = \"h\"":                    "write it as smtp.example.org:587",
		"[targets.m]\nformat = \"mail\"\nserver = \"h:25\"\nfrom = \"a@b\"": "to names nobody",
		"[targets.m]\nformat = \"mail\"\nserver = \"h:25\"\nfrom = \"a@b\"\nto = [\"c@d\"]\nuser = \"u\"":                                        "user and password go together",
		"[targets.m]\nformat = \"mail\"\nserver = \"h:25\"\nfrom = \"a@b\"\nto = [\"c@d\"]\nuser = \"u\"\npassword = \"s3cret\"\ntls = \"none\"": "does not travel without TLS",
	} {
		_, err := parse([]byte(config))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s\n%v, want %s", config, err, want)
		}
	}
}

// TestSecrets come from files and the environment as well.
func TestSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("https://h/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MOONLATCH_TEST_TOKEN", "t0ken")
	c, err := parse(fmt.Appendf(nil, "[targets.ops]\nformat = \"json\"\nurl_file = %q\ntoken_env = \"MOONLATCH_TEST_TOKEN\"", file))
	if err != nil {
		t.Fatal(err)
	}
	if w := c.targets[0].to.(*webhook); w.url.String() != "https://h/x" || w.token != "t0ken" {
		t.Errorf("%+v", w)
	}
}

// TestCredentials are files that systemd hands over.
func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ops"), []byte("t0ken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	c, err := parse([]byte("[targets.ops]\nformat = \"json\"\nurl = \"https://h/x\"\ntoken_file = \"$CREDENTIALS_DIRECTORY/ops\""))
	if err != nil {
		t.Fatal(err)
	}
	if w := c.targets[0].to.(*webhook); w.token != "t0ken" {
		t.Errorf("the token is %q", w.token)
	}
}

// TestTrust: with a file of certificates, those in it decide, and nothing older than TLS 1.2 is spoken.
func TestTrust(t *testing.T) {
	for newest, want := range map[uint16]string{0: "", tls.VersionTLS11: "protocol version"} {
		plain, got := hook(t, always(200))
		secure := httptest.NewUnstartedServer(plain.Config.Handler)
		secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		secure.TLS = &tls.Config{MaxVersion: newest}
		secure.StartTLS()
		defer secure.Close()
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := parse(fmt.Appendf(nil, "[targets.ops]\nformat = \"json\"\nurl = %q\ntoken = \"s3cret\"\nca_file = %q", secure.URL, ca))
		if err != nil {
			t.Fatal(err)
		}
		err = New(c, feed.NewHub(), slog.New(slog.DiscardHandler)).Test(t.Context(), "ops")
		if want == "" && (err != nil || len(got()) != 1) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("TLS %x: %v, and the server got %d messages", newest, err, len(got()))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("[targets.ops]\nformat = \"json\"\nurl = \"https://h\"\non = [\"ban\"]\nmost = 1\nper = \"1m\"\ntitle = \"{{.Host}}\""))
	f.Add([]byte("[targets.m]\nformat = \"mail\"\nserver = \"h:25\"\nfrom = \"a@b\"\nto = [\"c@d\"]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Contains(string(text), "_file") || strings.Contains(string(text), "range") { // no other files, no endless templates
			return
		}
		c, err := parse(text)
		if err != nil {
			return
		}
		for _, target := range c.targets {
			if target.to == nil || target.most < 1 || target.per <= 0 || target.title == nil {
				t.Errorf("%s\nis %+v", text, target)
			}
		}
	})
}
