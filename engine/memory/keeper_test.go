package memory

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// open opens a Keeper and runs it until stop.
func open(t *testing.T, path string) (k *Keeper, stop func()) {
	t.Helper()
	k, err := OpenKeeper(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- k.Run(ctx) }()
	return k, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "remembered.json")
	k, stop := open(t, path)
	if err := k.Kept().Remember("knocks", 3.0, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := k.Kept().Remember("over soon", "x", time.Nanosecond); err != nil {
		t.Fatal(err)
	}
	stop()
	k, stop = open(t, path)
	defer stop()
	if v, _ := k.Kept().Recall("knocks"); v != 3.0 {
		t.Errorf("after a restart, knocks is %v", v)
	}
	if n := len(k.Kept().entries); n != 1 {
		t.Errorf("%d entries are kept, and one is in force", n)
	}
}

// What a policy remembers reaches the disk without waiting for the daemon's end.
func TestWrittenWhileRunning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "remembered.json")
	k, stop := open(t, path)
	defer stop()
	if err := k.Kept().Remember("knocks", 3.0, 0); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		data, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(data), "knocks") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing was written: %q, %v", data, err)
		}
	}
}

// A trial begins with what is remembered, and only Keep lets it be kept.
func TestTrial(t *testing.T) {
	path := filepath.Join(t.TempDir(), "remembered.json")
	for _, confirmed := range []bool{false, true} {
		k, stop := open(t, path)
		if err := k.Kept().Remember("mode", "calm", 0); err != nil {
			t.Fatal(err)
		}
		trial := k.Trial()
		k.Begin(trial)
		if v, _ := trial.Recall("mode"); v != "calm" {
			t.Errorf("the trial does not know what is remembered: %v", v)
		}
		if err := trial.Remember("mode", "strict", 0); err != nil {
			t.Fatal(err)
		}
		if v, _ := k.Kept().Recall("mode"); v != "calm" {
			t.Errorf("the trial changed what is kept: %v", v)
		}
		want := "calm"
		if confirmed {
			k.Keep(trial)
			want = "strict"
		}
		stop()
		k, stop = open(t, path)
		if v, _ := k.Kept().Recall("mode"); v != want {
			t.Errorf("confirmed %v: afterwards mode is %v, want %s", confirmed, v, want)
		}
		stop()
	}
}

func TestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "remembered.json")
	if err := os.WriteFile(path, []byte(`{"version":1,"entries":[{"key":"k","value":[1]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	k, err := OpenKeeper(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := k.Kept().Recall("k"); ok {
		t.Error("a damaged file is believed")
	}
	if _, err := os.Stat(path + ".damaged"); err != nil || !strings.Contains(log.String(), "entry 1") {
		t.Errorf("the damage is not kept or not told: %v\n%s", err, &log)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"version":1,"entries":[]}`, `{"version":2}`, `{"version":1,"entries":[{"key":"a","value":1}]} x`,
		`{"version":1,"entries":[{"key":"a","value":"b","until":"2026-01-02T03:04:05Z"},{"key":"b","value":true}]}`,
		`{"version":1,"entries":[{"key":"a","value":1,"until":"9999-12-31T23:59:59-01:00"}]}`,
		`{"version":1,"entries":[{"key":"a","value":1},{"key":"a","value":2}]}`, `{"version":1,"entries":[{"key":"a","value":null}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := decode(data)
		if err != nil {
			return
		}
		m := New(time.Now)
		for key, e := range entries {
			if err := m.Remember(key, e.value, 0); err != nil {
				t.Fatalf("decode let something in: %v", err)
			}
		}
		again, err := decode(encode(entries))
		if err != nil || len(again) != len(entries) {
			t.Fatalf("%d entries become %d: %v", len(entries), len(again), err)
		}
	})
}
