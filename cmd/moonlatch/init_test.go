package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"moonlatch/engine/netns/netnstest"
)

// TestInit goes from nothing to a confirmed policy, and sees what is then open.
func TestInit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.listen("[::]:8080")
	w.listen("127.0.0.1:5432")
	file := filepath.Join(w.dir, "first.lua")
	cmd := w.command("init", "--public", "tcp:443", file)
	cmd.Env = append(cmd.Env, "SSH_CONNECTION="+client4+" 50000 "+serverForClient+" 22")
	must(t, w.server.Start(cmd))
	must(t, cmd.Wait())
	w.ok("check", "--strict", file)
	w.start()
	w.ok("apply", file)
	w.ok("confirm")
	for addr, open := range map[string]bool{
		net.JoinHostPort(serverForAttacker, "443"): true, net.JoinHostPort(serverForAttacker6, "443"): true,
		net.JoinHostPort(serverForAttacker, "22"): true, net.JoinHostPort(serverForAttacker6, "22"): true,
		net.JoinHostPort(serverForAttacker, "8080"): false, net.JoinHostPort(serverForAttacker6, "8080"): false,
	} {
		patience := soon
		if open {
			patience = generous
		}
		if got := reachesWithin(w.attacker, addr, patience); got != open {
			t.Errorf("%s is open: %v, want %v", addr, got, open)
		}
	}
	if _, _, code := w.run("ban", client4); code == 0 {
		t.Error("the administrator can be banned")
	}
	w.ok("ban", attacker4)
}

func TestInitFindsWhatListens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.listen("127.0.0.1:5432")
	w.listen("[::1]:5433")
	file := filepath.Join(w.dir, "moonlatch.lua")
	w.ok("init", "--admin", "192.0.2.7,2001:db8::/48", file) // there is no terminal: it asks nothing
	text, err := os.ReadFile(file)
	must(t, err)
	for _, want := range []string{`tcp = 443, accept }   -- `, `"ssh admins", tcp = 22,`, `{ "192.0.2.7/32", "2001:db8::/48" }`, "--   att0"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the policy does not hold %q:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "543") {
		t.Errorf("a port that only this host reaches is listed:\n%s", text)
	}
	w.ok("check", "--strict", file)
}

// TestInitAsks answers its questions on a terminal: wrongly at first, with a value, with none, with a bare return.
func TestInitAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(w.dir, "asked.lua")
	out, err := initOnTerminal(w, file, "70000\n2222\nme\n\n\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, said := range []string{
		"Which port does sshd listen on? [22]: ", "Which addresses must never be banned? [" + client4 + "]: ", "Which of the ports that are open now stay public? [tcp:22,tcp:443]: ",
		`"70000" is no port`, `"me" is no address`,
	} {
		if !strings.Contains(out, said) {
			t.Errorf("it does not say %q:\n%s", said, out)
		}
	}
	text, err := os.ReadFile(file)
	must(t, err)
	for _, want := range []string{`"ssh admins", tcp = 2222,`, `"` + client4 + `/32"`, "tcp = 443, accept", "tcp = 22, accept"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the policy does not hold %q:\n%s", want, text)
		}
	}
}

func TestInitTakesNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(w.dir, "none.lua")
	if out, err := initOnTerminal(w, file, "\nnone\nnone\n"); err != nil || !strings.Contains(out, "0 public ports, 0 addresses never banned") {
		t.Fatalf("%v\n%s", err, out)
	}
	w.ok("check", file)
}

// TestInitWithoutAnswer hangs up, and interrupts, at each of the questions.
func TestInitWithoutAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, typed := range []string{"\x04", "\n\x04", "\n\n\x04", "\x03", "\n\x03"} {
		file := filepath.Join(w.dir, fmt.Sprintf("none%d.lua", i))
		out, err := initOnTerminal(w, file, typed)
		if err == nil {
			t.Errorf("%q: it succeeds:\n%s", typed, out)
		}
		if strings.HasSuffix(typed, "\x04") && !strings.Contains(out, "the question was not answered: nothing is written") {
			t.Errorf("%q: %s", typed, out)
		}
		if left, _ := filepath.Glob(filepath.Join(w.dir, "*none*")); len(left) != 0 {
			t.Errorf("%q: it leaves %v", typed, left)
		}
	}
}

