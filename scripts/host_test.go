package scripts_test

import (
	"context"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/netns/netnstest"
	"moonlatch/scripts"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// serve puts a shipped policy in force in the namespace of this process, which
// is the server, and runs its detectors. Old and new, in pairs, change its text.
func serve(t *testing.T, name string, oldnew ...string) *engine.Daemon {
	t.Helper()
	netnstest.Kernel(t)
	text, err := fs.ReadFile(scripts.Policies(), name)
	must(t, err)
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(string(text), oldnew[i]) {
			t.Fatalf("%s does not hold %q", name, oldnew[i])
		}
	}
	folder := t.TempDir()
	must(t, os.CopyFS(folder, scripts.Policies())) // with its modules and lists
	path := filepath.Join(folder, name)
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, []byte(strings.NewReplacer(oldnew...).Replace(string(text))), 0o600))
	log := slog.New(slog.DiscardHandler)
	p, req, err := engine.Load(path, log)
	must(t, err)
	p.Close()

	ctx, cancel := context.WithCancel(context.Background())
	d, err := engine.Start(ctx, engine.Config{State: t.TempDir(), Log: log}, filepath.Join(t.TempDir(), "socket"))
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
		// This namespace is private: see netnstest.Kernel.
		if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	_, err = d.Apply(ctx, req)
	must(t, err)
	_, err = d.Confirm(ctx, control.ConfirmRequest{})
	must(t, err)
	return d
}

// listen makes the server listen on ports, in both address families.
func listen(t *testing.T, ports ...int) {
	t.Helper()
	for _, p := range ports {
		l, err := net.Listen("tcp", ":"+strconv.Itoa(p))
		must(t, err)
		t.Cleanup(func() { l.Close() })
	}
}

// packets is how many packets a rule of the policy in force has taken.
func packets(d *engine.Daemon, rule string) uint64 {
	for _, r := range d.Snapshot().Rules {
		if r.Rule == rule {
			return r.Packets
		}
	}
	return 0
}

// banned waits until the target is banned and returns the ban.
func banned(t *testing.T, d *engine.Daemon, target string) control.Ban {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if b, ok := isBanned(t, d, target); ok {
			return b
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not banned", target)
		}
	}
}

// protected waits until the kernel has an address of the server's among those that are never banned.
func protected(t *testing.T, target string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if exec.Command("nft", "get", "element", "inet", "moonlatch", "protected6", "{ "+target+" }").Run() == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not protected", target)
		}
	}
}

func isBanned(t *testing.T, d *engine.Daemon, target string) (control.Ban, bool) {
	t.Helper()
	bans, err := d.Bans(t.Context())
	must(t, err)
	i := slices.IndexFunc(bans, func(b control.Ban) bool { return b.Target == target })
	if i < 0 {
		return control.Ban{}, false
	}
	return bans[i], true
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
