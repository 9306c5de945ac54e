package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/control"
	"moonlatch/engine/netns/netnstest"
)

const consolePolicy = goodPolicy + `
local admins = fw.set "admins" { "192.0.2.0/28" }
local closed = fw.stream "closed"
input { "closed", flags = "syn", closed, fw.drop }
`

// TestConsole asks a running policy, reads only, writes, and stays within bounds.
func TestConsole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, errs, code := w.run("console", "-e", "1"); code != 4 || !strings.Contains(errs, "moonlatch console FILE") {
		t.Errorf("without a daemon: exit code %d, %s", code, errs)
	}
	w.start()
	if _, errs, code := w.run("console", "-e", "1"); code != 1 || !strings.Contains(errs, "no policy is in force") {
		t.Errorf("without a policy: exit code %d, %s", code, errs)
	}
	w.ok("apply", w.policy("console.lua", consolePolicy))
	w.ok("confirm")
	for source, want := range map[string]string{
		`fw.bans()`: "0\n", `sets.admins`: "{ \"192.0.2.0/28\" }\n", `print "x"`: "x\n", `chains.input.policy, 2`: "\"drop\"\n2\n",
	} {
		if got := w.ok("console", "-e", source); got != want {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
	for source, want := range map[string]string{
		`fw.ban("` + attacker4 + `", "1h")`: "this console only reads: start it with --write",
		`fw.bnas()`:                         `unknown name fw.bnas (did you mean "bans"?)`,
		`while true do end`:                 "instruction budget used up",
	} {
		if _, errs, code := w.run("console", "-e", source); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d, %s", source, code, errs)
		}
	}
	if len(w.bans()) > 0 {
		t.Error("a console that only reads banned somebody")
	}
	w.ok("console", "--write", "-e", `fw.ban("`+attacker4+`", "1h", "by hand")`)
	if b := w.bans()[attacker4]; b.Why != "by hand" || b.By != "console input" {
		t.Errorf("banned: %+v", w.bans())
	}
	w.says(`console may change things`)
	w.says(`fw.ban(\"` + attacker4)
	var doc control.ConsoleResult
	out, _, code := w.run("console", "-o", "json", "-e", `print "a"; return { x = 1, "y" }, nil`)
	must(t, json.Unmarshal([]byte(out), &doc))
	if code != 0 || doc.Output != "a\n" || len(doc.Values) != 2 || doc.Generation != 1 || doc.Policy != "console.lua" {
		t.Errorf("exit code %d: %+v", code, doc)
	}
	out, _, code = w.run("console", "-o", "json", "-e", `error "no"`)
	must(t, json.Unmarshal([]byte(out), &doc))
	if code != 1 || !strings.Contains(doc.Error, "no") {
		t.Errorf("exit code %d: %+v", code, doc)
	}
}

// TestConsolePipe reads several lines, which share what they define, and stops at an error.
func TestConsolePipe(t *testing.T) {
	t.Parallel()
	w := &world{t: t, server: netnstest.New(t), dir: t.TempDir()}
	cmd := w.command("console", w.policy("console.lua", consolePolicy))
	cmd.Stdin = strings.NewReader("n = 1\nfor i = 1, 3 do\n  n = n * 2\nend\n\nn\nfw.ban('192.0.2.9', '1h')\n'not reached'\n")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	must(t, w.server.Start(cmd))
	cmd.Wait() // the exit code tells
	if code := cmd.ProcessState.ExitCode(); code != 1 || out.String() != "8\n" || !strings.Contains(errs.String(), "--write") {
		t.Errorf("exit code %d: %q, %q", code, out.String(), errs.String())
	}
}

// typist sits at a terminal.
type typist struct {
	t    *testing.T
	keys *os.File
	out  *lockedBuffer
	seen int
}

// sits starts a command at a terminal.
func sits(t *testing.T, w *world, cmd *exec.Cmd) *typist {
	t.Helper()
	master, _ := terminalFor(t, cmd)
	p := &typist{t: t, keys: master, out: &lockedBuffer{}}
	must(t, w.server.Start(cmd))
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			p.out.Write(b[:n])
		}
	}()
	return p
}

// types types, and waits for something to appear that was not there before.
func (p *typist) types(keys, want string) {
	p.t.Helper()
	if _, err := p.keys.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
	p.sees(want)
}

func (p *typist) sees(want string) {
	p.t.Helper()
	for deadline := time.Now().Add(generous); ; time.Sleep(10 * time.Millisecond) {
		text := p.out.String()
		if i := strings.Index(text[p.seen:], want); i >= 0 {
			p.seen += i + len(want)
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("still waiting for %q; on the terminal: %q", want, text[p.seen:])
		}
	}
}

// TestConsoleTerminal types at a real terminal: lines over lines, completion, history, help.
func TestConsoleTerminal(t *testing.T) {
	t.Parallel()
	w := &world{t: t, server: netnstest.New(t), dir: t.TempDir()}
	file := w.policy("console.lua", consolePolicy)
	start := func() (*typist, *exec.Cmd) {
		cmd := w.command("console", file)
		cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+w.dir, "TERM=xterm", "NO_COLOR=1")
		return sits(t, w, cmd), cmd
	}
	p, cmd := start()
	p.sees("> ")
	p.types("1 + 41\r", "42\r\n")
	p.types("sets.ad\t\r", "{ \"192.0.2.0/28\" }")
	p.types("fw.ba\t", "fw.ban")
	p.types("\t", "fw.ban  fw.banned  fw.bans")
	p.types("s()\r", "0\r\n")
	p.types("for i = 1, 2 do\r", ">> ")
	p.types("print('line', i * 10)\r", ">> ")
	p.types("end\r", "line\t20")
	p.types("fw.bna()\r", `did you mean "ban"?`)
	p.types("help fw.ban\r", "bans a source")
	p.types("help fw.bam\r", "did you mean")
	p.types("x = 'kept in mind'\r", "> ")
	p.types("x\r", "\"kept in mind\"")
	p.types("\x1b[A\r", "\"kept in mind\"") // arrow up
	p.types("while true do end\r", "instruction budget used up")
	p.keys.WriteString("\x04")
	must(t, cmd.Wait())
	b, err := os.ReadFile(filepath.Join(w.dir, "moonlatch", "console_history"))
	must(t, err)
	if !strings.Contains(string(b), "\nx = 'kept in mind'\nx\n") {
		t.Errorf("history: %q", b)
	}
	p, cmd = start()
	p.sees("> ")
	p.types("\x1b[A\r", "instruction budget used up")
	p.keys.WriteString("exit\r")
	must(t, cmd.Wait())
}
