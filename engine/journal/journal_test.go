package journal

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// beInside makes the test binary log to the journal of its own mount namespace.
const beInside = "MOONLATCH_TEST_JOURNAL"

func TestMain(m *testing.M) {
	if os.Getenv(beInside) == "" {
		os.Exit(m.Run())
	}
	if err := inside(); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

// inside plays systemd's journal at its real path, and prints what the handler sends there.
func inside() error {
	const path = "/run/systemd/journal/socket"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	journald, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	log := slog.New(New(level)).With("socket", "s").WithGroup("g")
	log.Debug("not this")
	log.Warn("banned", "target", "203.0.113.9", "why", "11 ports", "empty", "", "traceback", "one\ntwo", slog.Group("in", "n", 7))
	level.Set(slog.LevelDebug)
	slog.New(New(level)).Debug("now this", strings.Repeat("long-key", 20), 1)
	buf := make([]byte, 1<<16)
	for range 2 {
		journald.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := journald.Read(buf)
		if err != nil {
			return err
		}
		os.Stdout.Write(append(buf[:n], "--\n"...))
	}
	if Wanted() {
		return errors.New("standard error is a file, and passes for the journal")
	}
	return nil
}

// TestJournal sends to a real socket where systemd's is, in a mount namespace of its own.
func TestJournal(t *testing.T) {
	cmd := exec.Command("unshare", "-rm", "sh", "-c", `mount -t tmpfs none /run && exec "$0"`, "/proc/self/exe")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args[len(cmd.Args)-1] = exe
	cmd.Env = append(os.Environ(), beInside+"=1", "JOURNAL_STREAM=1:2")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	first, second, _ := strings.Cut(string(out), "--\n")
	for _, field := range []string{
		"MESSAGE=banned socket=s g.target=203.0.113.9 g.why=\"11 ports\" g.in.n=7\n", "PRIORITY=4\n", "SYSLOG_IDENTIFIER=moonlatch\n",
		"MOONLATCH_SOCKET=s\n", "MOONLATCH_G_TARGET=203.0.113.9\n", "MOONLATCH_G_WHY=11 ports\n", "MOONLATCH_G_EMPTY=\n", "MOONLATCH_G_IN_N=7\n",
		"MOONLATCH_G_TRACEBACK\n\a\x00\x00\x00\x00\x00\x00\x00one\ntwo\n",
	} {
		if !strings.Contains(first, field) {
			t.Errorf("%q lacks %q", first, field)
		}
	}
	if !strings.Contains(second, "MESSAGE=now this") || !strings.Contains(second, "PRIORITY=7\n") || strings.Contains(string(out), "not this") {
		t.Errorf("after the level changed: %q", second)
	}
	if name := fieldName(strings.Repeat("long-key", 20)); len(name) != 64 || !strings.HasPrefix(name, "MOONLATCH_LONG_KEY") {
		t.Errorf("a long key is the field %s", name)
	}
}
