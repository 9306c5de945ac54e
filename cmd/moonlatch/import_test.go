package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moonlatch/engine/netns/netnstest"
)

// TestImportOutlastsABoot imports with a daemon and without one: the history tells of it, and a boot brings the bans back.
func TestImportOutlastsABoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	list := func(name, lines string) string {
		path := filepath.Join(w.dir, name)
		must(t, os.WriteFile(path, []byte(lines), 0o600))
		return path
	}
	w.start()
	first := list("first.txt", "192.0.2.1 # a\n198.51.100.128/25 # b\n2001:db8:5::/64 # c\n")
	w.ok("bans", "import", first)
	if out := w.ok("history", "--kind", "notice"); !strings.Contains(out, "3 bans imported from "+first) {
		t.Errorf("the history does not tell of the import:\n%s", out)
	}
	w.kill()
	second := list("second.txt", "192.0.2.2 # d\n2001:db8:7::/48 # e\n")
	w.ok("bans", "import", second)
	if out := w.ok("history", "--kind", "notice"); !strings.Contains(out, "2 bans imported from "+second) {
		t.Errorf("without a daemon the history does not tell of the import:\n%s", out)
	}
	boot := netnstest.New(t) // what a boot leaves of the kernel's rules: nothing
	w.server = boot
	cmd := w.command("restore")
	must(t, boot.Start(cmd))
	cmd.Wait() // no generation was confirmed, which it says
	in := w.bans()
	for target, why := range map[string]string{"192.0.2.1": "a", "198.51.100.128/25": "b", "2001:db8:5::/64": "c", "192.0.2.2": "d", "2001:db8:7::/48": "e"} {
		if b, ok := in[target]; !ok || b.Why != why || b.By != "import" || b.Until.IsZero() {
			t.Errorf("after a boot %s is banned: %t, %+v", target, ok, b)
		}
	}
	if len(in) != 5 {
		t.Errorf("after a boot there are %d bans", len(in))
	}
}

// TestImportWithMistakes has ten bad lines among 100,000: each is named, and nothing is imported.
func TestImportWithMistakes(t *testing.T) {
	t.Parallel()
	w := newReplayWorld(t)
	var list strings.Builder
	for i := range 100_000 {
		if i%10_000 == 7 {
			fmt.Fprintf(&list, "10.0.0.%d\n", 300+i)
			continue
		}
		fmt.Fprintf(&list, "10.%d.%d.%d\n", 1+i>>16, i>>8&255, i&255)
	}
	path := filepath.Join(w.dir, "list.txt")
	must(t, os.WriteFile(path, []byte(list.String()), 0o600))
	_, out, code := w.run("bans", "import", path)
	if code != 1 {
		t.Errorf("code %d", code)
	}
	for i := 7; i < 100_000; i += 10_000 {
		if want := fmt.Sprintf("list.txt:%d: \"10.0.0.%d\" is no IP address", i+1, 300+i); !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if !strings.Contains(out, "has 10 mistakes: nothing was imported") {
		t.Errorf("%s", out)
	}
	if in := w.bans(); len(in) != 0 {
		t.Errorf("%d bans were imported", len(in))
	}
}
