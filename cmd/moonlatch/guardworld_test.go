package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"moonlatch/engine/guard"
)

// beforeRules are an administrator's own, which let everybody in: nothing of them is Moonlatch's.
const beforeRules = `
table inet mine {
	set seen {
		type ipv4_addr
		flags timeout
		elements = { 192.0.2.77 timeout 1h }
	}
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
		tcp dport { 22, 443 } counter accept comment "ssh and web"
		ip saddr @seen drop
	}
}
`

// Ways to lock everybody out.
const (
	lockOutNFT      = "flush ruleset\ntable inet mistake {\n chain input {\n type filter hook input priority filter; policy drop;\n }\n}\n"
	lockOutIPTables = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n"
)

// guardedWorld is a server with rules that are not Moonlatch's, and files to ruin them with.
func guardedWorld(t *testing.T) *world {
	t.Parallel()
	w := newWorld(t)
	for name, text := range map[string]string{"before.nft": beforeRules, "lock.nft": lockOutNFT, "lock.rules": lockOutIPTables} {
		must(t, os.WriteFile(w.file(name), []byte(text), 0o600))
	}
	w.sh("nft -f before.nft && iptables-legacy -A INPUT -p tcp --dport 9 -j DROP && ip6tables-legacy -A INPUT -p tcp --dport 9 -j DROP")
	t.Cleanup(func() { w.signal(syscall.SIGKILL, w.watchdogs()...) })
	if !reachesWithin(w.client, ssh, generous) {
		t.Fatal("the client does not get in before anything has happened")
	}
	return w
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

// sh runs a shell command on the server, in the world's folder.
func (w *world) sh(command string) string {
	w.t.Helper()
	cmd := w.shell(command)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(w.t, w.server.Start(cmd))
	if err := cmd.Wait(); err != nil {
		w.t.Fatalf("%s: %v\n%s", command, err, out.String())
	}
	return out.String()
}

func (w *world) shell(command string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "XTABLES_LOCKFILE="+w.file("xtables.lock"))
	return cmd
}

// listing is everything that filters on the server, as an administrator lists
// it, without what changes by itself.
func (w *world) listing() string {
	w.t.Helper()
	out := w.sh("nft -s list ruleset; iptables-legacy-save; ip6tables-legacy-save")
	return regexp.MustCompile(`(?m)^#.*\n| \[\d+:\d+\]$| expires \w+| counter packets \d+ bytes \d+`).ReplaceAllString(out, "")
}

// guard runs moonlatch guard in the world's folder.
func (w *world) guard(args ...string) (output string, code int) {
	w.t.Helper()
	cmd, out := w.guardCommand(args...)
	must(w.t, w.server.Start(cmd))
	cmd.Wait() // the exit code tells
	return out.String(), cmd.ProcessState.ExitCode()
}

func (w *world) guardCommand(args ...string) (*exec.Cmd, *lockedBuffer) {
	cmd := w.command(append([]string{"guard"}, args...)...)
	cmd.Dir = w.dir
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = generous
	return cmd, out
}

// watchdogs are the processes that watch over this world, those on duty first.
func (w *world) watchdogs() (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		line, _ := os.ReadFile(dir + "/cmdline")
		if !bytes.Contains(line, []byte(w.dir+"/state\x00")) || !bytes.Contains(line, []byte("\x00watchdog\x00")) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if bytes.Contains(line, []byte("--standby")) {
			pids = append(pids, pid)
		} else {
			pids = append([]int{pid}, pids...)
		}
	}
	return pids
}

func (w *world) signal(s syscall.Signal, pids ...int) {
	if s == syscall.SIGKILL { // of several, none may see another die: it would start one more
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGSTOP)
		}
	}
	for _, pid := range pids {
		syscall.Kill(pid, s)
	}
}

// killWatchdogs kills all of them and waits until they are gone, with their locks.
func (w *world) killWatchdogs() {
	w.t.Helper()
	w.signal(syscall.SIGKILL, w.watchdogs()...)
	w.until("the watchdogs are dead", func() bool { return len(w.watchdogs()) == 0 })
}

// lockedOut fails the test if the client still gets in, unless the machine is so
// slow that a guard has ended already.
func (w *world) lockedOut() {
	w.t.Helper()
	if !reaches(w.client, ssh) {
		return
	}
	if r, err := guard.At(w.file("state"), guardWatch).Last(); err == nil && r.Outcome == guard.Done {
		w.t.Log("the guard had ended before anybody could look")
		return
	}
	w.t.Fatal("the command locks nobody out")
}

// asBefore waits for the guard's end, then compares the rules with a listing from
// before, and has the client come in.
func (w *world) asBefore(before string) {
	w.t.Helper()
	w.until("the guard's end", func() bool {
		_, err := os.Stat(w.file("state/guard/pending"))
		return os.IsNotExist(err)
	})
	if now := w.listing(); now != before {
		w.t.Errorf("the rules are not what they were:\n%s\nbefore:\n%s", now, before)
	}
	if !reachesWithin(w.client, ssh, generous) {
		w.t.Error("the client is still locked out")
	}
}

// pid reads a process id that a command has written, 0 if it has not.
func (w *world) pid(name string) int {
	b, _ := os.ReadFile(w.file(name))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}
