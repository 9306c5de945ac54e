package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnits: the units that ship are as docs/operating.md says, and where systemd is there, it finds nothing wrong with them.
func TestUnits(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	must(t, err)
	folder := t.TempDir()
	files, err := filepath.Glob("../../docs/systemd/*.service")
	if err != nil || len(files) != 2 {
		t.Fatalf("units: %v, %v", files, err)
	}
	for i, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		for line := range strings.Lines(string(text)) {
			if caps, ok := strings.CutPrefix(line, "CapabilityBoundingSet="); ok && strings.TrimSpace(caps) != "CAP_NET_ADMIN" {
				t.Errorf("%s: the daemon may have %s", file, caps)
			}
		}
		files[i] = filepath.Join(folder, filepath.Base(file))
		must(t, os.WriteFile(files[i], []byte(strings.ReplaceAll(string(text), "/usr/local/sbin/moonlatch", self)), 0o600))
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return
	}
	for _, args := range [][]string{
		append([]string{"verify"}, files...),
		{"security", "--offline=yes", "--threshold=30", filepath.Join(folder, "moonlatch.service")}, // tenths
	} {
		if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || args[0] == "verify" && strings.Contains(string(out), folder) { // a mistake is only a warning
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}
