package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMedium follows a file from its writing to where a power cut cannot reach it.
func TestMedium(t *testing.T) {
	root := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(root, "old"), []byte("old"), 0o600))
	m, err := newMedium(root)
	must(err)
	const memory, empty, synced = "all of memory", "files that were not synced are empty", "only what was synced"
	expect := func(want map[string]tree) {
		t.Helper()
		got, err := m.after()
		must(err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	sync := func(path string) {
		t.Helper()
		_, all, err := scan(root)
		must(err)
		ino := m.top
		if path != "" {
			ino = all[m.top].names[path]
		}
		must(m.sync(ino))
	}
	must(os.WriteFile(filepath.Join(root, "new"), []byte("new"), 0o600))
	expect(map[string]tree{memory: {"old": "old", "new": "new"}, empty: {"old": "old", "new": ""}, synced: {"old": "old"}})
	sync("")
	expect(map[string]tree{memory: {"old": "old", "new": "new"}, empty: {"old": "old", "new": ""}, synced: {"old": "old", "new": ""}})
	sync("new")
	must(os.Rename(filepath.Join(root, "new"), filepath.Join(root, "old")))
	expect(map[string]tree{memory: {"old": "new"}, empty: {"old": "new"}, synced: {"old": "old", "new": "new"}})
	sync("")
	all := tree{"old": "new"}
	expect(map[string]tree{memory: all, empty: all, synced: all})
}
