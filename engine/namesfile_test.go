package engine

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func answersOf(addr string) map[string][]netip.Prefix {
	return map[string][]netip.Prefix{"a.example": {host(netip.MustParseAddr(addr))}}
}

// TestNamesKept: a daemon that starts while nothing resolves protects what names resolved to before it, if that is not too long ago.
func TestNamesKept(t *testing.T) {
	b := openBook(t)
	file := keptNames(t.TempDir())
	first := newProtector(b, slog.New(slog.DiscardHandler), file).names
	first.known(answersOf("203.0.113.1"))
	if _, ok := first.unresolved("a.example"); ok {
		t.Error("a name that resolves is told as one that does not")
	}
	list, err := file.read(time.Now())
	if err != nil || len(list) != 1 {
		t.Fatalf("kept are %v, %v", list, err)
	}
	for age, want := range map[time.Duration]bool{0: true, maxAnswerAge - time.Hour: true, maxAnswerAge + time.Hour: false} {
		a := list["a.example"]
		a.Resolved = time.Now().Add(-age)
		if err := file.write([]answer{a}); err != nil {
			t.Fatal(err)
		}
		n := newProtector(b, slog.New(slog.DiscardHandler), file).names
		n.resolve = func(string) ([]netip.Addr, error) { return nil, errors.New("no answer") }
		if err := n.protect(t.Context(), []string{"a.example"}); err != nil {
			t.Fatal(err)
		}
		for _, when := range []string{"at once", "after it did not resolve"} {
			if got := b.Protects(netip.MustParsePrefix("203.0.113.1/32")); got != want {
				t.Errorf("resolved %s ago, %s: protected %v, want %v", age, when, got, want)
			}
			at, ok := n.unresolved("a.example")
			if want && (!ok || at.Sub(a.Resolved).Abs() > time.Minute) {
				t.Errorf("resolved %s ago, %s: unresolved since %s, %v", age, when, at, ok)
			}
			n.refresh(t.Context())
		}
	}
}

// TestNamesWrittenSeldom: the same answer is not written again each time, and another one is.
func TestNamesWrittenSeldom(t *testing.T) {
	file := keptNames(t.TempDir())
	n := newProtector(openBook(t), slog.New(slog.DiscardHandler), file).names
	wantWritten := func(want bool) {
		t.Helper()
		if _, err := os.Stat(file.path); (err == nil) != want {
			t.Errorf("written %v, want %v", err == nil, want)
		}
		os.Remove(file.path)
	}
	n.known(answersOf("203.0.113.1"))
	wantWritten(true)
	n.known(answersOf("203.0.113.1"))
	wantWritten(false)
	n.known(answersOf("203.0.113.2"))
	wantWritten(true)
	n.kept["a.example"] = time.Now().Add(-2 * keepAgain)
	n.known(answersOf("203.0.113.2"))
	wantWritten(true)
}

// TestNamesDamaged: a file that cannot be read is said, and replaced by the next answer.
func TestNamesDamaged(t *testing.T) {
	file := keptNames(t.TempDir())
	if err := os.WriteFile(file.path, []byte(`{"apiVersion":"moonlatch/v1","names":[{"name":"a.example","addresses":["one"]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	n := newProtector(openBook(t), slog.New(slog.NewTextHandler(&log, nil)), file).names
	if !strings.Contains(log.String(), filepath.Base(file.path)) {
		t.Errorf("nothing is said:\n%s", &log)
	}
	n.known(answersOf("203.0.113.1"))
	if list, err := file.read(time.Now()); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

// FuzzParseNames: whatever the file holds, what is read from it can be protected, and reads the same again.
func FuzzParseNames(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"apiVersion":"moonlatch/v1"}`, `{"apiVersion":"moonlatch/v1","names":[]} x`,
		`{"apiVersion":"moonlatch/v1","names":[{"name":"a.example","addresses":["192.0.2.1","2001:db8::1"],"resolved":"2026-01-02T03:04:05Z"}]}`,
		`{"apiVersion":"moonlatch/v1","names":[{"name":"a.example","addresses":["fe80::1%eth0"],"resolved":"2026-01-02T03:04:05Z"}]}`,
		`{"apiVersion":"moonlatch/v1","names":[{"name":"a\u0007","addresses":["::ffff:192.0.2.1"]}]}`,
		`{"apiVersion":"moonlatch/v1","names":[{"name":"a","addresses":["192.0.2.1"],"resolved":"9999-12-31T23:59:59-23:59"}]}`,
		`{"apiVersion":"moonlatch/v1","names":[{"name":"a","addresses":[""]}]}`,
		`{"apiVersion":"moonlatch/v1","names":[{"name":"a","addresses":["192.0.2.1"]},{"name":"a","addresses":["192.0.2.1"]}]}`,
	} {
		f.Add([]byte(seed))
	}
	file := keptNames(f.TempDir())
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseNames(data)
		if err != nil {
			return
		}
		for _, a := range list {
			for _, p := range a.prefixes() {
				if !p.IsSingleIP() || p.Addr().Zone() != "" || p.Addr().Is4In6() {
					t.Fatalf("%+v was read", a)
				}
			}
		}
		if err := file.write(list); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file.path)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseNames(text); err != nil || len(again) != len(list) {
			t.Fatalf("read again: %+v, %v", again, err)
		}
	})
}
