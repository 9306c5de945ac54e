package blocklist

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ranges(l List) []string {
	var out []string
	for r := range l.Addrs.Ranges() {
		out = append(out, show(r))
	}
	return out
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		format Format
		text   string
		want   string // the ranges, or the error behind a !
	}{
		{Plain, "# drop\n192.0.2.1\r\n198.51.100.0/24 ; SBL1\n203.0.113.5-203.0.113.6\n2001:db8::/32\n::ffff:192.0.2.9\n", "192.0.2.1 192.0.2.9 198.51.100.0/24 203.0.113.5-203.0.113.6 2001:db8::/32"},
		{Plain, "", ""},
		{Plain, "<!DOCTYPE html>\n", "!HTML"},
		{Plain, "192.0.2.1\nError 503\n", `!line 2: "Error 503" is no address`},
		{Plain, "192.0.2.1/24\n", `!line 1: "192.0.2.1/24" is no address`},
		{Plain, "10.1.2.3\n", "!no part of the Internet"},
		{Plain, "0.0.0.0/0\n", "!no list bans so many"},
		{Plain, "32.0.0.0/7\n", "!no list bans so many"},
		{Plain, "2000::/3\n", "!no list bans so many"},
		{Plain, "1.0.0.0-9.0.0.0\n", "!no list bans so many"},
		{Plain, "fe80::1%eth0\n", "!is no address"},
		{Plain, "::ffff:10.0.0.0/104\n", "!is no address"},
		{Plain, "192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4\n192.0.2.5\n192.0.2.6\n", "!more than 5 entries"},
		{CIDR, "192.0.2.0/28\n", "192.0.2.0/28"},
		{CIDR, "192.0.2.1\n", "!no prefix"},
		{JSON, `["192.0.2.1", {"cidr": "198.51.100.0/24"}, {"ip": "2001:db8::1"}]`, "192.0.2.1 198.51.100.0/24 2001:db8::1"},
		{JSON, "{\"cidr\":\"198.51.100.0/24\",\"sblid\":\"SBL1\"}\n{\"type\":\"metadata\",\"records\":1}\n", "198.51.100.0/24"},
		{JSON, `["192.0.2.1"`, "!cut off"},
		{JSON, `["192.0.2.1"] x`, "!follows"},
		{JSON, `[{"host": "192.0.2.1"}]`, "!value 1: it has no cidr"},
		{JSON, `[7]`, "!value 1"},
		{JSON, `{"error": "quota"}`, "!line 1: it has no cidr"},
	} {
		l, err := Parse(tt.format, []byte(tt.text), 5)
		want, fails := strings.CutPrefix(tt.want, "!")
		switch {
		case fails && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s %q: %v, want %q", tt.format, tt.text, err, want)
		case !fails && (err != nil || strings.Join(ranges(l), " ") != want):
			t.Errorf("%s %q: %v, %v", tt.format, tt.text, ranges(l), err)
		}
	}
}

// TestMistakes: every bad line is told, up to a bound.
func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"192.0.2.1\nx\n\n10.0.0.1\n", []string{`line 2: "x" is no address, prefix or range`, "line 4: 10.0.0.1 holds addresses of 10.0.0.0/8, which are no part of the Internet"}},
		{"192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4\n192.0.2.5\n", []string{"line 4: it has more than 3 entries (max)"}},
		{"<html>", []string{"it is an HTML page or XML, not a list of addresses"}},
		{"192.0.2.1\n", nil},
	} {
		var got []string
		for _, err := range Mistakes(Plain, []byte(tt.text), 3) {
			got = append(got, err.Error())
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q:\n%s", tt.text, diff)
		}
	}
	if n := len(Mistakes(Plain, []byte(strings.Repeat("x\n", 100)), 1000)); n != maxMistakes {
		t.Errorf("%d of 100 bad lines", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"192.0.2.1\n198.51.100.0/24 # x\n", `["192.0.2.1", {"cidr": "2001:db8::/32"}]`, "1.0.0.0-1.0.0.9\n"} {
		for i := range 3 {
			f.Add(i, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, format int, content []byte) {
		l, err := Parse([]Format{Plain, CIDR, JSON}[uint(format)%3], content, 100)
		if err != nil {
			return
		}
		for r := range l.Addrs.Ranges() {
			for _, p := range private() {
				if p.Contains(r.From()) || p.Contains(r.To()) {
					t.Errorf("%s of %q", r, content)
				}
			}
		}
	})
}

func TestSpecs(t *testing.T) {
	for _, bad := range []Spec{
		{}, {URL: "https://x/", File: "/x"}, {URL: "drop.txt"}, {URL: "ftp://x/y"}, {URL: "http://x/y"}, {URL: "https://user:secret@x/y"}, {URL: "https:///y"},
	} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	for _, good := range []Spec{{URL: "https://x/y"}, {File: "/x"}, {URL: "http://x/y", HTTP: true}} {
		if err := good.Check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
}

// site serves one list, by HTTPS.
type site struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request)
	asked  int
}

