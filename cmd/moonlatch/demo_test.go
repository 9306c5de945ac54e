package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"moonlatch/engine/demo"
	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
)

// demoCommand is the demo as a user starts it, with a folder of its own for
// temporary files, which must be empty in the end.
func demoCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	netnstest.Kernel(t)
	tmp := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), beCommand+"=1", "TMPDIR="+tmp)
	t.Cleanup(func() {
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("the demo leaves %v, %v behind", left, err)
		}
	})
	return cmd
}

func TestDemo(t *testing.T) {
	t.Parallel()
	cmd := demoCommand(t, "--output", "json")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Errorf("%v: %s", err, errs.String())
	}
	var r demo.Report
	d := json.NewDecoder(&out)
	d.DisallowUnknownFields()
	must(t, d.Decode(&r))
	if d.More() || errs.Len() > 0 {
		t.Errorf("there is more than one document: %s%s", out.String(), errs.String())
	}
	if r.APIVersion != "moonlatch/v1" || !r.Held || len(r.Promises) != 10 {
		t.Errorf("got %+v", r)
	}
	for _, p := range r.Promises {
		if !p.Held {
			t.Errorf("broken: %s (%s)", p.Text, p.Measured)
		}
	}
}

// TestDemoForPeople runs where nmap is not installed and nobody sits at a terminal.
func TestDemoForPeople(t *testing.T) {
	t.Parallel()
	cmd := demoCommand(t)
	nft, err := exec.LookPath("nft")
	must(t, err)
	bin := t.TempDir()
	must(t, os.Symlink(nft, filepath.Join(bin, "nft")))
	cmd.Env = append(cmd.Env, "PATH="+bin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
	}
	if n := strings.Count(string(out), " held\n"); n != 10 || bytes.ContainsRune(out, '\x1b') {
		t.Errorf("%d promises held, want 10, in plain text:\n%s", n, out)
	}
	if !strings.Contains(string(out), "connect scan") {
		t.Errorf("how it scanned without nmap is not told:\n%s", out)
	}
}

func TestDemoNeedsNamespaces(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	must(t, err)
	// The limits belong to the private user namespace that this sets them in.
	forbid := `echo 0 >/proc/sys/user/max_user_namespaces; echo 0 >/proc/sys/user/max_net_namespaces; exec "$0" demo`
	sh := netns.Command(t.Context(), "sh", "-c", forbid, self)
	sh.Env = demoCommand(t).Env
	out, err := sh.CombinedOutput()
	if sh.ProcessState.ExitCode() != exitNotPermitted {
		t.Errorf("%v, want exit code %d", err, exitNotPermitted)
	}
	if !strings.Contains(string(out), "user.max_user_namespaces is 0") {
		t.Errorf("what to do is not told: %s", out)
	}
}

func TestDemoCanBeInterrupted(t *testing.T) {
	t.Parallel()
	cmd := demoCommand(t)
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	must(t, cmd.Start())
	for deadline := time.Now().Add(generous); !strings.Contains(out.String(), "is confirmed"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not begin:\n%s", out)
		}
	}
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	start := time.Now()
	if err := cmd.Wait(); err == nil || time.Since(start) > generous {
		t.Errorf("it ended with %v, %s after the signal:\n%s", err, time.Since(start), out)
	}
}
