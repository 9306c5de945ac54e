package generation

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"moonlatch/engine/netns"
	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// TestRestore brings the confirmed generation back after a reboot, and only it.
func TestRestore(t *testing.T) {
	s := newServer(t)
	if _, err := s.restore(); !errors.Is(err, ErrNoStore) {
		t.Errorf("restore of nothing: %v, want ErrNoStore", err)
	}
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	before := s.list()
	s.mustApply(long, FallbackPrevious, 80)
	s.reboot()
	s.expect("rebooted", true, true)
	r, err := s.restore()
	if err != nil || r.Generation.Number != 1 || r.Generation.By != "test" || len(r.Problems) != 0 {
		t.Fatalf("restored %+v, %v; want generation 1", r, err)
	}
	s.expect("restored", true, false)
	if after := s.list(); blank(after) != blank(before) {
		t.Errorf("restored:\n%s\nwant as it was confirmed:\n%s", after, before)
	}
	files, err := s.m.Files(1)
	if err != nil || string(files["lists/drop.txt"]) != "192.0.2.9\n" {
		t.Errorf("stored files: %q, %v", files, err)
	}
	if r, err := s.restore(); err != nil || r.Generation.Number != 1 {
		t.Errorf("restored once more: %+v, %v", r, err)
	}
}

// TestRestoreThatWasKilled finds what one left behind that died before a large set was filled:
// it filters nothing yet, and the next one does not take it for what was confirmed.
func TestRestoreThatWasKilled(t *testing.T) {
	s := newServer(t)
	must(t, s.applyRuleset(blocking(t)))
	s.mustConfirm()
	before := s.list()
	s.reboot()
	s.in(func() error {
		return s.m.locked(t.Context(), func(c *change) error {
			r, err := c.store.load(1)
			must(t, err)
			if len(r.fills) == 0 {
				t.Fatal("its set is not large enough")
			}
			script := &ruleset.Script{}
			plan{confirmed: &r}.write(script, true)
			return c.nft.Run(t.Context(), []byte(script.String()), c.lock)
		})
	})
	s.expect("half restored", true, true)
	if r, err := s.restore(); err != nil || r.Generation == nil || r.Generation.Number != 1 {
		t.Fatalf("restored %+v, %v", r, err)
	}
	if after := s.list(); blank(after) != blank(before) {
		t.Errorf("restored:\n%.2000s\nwant as it was confirmed:\n%.2000s", after, before)
	}
}

// TestPutBack has a watchdog bring a large set back: it is nobody's drift.
func TestPutBack(t *testing.T) {
	s := newServer(t)
	s.applyHealed(long, FallbackPrevious, 22)
	s.mustConfirm()
	edit := "delete element inet moonlatch_1 feed4 { 10.0.0.1 }; add element inet moonlatch_1 feed4 { 10.0.0.1 }"
	for _, quietly := range []bool{false, true} {
		var heard nft.Change
		s.in(func() error {
			m, err := s.m.nft.Monitor()
			must(t, err)
			defer m.Close()
			if quietly {
				must(t, s.m.PutBack(t.Context(), func() error { s.somebody(edit); return nil }))
			} else {
				s.somebody(edit)
			}
			heard, err = m.Next(t.Context())
			return err
		})
		var d *Drift
		s.in(func() (err error) { d, err = s.m.Drift(t.Context(), heard); return err })
		if (d == nil) != quietly {
			t.Errorf("put back: %t, drift: %+v", quietly, d)
		}
		s.heal()
	}
}

// damages are what can become of a file.
var damages = map[string]func(path string, content []byte) error{
	"truncated": func(path string, b []byte) error { return os.WriteFile(path, b[:len(b)/2], 0o600) },
	"flipped": func(path string, b []byte) error {
		b[len(b)/2] ^= 0x04
		return os.WriteFile(path, b, 0o600)
	},
	"empty":   func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
	"missing": func(path string, _ []byte) error { return os.Remove(path) },
	"garbage": func(path string, _ []byte) error { return os.WriteFile(path, []byte("{}\n"), 0o600) },
}

