package nft_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/nft"
)

func TestRun(t *testing.T) {
	c := open(t, "")
	must(t, c.Run(t.Context(), []byte("table inet t {\n\tchain c {\n\t\taccept\n\t}\n}\n")))
	if got := command(t, "", "list", "tables"); got != "table inet t\n" {
		t.Errorf("nft lists %q", got)
	}
	out, err := c.Output(t.Context(), "list", "ruleset")
	must(t, err)
	if diff := cmp.Diff(command(t, "", "list", "ruleset"), string(out)); diff != "" {
		t.Error(diff)
	}
	must(t, c.Run(t.Context(), nil))
}

func TestRunIsAllOrNothing(t *testing.T) {
	c := open(t, "")
	err := c.Run(t.Context(), []byte("add table inet t\nadd rule inet t none accept\n"))
	var script *nft.ScriptError
	if !errors.As(err, &script) {
		t.Fatalf("got error %v, want a ScriptError", err)
	}
	if diff := cmp.Diff([]nft.ScriptLine{{Line: 2, Col: 17, EndCol: 20, Message: "Could not process rule: No such file or directory"}}, script.Lines); diff != "" {
		t.Error(diff)
	}
	wantErr(t, err, nft.ErrNotExist, "line 2, column 17")
	if got := command(t, "", "list", "tables"); got != "" {
		t.Errorf("a script that failed left %s", got)
	}
}

func TestRunOfAnotherUser(t *testing.T) {
	c := open(t, "add table inet t { flags owner; }") // its owner has ended, but made it before another one may
	err := c.Run(t.Context(), []byte("create table inet x; create table inet x"))
	wantErr(t, err, nft.ErrExist)
	_, err = c.Output(t.Context(), "list", "table", "inet", "none")
	wantErr(t, err, nft.ErrNotExist)
}

func TestBinaryIsMissing(t *testing.T) {
	open(t, "")
	for _, name := range []string{"no-such-nft", "/no/such/nft"} {
		c, err := nft.Open(nft.Config{Binary: name})
		must(t, err)
		defer c.Close()
		wantErr(t, c.Run(t.Context(), nil), nft.ErrNoBinary, "install the nftables package", name)
	}
}

func TestBinaryIsFoundWithoutPath(t *testing.T) {
	c := open(t, "")
	t.Setenv("PATH", "")
	must(t, c.Run(t.Context(), []byte("add table inet t")))
}

// script makes a stand-in for nft, for what the real one does not do on demand.
func script(t *testing.T, text string) *nft.Client {
	t.Helper()
	open(t, "")
	path := filepath.Join(t.TempDir(), "nft")
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755))
	c, err := nft.Open(nft.Config{Binary: path})
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestHowNftIsStarted(t *testing.T) {
	dir := t.TempDir()
	c := script(t, fmt.Sprintf(`
		cat > %[1]s/stdin
		echo "$@" > %[1]s/args
		echo "$LC_ALL" > %[1]s/locale
		cut -d' ' -f6 /proc/$$/stat > %[1]s/session
		echo $$ > %[1]s/pid
		files=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2)
		echo "$files" > %[1]s/files
		cat <&3 > %[1]s/kept`, dir))
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	kept, err := os.CreateTemp(dir, "lock")
	must(t, err)
	defer kept.Close()
	_, err = kept.WriteAt([]byte("the lock"), 0)
	must(t, err)
	must(t, c.Run(t.Context(), []byte("some text"), kept))
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		return strings.TrimSpace(string(b))
	}
	for name, want := range map[string]string{
		"stdin": "some text", "args": "-f -", "locale": "C", "session": read("pid"), "kept": "the lock",
	} {
		if got := read(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if files := read("files"); strings.Contains(files, "pipe:") || strings.Count(files, "memfd:") != 3 {
		t.Errorf("nft's standard files are\n%s\nwant three in memory", files)
	}
}

func TestRunIsBounded(t *testing.T) {
	c := script(t, "exec sleep 60")
	cause := errors.New("took too long")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, cause)
	defer cancel()
	start := time.Now()
	wantErr(t, c.Run(ctx, nil), cause, "may or may not have changed")
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("Run took %v", took)
	}
}

func TestNftCrashes(t *testing.T) {
	for text, want := range map[string]string{
		"kill -SEGV $$":              "signal: segmentation fault",
		"exit 3":                     "exit status 3",
		"echo gibberish >&2; exit 1": "gibberish",
	} {
		err := script(t, text).Run(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want %q", text, err, want)
		}
	}
}

// TestKilledWhileNftRuns kills a process while its nft has not read the text yet. nft must still see all of it.
func TestKilledWhileNftRuns(t *testing.T) {
	dir := t.TempDir()
	open(t, "")
	nftPath, err := exec.LookPath("nft")
	must(t, err)
	slow := filepath.Join(dir, "nft")
	// It waits until its parent is gone.
	must(t, os.WriteFile(slow, []byte("#!/bin/sh\ntouch "+dir+"/started\nwhile kill -0 $PPID 2>/dev/null && [ $(cut -d' ' -f4 /proc/$$/stat) = $PPID ]; do sleep 0.01; done\nexec "+nftPath+" \"$@\"\n"), 0o755))
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), "VICTIM_NFT="+slow)
	must(t, cmd.Start())
	eventually(t, func() bool { _, err := os.Stat(dir + "/started"); return err == nil })
	must(t, cmd.Process.Signal(syscall.SIGKILL))
	cmd.Wait()
	eventually(t, func() bool { return strings.Contains(command(t, "", "list", "ruleset"), "the last rule") })
	if got := strings.Count(command(t, "", "list", "table", "inet", "victim"), "accept"); got != 300 {
		t.Errorf("nft loaded %d rules, want all 300", got)
	}
}

// TestVictim loads a ruleset in the process that the test above starts and kills.
func TestVictim(t *testing.T) {
	path := os.Getenv("VICTIM_NFT")
	if path == "" {
		return
	}
	c, err := nft.Open(nft.Config{Binary: path})
	must(t, err)
	var b strings.Builder
	b.WriteString("table inet victim { chain c { \n")
	for range 299 {
		b.WriteString("ip saddr 192.0.2.1 counter accept\n")
	}
	b.WriteString("accept comment \"the last rule\"\n}\n}\n")
	c.Run(context.Background(), []byte(b.String()))
}
