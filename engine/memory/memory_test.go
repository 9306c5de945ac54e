package memory

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestRemember(t *testing.T) {
	now := time.Unix(1e9, 0)
	m := New(func() time.Time { return now })
	for key, value := range map[string]any{"text": "knock", "number": 2.5, "truth": false} {
		if err := m.Remember(key, value, time.Minute); err != nil {
			t.Fatal(err)
		}
		if got, ok := m.Recall(key); !ok || got != value {
			t.Errorf("%s: %v, %v", key, got, ok)
		}
	}
	if err := m.Remember("for good", "x", 0); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if v, ok := m.Recall("text"); ok {
		t.Errorf("%v is remembered beyond its time", v)
	}
	if _, ok := m.Recall("for good"); !ok {
		t.Error("what is remembered for good was forgotten")
	}
	m.Forget("for good")
	if _, ok := m.Recall("for good"); ok {
		t.Error("what was forgotten is remembered")
	}
}

func TestRefused(t *testing.T) {
	m := New(time.Now)
	for _, c := range []struct {
		key   string
		value any
		want  string
	}{
		{"", 1.0, "name is empty"},
		{strings.Repeat("k", MaxKey+1), 1.0, "129 bytes"},
		{"a\nb", 1.0, "cannot be printed"},
		{"\xff", 1.0, "cannot be printed"},
		{"k", math.NaN(), "no number"},
		{"k", math.Inf(-1), "no number"},
		{"k", strings.Repeat("v", MaxValue+1), "1025 bytes"},
		{"k", "\xff", "not text"},
		{"k", []string{}, "a text, a number, true or false"},
	} {
		if err := m.Remember(c.key, c.value, 0); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q = %.20v: %v, want %q", c.key, c.value, err, c.want)
		}
	}
	if entries, _ := m.content(); len(entries) > 0 {
		t.Errorf("something refused was kept: %v", entries)
	}
}

// A full Memory makes room of what it may forget, and of nothing else.
func TestFull(t *testing.T) {
	now := time.Unix(1e9, 0)
	m := New(func() time.Time { return now })
	for i := range MaxKeys {
		ttl := time.Duration(0)
		if i == 0 {
			ttl = time.Minute
		}
		if err := m.Remember(fmt.Sprint(i), float64(i), ttl); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Remember("more", 1.0, 0); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	if err := m.Remember("5", "another", 0); err != nil {
		t.Errorf("a name that is known: %v", err)
	}
	now = now.Add(time.Minute)
	if err := m.Remember("more", 1.0, 0); err != nil {
		t.Errorf("one has ended, and: %v", err)
	}
}