// TestRestoreDamaged damages each file of the store in every way. Generation 1 lets
// in port 22, generation 2, confirmed after it, has a large set, and drops the client.
func TestRestoreDamaged(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	must(t, s.applyRuleset(blockingAmong(t, 4096)))
	s.mustConfirm()
	whole := s.dir
	for _, tt := range []struct {
		files    string // with blanks between
		want     uint64
		problems int
	}{
		{"confirmed", 2, 1},
		{"generations/2/confirmed", 2, 0},
		{"generations/2/files/web.lua", 2, 0},
		{"generations/1/record.json generations/1/ruleset.nft generations/1/confirmed", 2, 0},
		{"generations/2/record.json", 1, 1},
		{"generations/2/ruleset.nft", 1, 1},
		{"generations/2/sets/inet/feed4", 1, 1},
		{"generations/2/sets/inet/feed6", 1, 1},
		{"confirmed generations/2/record.json", 1, 2},
		{"generations/1/ruleset.nft generations/2/ruleset.nft", 0, 2},
		{"generations/1/record.json generations/2/record.json confirmed", 0, 3},
		{"generations/1/confirmed generations/2/ruleset.nft", 0, 2},
	} {
		for kind, damage := range damages {
			s.in(func() error { return s.nft.Run(t.Context(), []byte("flush ruleset\n")) })
			s.dir = t.TempDir()
			must(t, os.CopyFS(s.dir, os.DirFS(whole)))
			for _, name := range strings.Fields(tt.files) {
				path := filepath.Join(s.dir, name)
				b, err := os.ReadFile(path)
				must(t, err)
				must(t, damage(path, b))
			}
			s.open()
			s.wantRestored(tt.files+" "+kind, tt.want, tt.problems)
		}
	}
}

// wantRestored restores and checks what comes of it: a missing copy of "confirmed" is
// no problem that could be noticed.
func (s *server) wantRestored(what string, want uint64, problems int) {
	s.t.Helper()
	if strings.Contains(what, "/confirmed") && strings.HasSuffix(what, "missing") && problems > 0 {
		problems--
	}
	r, err := s.restore()
	if err != nil {
		s.t.Errorf("%s: %v", what, err)
		return
	}
	got := uint64(0)
	if r.Generation != nil {
		got = r.Generation.Number
	}
	if got != want || len(r.Problems) != problems {
		s.t.Errorf("%s: restored %d with problems %v; want %d with %d problems", what, got, r.Problems, want, problems)
	}
	for _, p := range r.Problems {
		if !strings.Contains(p.Why, s.dir) {
			s.t.Errorf("%s: the problem names no file: %s", what, p.Why)
		}
	}
	if len(s.m.Problems()) != problems {
		s.t.Errorf("%s: %d problems are told later", what, len(s.m.Problems()))
	}
	l := s.list()
	switch want {
	case 0:
		if l != "" {
			s.t.Errorf("%s: something is in force:\n%s", what, l)
		}
	case 1:
		if !strings.Contains(l, "moonlatch_1 {") || strings.Contains(l, "moonlatch_2 {") {
			s.t.Errorf("%s: not generation 1:\n%s", what, l)
		}
	case 2:
		if !strings.Contains(l, "moonlatch_2 {") || strings.Contains(l, "moonlatch_1 {") {
			s.t.Errorf("%s: not generation 2", what)
		}
	}
}

// TestRestoreWrongRecord finds another generation's record in the place of the newest one's.
func TestRestoreWrongRecord(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.mustApply(long, FallbackPrevious, 80)
	s.mustConfirm()
	for _, name := range []string{"record.json", "ruleset.nft"} {
		b, err := os.ReadFile(filepath.Join(s.m.store.generation(1), name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(s.m.store.generation(2), name), b, 0o600))
	}
	if _, err := s.m.store.describe(2); !errors.Is(err, ErrDamaged) {
		t.Errorf("described: %v", err)
	}
	s.reboot()
	s.wantRestored("the record of generation 1", 1, 1)
	s.expect("restored", true, false)
	// A whole generation that is well but was never confirmed is no better.
	r, err := s.m.store.load(1)
	must(t, err)
	r.Number = 2
	must(t, s.m.store.remove(2))
	must(t, s.m.store.save(r))
	s.reboot()
	s.wantRestored("another generation 2", 1, 1)
}

