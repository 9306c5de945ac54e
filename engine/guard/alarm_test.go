package guard

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"moonlatch/engine/boottime"
)

// TestAlarm goes off at its instant, not before, and when the folder changes.
func TestAlarm(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, armed), nil, 0o600))
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	a, err := newAlarm(root)
	must(t, err)
	defer a.close()
	now := func() boottime.Instant {
		i, err := boottime.Now()
		must(t, err)
		return i
	}
	at := now().In(300 * time.Millisecond)
	must(t, a.wait(at))
	if early, _ := at.Sub(now()); early > 0 {
		t.Errorf("it went off %s before its instant", early)
	}
	must(t, a.wait(now().In(-time.Hour))) // at once
	far := now().In(time.Hour)
	go func() {
		time.Sleep(100 * time.Millisecond)
		os.Rename(filepath.Join(dir, armed), filepath.Join(dir, ended))
	}()
	must(t, a.wait(far))
}
