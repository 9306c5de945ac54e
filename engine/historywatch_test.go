package engine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"moonlatch/engine/feed"
	"moonlatch/engine/store"
)

// An incident of the history's is told once when it begins and once when it is over.
func TestHistoryWatch(t *testing.T) {
	var w historyWatch
	start := time.Unix(1e9, 0).UTC()
	look := func(after time.Duration, dropped uint64, failing string) string {
		n := w.look(HistoryStats{Stats: store.Stats{Dropped: dropped, Failing: failing}}, start.Add(after))
		if n == nil {
			return ""
		}
		text := n.Title + "|" + n.Text
		for _, f := range n.Fields {
			text += "|" + f.Value
		}
		return text
	}
	for _, c := range []struct {
		after   time.Duration
		dropped uint64
		failing string
		want    string
	}{
		{0, 0, "", ""},
		{time.Second, 0, "no space left", "the history cannot be written|no space left"},
		{2 * time.Second, 3, "no space left", ""},
		{3 * time.Second, 3, "", ""},
		{4 * time.Second, 5, "", ""}, // it flaps: still the same incident
		{63 * time.Second, 5, "", ""},
		{64 * time.Second, 5, "", "the history is written again||2001-09-09T01:46:41Z|5"},
		{65 * time.Second, 5, "", ""},
		{66 * time.Second, 9, "", "the history misses what comes faster than it can be written|"},
		{67 * time.Second, 9, "no space left", ""},
		{127 * time.Second, 9, "", "the history is written again||2001-09-09T01:47:46Z|4"},
	} {
		if got := look(c.after, c.dropped, c.failing); got != c.want {
			t.Errorf("after %s: %q, want %q", c.after, got, c.want)
		}
	}
}

// The figures of a history that really cannot be opened make an incident, which telling of it does not prolong.
func TestHistoryWatchOfARealOne(t *testing.T) {
	tell, _, s := newTeller(t)
	dir := filepath.Join(t.TempDir(), "no folder")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tell.history = newHistory(Config{State: dir, Log: tell.log}, false)
	if _, err := tell.history.open(); err == nil {
		t.Fatal("a file is no folder of a history")
	}
	var w historyWatch
	now := time.Now()
	n := w.look(tell.history.stats(), now)
	if n == nil || n.Text == "" {
		t.Fatalf("told %+v", n)
	}
	tell.tell(feed.Item{Kind: feed.KindHistory, Notice: n})
	if it, ok := s.Try(); !ok || it.Kind != feed.KindHistory {
		t.Errorf("the feed has %+v", it)
	}
	if err := errors.Join(os.Remove(dir), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	tell.history.again = time.Time{}
	if _, err := tell.history.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tell.history.close() })
	if n := w.look(tell.history.stats(), now.Add(time.Second)); n != nil {
		t.Errorf("at once: %+v", n)
	}
	n = w.look(tell.history.stats(), now.Add(time.Second+historyQuiet))
	if n == nil || n.Fields[1].Value != "1" { // the telling itself
		t.Fatalf("when it is over: %+v", n)
	}
	tell.tell(feed.Item{Kind: feed.KindHistory, Notice: n})
	if n := w.look(tell.history.stats(), now.Add(2*time.Second+historyQuiet)); n != nil {
		t.Errorf("and then: %+v", n)
	}
}