// newSite starts a site that this process trusts.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked++
		s.answer(w, r)
	}))
	t.Cleanup(s.Close)
	transport := http.DefaultTransport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	t.Cleanup(func() { transport.TLSClientConfig = nil })
	return s
}

// serves has the site serve a text, with an ETag.
func (s *site) serves(text string) {
	tag := fmt.Sprintf("%q", fmt.Sprint(len(text), text[:min(9, len(text))]))
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		w.Header().Set("Content-Type", "text/plain")
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, text)
	}
}

// keeping is a Keeper whose kernel is a variable.
type keeping struct {
	*Keeper
	spec      Spec
	inForce   []string
	swaps     int
	protected netip.Prefix
	log       bytes.Buffer
	failing   error
}

func newKeeping(dir string, spec Spec) *keeping {
	k := &keeping{spec: spec}
	k.Keeper = NewKeeper(Config{
		Store: NewStore(dir), Log: slog.New(slog.NewTextHandler(&k.log, nil)),
		Protects: func(p netip.Prefix) bool { return k.protected.IsValid() && k.protected.Overlaps(p) },
		Swap: func(_ context.Context, _ string, l List) error {
			if k.failing == nil {
				k.inForce, k.swaps = ranges(l), k.swaps+1
			}
			return k.failing
		},
	})
	k.Keep([]Spec{spec})
	return k
}

func (k *keeping) update(t *testing.T) State {
	t.Helper()
	k.Keeper.update(t.Context(), k.spec)
	return k.cfg.Store.State(k.spec.Name)
}

func TestUpdate(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	k := newKeeping(dir, Spec{Name: "drop", URL: s.URL + "/drop.txt", Every: time.Hour, Format: Plain, Max: 6, Shrink: 50})
	first := []string{"192.0.2.1", "192.0.2.3", "192.0.2.5", "192.0.2.7"}
	s.serves(strings.Join(first, "\n"))
	if st := k.update(t); st.Error != "" || st.Entries != 4 || st.ETag == "" || st.Fetched.IsZero() || !cmp.Equal(k.inForce, first) {
		t.Fatalf("%+v, %v", st, k.inForce)
	}
	if st := k.update(t); st.Error != "" || k.swaps != 1 || s.asked != 2 {
		t.Errorf("a list that is the same: %+v, %d swaps", st, k.swaps)
	}
	redirect := func(to string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	html := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintln(w, "192.0.2.1\n192.0.2.2\n192.0.2.3")
	}
	k.protected = netip.MustParsePrefix("198.51.100.7/32")
	refused := uint64(0)
	for _, bad := range []struct {
		name, text, want string
		answer           func(http.ResponseWriter, *http.Request)
		refused          bool
	}{
		{name: "html", text: "<html>", want: "HTML", refused: true},
		{name: "html by type", answer: html, want: "HTML"},
		{name: "shrunk", text: "192.0.2.1\n", want: "shrank by more than 50%", refused: true},
		{name: "empty", text: "", want: "shrank", refused: true},
		{name: "too long", text: "192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4\n192.0.2.5\n192.0.2.6\n192.0.2.7\n", want: "more than 6", refused: true},
		{name: "protected", text: "192.0.2.1\n192.0.2.3\n198.51.100.0/24\n", want: "198.51.100.0/24 is, or holds, a protected address", refused: true},
		{name: "down", answer: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }, want: "503"},
		{name: "loop", answer: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) }, want: "more than 5 redirects"},
		{name: "to http", answer: redirect("http://127.0.0.1:1/"), want: "not https"},
		{name: "cut", answer: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "192.0.2.1\n")
		}, want: "unexpected EOF"},
	} {
		if s.answer = bad.answer; s.answer == nil {
			s.serves(bad.text)
		}
		st := k.update(t)
		if bad.refused {
			refused++
		}
		if !strings.Contains(st.Error, bad.want) || st.Refused != refused || st.Entries != 4 || !cmp.Equal(k.inForce, first) {
			t.Errorf("%s: %+v, in force %v", bad.name, st, k.inForce)
		}
	}
	if !strings.Contains(k.log.String(), "level=ERROR") {
		t.Error("not said loudly")
	}
	s.serves("192.0.2.1\n192.0.2.2\n")
	if st := k.update(t); st.Error != "" || st.Failures != 0 || len(k.inForce) != 1 {
		t.Errorf("a good one again: %+v, %v", st, k.inForce)
	}
	k.failing = fmt.Errorf("no room")
	s.serves("192.0.2.1\n192.0.2.2\n192.0.2.9\n")
	if st := k.update(t); st.Error != "no room" || st.Entries != 2 {
		t.Errorf("the kernel refuses: %+v", st)
	}

	// Another process, and no network: the last good copy.
	s.Close()
	k = newKeeping(dir, k.spec)
	k.refill(t.Context(), k.spec)
	if !cmp.Equal(k.inForce, []string{"192.0.2.1-192.0.2.2"}) {
		t.Errorf("without a network there is in force %v", k.inForce)
	}
	if st := k.update(t); !strings.Contains(st.Error, "refused") || st.Entries != 2 {
		t.Errorf("without a network: %+v", st)
	}
	k.protected = netip.MustParsePrefix("192.0.2.2/32")
	k.refill(t.Context(), k.spec)
	if len(k.inForce) != 0 {
		t.Errorf("a copy that covers a protected address is in force: %v", k.inForce)
	}
}