// initOnTerminal runs init where somebody types, over SSH from the client, and returns what the terminal shows.
func initOnTerminal(w *world, file, typed string) (string, error) {
	w.t.Helper()
	self, err := os.Executable()
	must(w.t, err)
	cmd := exec.Command("script", "-qec", self+" init "+file, "/dev/null")
	cmd.Env = append(os.Environ(), beCommand+"=1", "SSH_CONNECTION="+client4+" 50000 "+serverForClient+" 22")
	cmd.Stdin = strings.NewReader(typed)
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(w.t, w.server.Start(cmd))
	err = cmd.Wait()
	return out.String(), err
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(w.dir, "moonlatch.lua")
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--admin", "192.0.2.300"}, exitUsage, `"192.0.2.300" is no address of an administrator`},
		{[]string{"--admin", "0.0.0.0/0"}, exitUsage, `"0.0.0.0/0" is no address of an administrator`},
		{[]string{"--ssh-port", "0"}, exitUsage, `"0" is no port`},
		{[]string{"--ssh-port", "70000"}, exitUsage, "70000"},
		{[]string{"--public", "443"}, exitUsage, "tcp:443 is expected"},
		{[]string{"--public", "tcp:65536"}, exitUsage, `"65536" is no port`},
	} {
		_, errs, code := w.run(append([]string{"init", file}, tt.args...)...)
		if code != tt.code || !strings.Contains(errs, tt.says) {
			t.Errorf("%q: exit code %d: %s", tt.args, code, errs)
		}
		if _, err := os.Stat(file); err == nil {
			t.Fatalf("%q: a policy was written", tt.args)
		}
	}
	w.policy("moonlatch.lua", "mine")
	if _, errs, code := w.run("init", file); code != exitFailure || !strings.Contains(errs, "--force") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if text, _ := os.ReadFile(file); string(text) != "mine" {
		t.Errorf("it was overwritten: %s", text)
	}
	w.ok("init", "--force", file)
	w.ok("check", "--strict", file)
}

// TestInitForEditors: the definitions come beside the policy, and what is somebody's own stays.
func TestInitForEditors(t *testing.T) {
	t.Parallel()
	w := &world{t: t, server: netnstest.New(t), dir: t.TempDir()}
	file := filepath.Join(w.dir, "moonlatch.lua")
	w.ok("init", "--luals", "--yes", file)
	config := filepath.Join(w.dir, ".luarc.json")
	var settings map[string]any
	b, err := os.ReadFile(config)
	must(t, err)
	must(t, json.Unmarshal(b, &settings))
	if shipped, err := os.ReadFile("../../scripts/.luarc.json"); string(shipped) != string(b) {
		t.Errorf("scripts/.luarc.json is not what init writes: %v\n%s", err, shipped)
	}
	for _, name := range []string{"moonlatch", "moonlatch.test"} {
		b, err := os.ReadFile(filepath.Join(w.dir, ".luals", name+".d.lua"))
		if err != nil || !strings.HasPrefix(string(b), "---@meta "+name+"\n") {
			t.Errorf("definitions of %s: %v, %.40q", name, err, b)
		}
	}
	must(t, os.WriteFile(config, []byte("{}"), 0o600))
	must(t, os.WriteFile(file, []byte("-- mine"), 0o600))
	if out := w.ok("init", "--luals", "--yes", file); !strings.Contains(out, "is left as it is") {
		t.Errorf("it says %q", out)
	}
	for path, want := range map[string]string{config: "{}", file: "-- mine"} {
		if b, _ := os.ReadFile(path); string(b) != want {
			t.Errorf("%s was overwritten: %s", path, b)
		}
	}
}
