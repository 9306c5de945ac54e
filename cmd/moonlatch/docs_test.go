package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
)

// fence is one fenced block of a document.
type fence struct {
	info string // the words behind the opening fence
	text string
}

// fences returns the fenced blocks of a document, in order.
func fences(t *testing.T, path string) []fence {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	var out []fence
	for _, m := range regexp.MustCompile("(?ms)^```(.*?)\n(.*?)^```$").FindAllStringSubmatch(string(b), -1) {
		out = append(out, fence{m[1], m[2]})
	}
	return out
}

// TestDocumentedPolicies checks every whole policy that the documents show.
func TestDocumentedPolicies(t *testing.T) {
	w := &world{t: t, server: netnstest.New(t), dir: t.TempDir()}
	for _, doc := range []string{"../../README.md", "../../docs/policy.md", "../../docs/cookbook.md", "../../docs/migration.md"} {
		n := 0
		for _, f := range fences(t, doc) {
			if f.info != "lua" {
				continue
			}
			n++
			w.ok("check", w.policy(fmt.Sprintf("doc%d.lua", n), f.text))
		}
		if n == 0 {
			t.Errorf("%s shows no policy", doc)
		}
	}
}

// TestDocumentedSessions runs what the documents show of a
// terminal, and compares what is printed; … stands for anything.
func TestDocumentedSessions(t *testing.T) {
	for _, doc := range []string{"../../docs/tutorial.md", "../../docs/operating.md", "../../docs/testing.md", "../../docs/web.md", "../../README.md"} {
		t.Run(filepath.Base(doc), func(t *testing.T) {
			t.Parallel()
			s := newSession(t)
			for _, f := range fences(t, doc) {
				switch name, isFile := strings.CutPrefix(f.info, "lua file="); {
				case isFile:
					must(t, os.WriteFile(filepath.Join(s.dir, name), []byte(f.text), 0o600))
				case f.info == "console":
					s.play(f.text)
				}
			}
		})
	}
}

// TestTutorialWithoutServer enters the private shell that the tutorial describes, as whoever runs
// the tests, and does in it what needs root, Moonlatch's own places and a network.
func TestTutorialWithoutServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	self, err := os.Executable()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "bin", "moonlatch"), []byte("#!/bin/sh\n"+beCommand+"=1 exec "+self+" \"$@\"\n"), 0o755))
	var enter string
	for _, f := range fences(t, "../../docs/tutorial.md") {
		if f.info == "sh" {
			enter = f.text
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash")
	cmd.WaitDelay = time.Second
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+t.TempDir())
	cmd.Stdin = strings.NewReader(enter + `
set -m # as at a terminal: each job is a process group
cat >web.lua <<'END'
local fw = require "moonlatch"
fw.chain "input" { hook = "input", policy = "accept" }
END
sudo moonlatch run --metrics "" 2>log &
for i in $(seq 100); do sudo moonlatch status 2>/dev/null | grep -q 'daemon *pid' && break; sleep 0.1; done
sudo moonlatch apply --confirm 1m web.lua && sudo moonlatch confirm && sudo moonlatch status
sudo nft list tables
kill %1; wait
`)
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"generation 1, confirmed", "table inet moonlatch_1", "daemon     pid "} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("%v; %q is missing in:\n%s", err, want, out)
		}
	}
}

// shell is a terminal on a host of its own.
type shell struct {
	t    *testing.T
	host *netns.Namespace
	dir  string
	env  []string
}

func newSession(t *testing.T) *shell {
	s := &shell{t: t, host: netnstest.New(t), dir: t.TempDir()}
	self, err := os.Executable()
	must(t, err)
	bin := t.TempDir()
	pids := filepath.Join(bin, "pids")
	for name, script := range map[string]string{
		"moonlatch": "#!/bin/sh\n[ \"$1\" = run ] && echo $$ >>" + pids + "\n" + beCommand + "=1 exec " + self + " --state " + bin + "/state --socket " + bin + "/control.sock \"$@\"\n",
		"sudo":      "#!/bin/sh\nexec \"$@\"\n",
	} {
		must(t, os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755))
	}
	scripts, err := filepath.Abs("../../scripts")
	must(t, err)
	must(t, os.Symlink(scripts, filepath.Join(s.dir, "scripts")))
	scan, err := filepath.Abs("testdata/capture/scan.pcap")
	must(t, err)
	must(t, os.Symlink(scan, filepath.Join(s.dir, "capture.pcap")))
	s.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	// A daemon that the session leaves running in the background ends with the test.
	t.Cleanup(func() { exec.Command("sh", "-c", "[ -f "+pids+" ] && kill -9 $(cat "+pids+") 2>/dev/null").Run() })
	return s
}

// play runs the commands of a block and compares what each prints.
func (s *shell) play(block string) {
	s.t.Helper()
	for _, part := range regexp.MustCompile(`(?m)^\$ `).Split(block, -1)[1:] {
		command, want, _ := strings.Cut(part, "\n")
		got := s.run(command)
		command, _, _ = strings.Cut(command, "  #")
		if strings.HasSuffix(strings.TrimSpace(command), "&") {
			s.run("for i in $(seq 100); do moonlatch status 2>/dev/null | grep -q 'daemon *pid' && break; sleep 0.1; done")
			continue
		}
		pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(want), "…", `[\s\S]*?`) + "$"
		if !regexp.MustCompile(pattern).MatchString(got) {
			s.t.Errorf("$ %s\ngot:\n%swant:\n%s", command, got, want)
		}
	}
}

// run runs one command and returns what it prints on both streams.
func (s *shell) run(command string) string {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := os.CreateTemp(s.t.TempDir(), "out") // a file: a daemon in the background would keep a pipe open
	must(s.t, err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	must(s.t, s.host.Start(cmd))
	cmd.Wait() // what it prints tells
	b, err := os.ReadFile(out.Name())
	must(s.t, err)
	return string(bytes.TrimLeft(b, "\n"))
}