// TestRestoreMissingFolder finds nothing of the newest generation.
func TestRestoreMissingFolder(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.mustApply(long, FallbackPrevious, 80)
	s.mustConfirm()
	must(t, os.RemoveAll(s.m.store.generation(2)))
	s.reboot()
	s.wantRestored("no folder", 1, 1)
	s.expect("restored", true, false)
	// The next one to look leaves things as they are: the damage is not forgotten.
	if r, err := s.restore(); err != nil || r.Generation.Number != 1 || len(s.m.Problems()) != 1 {
		t.Errorf("restored once more: %+v, %v, problems %v", r, err, s.m.Problems())
	}
	if _, err := s.confirm(); !errors.Is(err, ErrNoTrial) {
		t.Errorf("confirm: %v, want ErrNoTrial", err)
	}
	// A generation that is confirmed after it makes all well again.
	s.mustApply(long, FallbackPrevious, 80)
	s.mustConfirm()
	s.reboot()
	s.wantRestored("confirmed anew", 3, 0)
}

// TestRestoreRefused finds that the kernel does not take the newest generation: a
// device that it names is not there any more.
func TestRestoreRefused(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	must(t, netns.Veth(s.host, "gone0", s.away, "gone1"))
	r := only(80)
	r.Chains[0].Rules = append(r.Chains[0].Rules, &ruleset.Rule{Name: "gone", Items: []ruleset.Item{ruleset.Text("iif gone0 accept")}})
	must(t, s.applyRuleset(r))
	s.mustConfirm()
	del := exec.Command("ip", "link", "del", "gone0")
	must(t, s.host.Start(del))
	must(t, del.Wait())
	s.reboot()
	got, err := s.restore()
	if err != nil || got.Generation == nil || got.Generation.Number != 1 || len(got.Problems) != 1 || got.Problems[0].Generation != 2 {
		t.Errorf("restored %+v, %v; want generation 1 in the place of 2", got, err)
	}
	s.expect("restored", true, false)
}

// TestFilesDamaged: a policy that is not the one that was applied is not run.
func TestFilesDamaged(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	for kind, damage := range damages {
		path := filepath.Join(s.m.store.generation(1), "files", "web.lua")
		must(t, damage(path, []byte("-- policy")))
		if _, err := s.m.Files(1); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestPruneKeepsConfirmed: however many trials come, what a boot may need stays.
func TestPruneKeepsConfirmed(t *testing.T) {
	s := newServer(t)
	for range 2 {
		s.mustApply(long, FallbackPrevious, 22)
		s.mustConfirm()
	}
	for range kept + 3 {
		s.mustApply(long, FallbackPrevious, 80)
	}
	s.mustConfirm()
	must(t, os.RemoveAll(s.m.store.generation(kept+5)))
	s.reboot()
	s.wantRestored("the newest is gone", 2, 1)
}

// TestSealed changes each bit of a sealed file, and cuts it everywhere.
func TestSealed(t *testing.T) {
	b, err := seal(confirmation{7, checksum(nil)})
	must(t, err)
	var c confirmation
	must(t, unseal(b, &c))
	for i := range b {
		for bit := range 8 {
			changed := append([]byte(nil), b...)
			changed[i] ^= 1 << bit
			if err := unseal(changed, &c); !errors.Is(err, ErrDamaged) {
				t.Errorf("bit %d of byte %d changed: %v", bit, i, err)
			}
		}
		if err := unseal(b[:i], &c); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
}

func FuzzUnseal(f *testing.F) {
	b, err := seal(confirmation{7, checksum(nil)})
	must(f, err)
	f.Add(b)
	f.Add([]byte(`{"sha256":"","body":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record
		if err := unseal(b, &r); err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	})
}