func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte("192.0.2.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	swapped := make(chan List, 10)
	k := NewKeeper(Config{
		Store: NewStore(t.TempDir()), Log: slog.New(slog.DiscardHandler), Protects: func(netip.Prefix) bool { return false },
		Swap: func(_ context.Context, _ string, l List) error { swapped <- l; return nil },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	k.Keep([]Spec{{Name: "f", File: file, Every: time.Hour, Format: Plain, Max: 10, Shrink: 50}})
	for l := range swapped {
		if l.Entries == 1 {
			break
		}
	}
	for len(must(k.cfg.Store.States())) == 0 { // it is written right behind that
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	states, err := k.cfg.Store.States()
	if err != nil || len(states) != 1 || states[0].Entries != 1 || states[0].Source != file || time.Until(states[0].Next) < 50*time.Minute {
		t.Errorf("%+v, %v", states, err)
	}
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[uint64]time.Duration{1: time.Minute, 3: 4 * time.Minute, 50: time.Hour} {
		if got := backoff(failures, time.Hour); got != want {
			t.Errorf("after %d failures: %s, want %s", failures, got, want)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestReadFile: a file is found in the policy's folder, and nothing outside of it, and nobody is waited for.
func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "policy")
	for name, content := range map[string]string{"secret": "192.0.2.9\n", "policy/lists/good": "192.0.2.1\n"} {
		must(0, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		must(0, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	must(0, os.Symlink("../secret", filepath.Join(folder, "link")))
	must(0, syscall.Mkfifo(filepath.Join(folder, "pipe"), 0o600))
	for _, tt := range []struct{ folder, file, want string }{
		{folder, "lists/good", "192.0.2.1\n"},
		{"", filepath.Join(folder, "lists/good"), "192.0.2.1\n"},
		{folder, filepath.Join(dir, "secret"), "192.0.2.9\n"},
		{folder, "link", "!escapes"},
		{folder, "../secret", "!escapes"},
		{folder, "pipe", "!no regular file"},
		{folder, "lists", "!no regular file"},
		{folder, "lists/none", "!no such file"},
		{"", "lists/good", "!not known"},
	} {
		content, err := Spec{Folder: tt.folder, File: tt.file}.Read()
		if want, fails := strings.CutPrefix(tt.want, "!"); fails != (err != nil) || fails && !strings.Contains(err.Error(), want) || !fails && string(content) != want {
			t.Errorf("%s of %q: %q, %v", tt.file, tt.folder, content, err)
		}
	}
}

// TestAtHand: a copy is of use only to who asks for the list that it is of.
func TestAtHand(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "list")
	must(0, os.WriteFile(file, []byte("192.0.2.1\n"), 0o600))
	k := newKeeping(filepath.Join(dir, "copies"), Spec{Name: "f", File: file, Every: time.Hour, Format: Plain, Max: 6, Shrink: 50})
	k.update(t)
	must(0, os.WriteFile(file, []byte("192.0.2.1\n192.0.2.3\n"), 0o600))
	elsewhere := k.spec
	elsewhere.File += "2"
	remote := Spec{Name: "f", URL: "https://lists.example.org/", Format: Plain, Max: 6}
	for what, tt := range map[string]struct {
		store   *Store
		spec    Spec
		entries int
		err     error
	}{
		"the copy":               {k.cfg.Store, k.spec, 1, nil},
		"the file":               {NewStore(""), k.spec, 2, nil},
		"another file":           {k.cfg.Store, elsewhere, 0, os.ErrNotExist},
		"a list that never came": {k.cfg.Store, remote, 0, ErrNoCopy},
		"no copies, and no file": {NewStore(""), remote, 0, ErrNoCopy},
		"copies nowhere":         {NewStore(filepath.Join(dir, "none")), remote, 0, ErrNoCopy},
		"copies nowhere, a file": {NewStore(filepath.Join(dir, "none")), k.spec, 2, nil},
	} {
		if l, err := tt.store.AtHand(tt.spec); l.Entries != tt.entries || !errors.Is(err, tt.err) {
			t.Errorf("%s: %d entries, %v", what, l.Entries, err)
		}
	}
	if l := k.cfg.Store.Last(elsewhere); l.Entries != 0 || k.cfg.Store.Last(k.spec).Entries != 1 {
		t.Errorf("the last good copy of another list: %d", l.Entries)
	}
}

// TestUnchanged: the same bytes again are nothing new, from a server that knows no ETag, too, unless the copy of them is gone.
func TestUnchanged(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	k := newKeeping(dir, Spec{Name: "drop", URL: s.URL, Every: time.Hour, Format: Plain, Max: 6, Shrink: 50})
	s.answer = func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "192.0.2.1\n192.0.2.3\n") }
	first := k.update(t)
	if st := k.update(t); st.Error != "" || k.swaps != 1 || !st.Fetched.Equal(first.Fetched) || !st.Checked.After(first.Checked) {
		t.Errorf("the same again: %+v, %d swaps", st, k.swaps)
	}
	// The policy says otherwise what to expect: what was good then is looked at again.
	k.spec.Format = CIDR
	if st := k.update(t); !strings.Contains(st.Error, "is no prefix") {
		t.Errorf("in another format: %+v", st)
	}
	k.spec.Format = Plain
	s.serves("192.0.2.1\n192.0.2.5\n")
	for _, damage := range []func(string) error{os.Remove, func(name string) error { return os.WriteFile(name, []byte("192.0.2."), 0o600) }} {
		k.update(t)
		swaps := k.swaps
		if err := damage(filepath.Join(dir, "drop.list")); err != nil {
			t.Fatal(err)
		}
		if st := k.update(t); st.Error != "" || k.swaps != swaps+1 || must(k.cfg.Store.Load(k.spec)).Entries != 2 {
			t.Errorf("the copy was damaged: %+v, %d swaps", st, k.swaps-swaps)
		}
	}
}

// endless is a source of zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestContentIsBounded(t *testing.T) {
	if content, err := readAll(endless{}); err == nil || !strings.Contains(err.Error(), "more than 64 MB") {
		t.Errorf("%d bytes were taken, %v", len(content), err)
	}
}

// TestFirstListMayNotBeEmpty: there is none that it shrank from.
func TestFirstListMayNotBeEmpty(t *testing.T) {
	s := newSite(t)
	k := newKeeping(t.TempDir(), Spec{Name: "drop", URL: s.URL, Every: time.Hour, Format: Plain, Max: 6, Shrink: 50})
	s.serves("")
	if st := k.update(t); !strings.Contains(st.Error, "it is empty") || k.swaps != 0 {
		t.Errorf("%+v", st)
	}
}
