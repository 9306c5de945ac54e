package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	for _, pid := range pids {
		syscall.Kill(pid, s)
	}
}

// lockedOut fails the test if the client still gets in.
func (w *world) lockedOut() {
	w.t.Helper()
	if reaches(w.client, ssh) {
		w.t.Fatal("the command locks nobody out")
	}
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

// TestGuardUndoesWhatNobodyConfirmed ruins the rules with each tool that people
// use, and lets the time run out.
func TestGuardUndoesWhatNobodyConfirmed(t *testing.T) {
	for name, command := range map[string]string{
		"nft -f":                  "nft -f lock.nft",
		"nft flush and policy":    "nft flush ruleset; nft add table ip x; nft add chain ip x y '{ type filter hook input priority 0; policy drop; }'",
		"iptables-nft-restore":    "iptables-restore < lock.rules",
		"iptables-legacy-restore": "iptables-legacy-restore < lock.rules && ip6tables-legacy-restore < lock.rules",
		"iptables -P":             "iptables -P INPUT DROP; iptables -P OUTPUT DROP",
		"ipset":                   "ipset create all hash:net && ipset add all 0.0.0.0/1 && ipset add all 128.0.0.0/1 && iptables-legacy -I INPUT -m set --match-set all src -j DROP",
	} {
		t.Run(name, func(t *testing.T) {
			w := guardedWorld(t)
			before := w.listing()
			out, code := w.guard("--for", "3s", "--", "sh", "-c", command)
			if code != 0 || !strings.Contains(out, "moonlatch confirm") {
				t.Fatalf("exit code %d\n%s", code, out)
			}
			w.lockedOut()
			w.asBefore(before)
			if out := w.ok("status"); !strings.Contains(out, "ended without a confirm") {
				t.Errorf("status does not tell:\n%s", out)
			}
		})
	}
}

// TestGuardOverUFW has ufw take the machine over. Its files are private copies.
func TestGuardOverUFW(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	w.sh("cp -a /etc/ufw ufw && cp -a /etc/default default")
	cmd, out := w.guardCommand("--for", "6s", "--", "ufw", "--force", "enable")
	inner := append([]string{"-m", "--propagation", "private", "sh", "-c",
		`mount --bind ufw /etc/ufw && mount --bind default /etc/default && mount -t tmpfs none /run && mkdir /run/lock && exec "$@"`, "sh"}, cmd.Args...)
	private := exec.Command("unshare", inner...)
	private.Args[len(private.Args)-len(cmd.Args)] = mustExecutable(t)
	private.Dir, private.Env = w.dir, append(cmd.Env, "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	private.Stdout, private.Stderr = out, out
	must(t, w.server.Start(private))
	if err := private.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out.String(), "Firewall is active") {
		t.Fatalf("ufw is not enabled:\n%s", out)
	}
	w.lockedOut()
	w.asBefore(before)
}

func mustExecutable(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	return self
}

// TestGuardedCommandThatFails flushes everything and exits 1: it is undone at once,
// and its exit code is the guard's.
func TestGuardedCommandThatFails(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	out, code := w.guard("--for", "1h", "--", "sh", "-c", "nft -f lock.nft; iptables-legacy -F; exit 3")
	if code != 3 || !strings.Contains(out, "the rules of before are back") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	w.asBefore(before)
	if pids := w.watchdogs(); len(pids) != 0 {
		w.until("the watchdog ends", func() bool { return len(w.watchdogs()) == 0 })
	}
	_, code = w.guard("--for", "1h", "--", "sh", "-c", "kill -9 $$")
	if code != 128+9 {
		t.Errorf("exit code %d of a command that was killed", code)
	}
}

// TestConfirmedGuardStays confirms: what the command did stays, and no process is left.
func TestConfirmedGuardStays(t *testing.T) {
	w := guardedWorld(t)
	w.guard("--for", "3s", "--", "nft", "add", "table", "inet", "added")
	var doc struct{ Guard struct{ What string } }
	must(t, json.Unmarshal([]byte(w.ok("confirm", "-o", "json")), &doc))
	if doc.Guard.What != "nft add table inet added" {
		t.Errorf("confirmed %q", doc.Guard.What)
	}
	w.until("the watchdog ends", func() bool { return len(w.watchdogs()) == 0 })
	time.Sleep(3 * time.Second)
	if now := w.listing(); !strings.Contains(now, "table inet added") {
		t.Errorf("it was undone although it was confirmed:\n%s", now)
	}
	if _, errs, code := w.run("confirm"); code != 1 || !strings.Contains(errs, "no guard is armed") {
		t.Errorf("a second confirm: exit code %d: %s", code, errs)
	}
}

// TestConfirmTooLate comes after the deadline: it says so, and its exit code is
// that of a roll back.
func TestConfirmTooLate(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	w.guard("--for", "1s", "--", "nft", "-f", "lock.nft")
	w.asBefore(before)
	if _, errs, code := w.run("confirm"); code != 7 || !strings.Contains(errs, "the rules of before are back") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestRollbackOfAGuard does not wait for the deadline.
func TestRollbackOfAGuard(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	w.guard("--for", "1h", "--", "nft", "-f", "lock.nft")
	_, errs, code := w.run("rollback")
	if code != 0 || !strings.Contains(errs, "the rules of before are back") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	w.asBefore(before)
}

// TestGuardedCommandThatHangs is left alone, and undone all the same.
func TestGuardedCommandThatHangs(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	cmd, out := w.guardCommand("--for", "3s", "--", "sh", "-c", "nft -f lock.nft; echo $$ >pid; exec sleep 60")
	must(t, w.server.Start(cmd))
	w.until("the command runs", func() bool { return w.pid("pid") != 0 })
	w.lockedOut()
	w.asBefore(before)
	w.until("the guard says so", func() bool { return strings.Contains(out.String(), "still runs, and is left alone") })
	must(t, syscall.Kill(w.pid("pid"), syscall.SIGKILL))
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+9 {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// pid reads a process id that a command has written, 0 if it has not.
func (w *world) pid(name string) int {
	b, _ := os.ReadFile(w.file(name))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}

// TestIptablesApplyHangUpDeletesTheBackup: the terminal of a real session goes
// away under the command, as that of a locked out ssh session does.
func TestIptablesApplyHangUpDeletesTheBackup(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	cmd, _ := w.guardCommand("--for", "3s", "--", "sh", "-c", "nft -f lock.nft; echo $$ >pid; exec sleep 60")
	hangUp := onTerminal(t, cmd)
	must(t, w.server.Start(cmd))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	w.until("the command runs", func() bool { return w.pid("pid") != 0 })
	w.lockedOut()
	hangUp()
	select {
	case <-ended:
	case <-time.After(generous):
		t.Fatal("the session does not end with its terminal")
	}
	w.until("the command is gone", func() bool { return syscall.Kill(w.pid("pid"), 0) != nil })
	w.asBefore(before)
}

// onTerminal gives a command a session and a terminal of its own, which hangUp takes away.
func onTerminal(t *testing.T, cmd *exec.Cmd) (hangUp func()) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { terminal.Close(); master.Close() })
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return func() { terminal.Close(); master.Close() }
}

// TestFermSIGKILLLosesTheTimer kills, one at a time and all together, whatever a
// guard consists of.
func TestFermSIGKILLLosesTheTimer(t *testing.T) {
	for name, victims := range map[string]func(parent int, watchdogs []int) []int{
		"parent":             func(parent int, _ []int) []int { return []int{parent} },
		"parent and session": func(parent int, _ []int) []int { return []int{-parent} },
		"watchdog":           func(_ int, watchdogs []int) []int { return watchdogs[:1] },
		"standby":            func(_ int, watchdogs []int) []int { return watchdogs[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			w := guardedWorld(t)
			before := w.listing()
			cmd, _ := w.guardCommand("--for", "3s", "--", "sh", "-c", "nft -f lock.nft; echo $$ >pid; exec sleep 60")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			must(t, w.server.Start(cmd))
			w.until("the command runs", func() bool { return w.pid("pid") != 0 })
			t.Cleanup(func() { syscall.Kill(w.pid("pid"), syscall.SIGKILL); cmd.Process.Kill(); cmd.Wait() })
			pids := w.watchdogs()
			if len(pids) != 2 {
				t.Fatalf("watchdogs: %v", pids)
			}
			w.signal(syscall.SIGKILL, victims(cmd.Process.Pid, pids)...)
			w.lockedOut()
			w.asBefore(before)
		})
	}
}

// TestAwallParentStopped stops the command and its parent: nobody needs them.
func TestAwallParentStopped(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	cmd, _ := w.guardCommand("--for", "2s", "--", "sh", "-c", "nft -f lock.nft; echo $$ >pid; exec sleep 60")
	must(t, w.server.Start(cmd))
	w.until("the command runs", func() bool { return w.pid("pid") != 0 })
	w.signal(syscall.SIGSTOP, cmd.Process.Pid, w.pid("pid"))
	t.Cleanup(func() { w.signal(syscall.SIGKILL, cmd.Process.Pid, w.pid("pid")); cmd.Wait() })
	w.asBefore(before)
}

// TestEverythingKilled leaves no process: the next command of any kind finishes the job.
func TestEverythingKilled(t *testing.T) {
	for name, in := range map[string]string{"past the deadline": "1s", "before the deadline": "4s"} {
		t.Run(name, func(t *testing.T) {
			w := guardedWorld(t)
			before := w.listing()
			w.guard("--for", in, "--", "nft", "-f", "lock.nft")
			w.signal(syscall.SIGKILL, w.watchdogs()...)
			if in == "1s" {
				// It may have been too quick for the test.
				w.sh("nft -f lock.nft")
				time.Sleep(1200 * time.Millisecond)
			}
			w.lockedOut()
			w.ok("bans")
			w.until("the rules are back", func() bool { return reaches(w.client, ssh) })
			w.sh("nft delete table inet moonlatch 2>/dev/null || true") // the command made it
			w.asBefore(before)
		})
	}
}

// TestGuardIsRefused before anything changes: its state, its rules and its
// watchdogs are as they were.
func TestGuardIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		code       int
		args       []string
		spoil      func(w *world)
	}{
		{"zero", "more than nothing", 2, []string{"--for", "0s", "--", "touch", "ran"}, nil},
		{"negative", "more than nothing", 2, []string{"--for", "-5s", "--", "touch", "ran"}, nil},
		{"absurd", "lasts from 1s to 1d", 2, []string{"--for", "400d", "--", "touch", "ran"}, nil},
		{"no command", "requires at least 1 arg", 2, nil, nil},
		{"no such command", "cannot be run", 1, []string{"--", "no-such-command"}, nil},
		{"not executable", "cannot be run", 1, []string{"--", "./lock.nft"}, nil},
		{"no nft", "", 0, []string{"--for", "1s", "--", "touch", "ran"}, nil}, // it needs none
		{"full disk", "no space left", 1, []string{"--", "touch", "ran"}, func(w *world) {
			must(w.t, os.Mkdir(w.file("state"), 0o700))
			must(w.t, unix.Mount("none", w.file("state"), "tmpfs", 0, "size=8k"))
			w.t.Cleanup(func() { unix.Unmount(w.file("state"), unix.MNT_DETACH) })
			os.WriteFile(w.file("state/filler"), make([]byte, 1<<20), 0o600)
		}},
		{"no disk", "not a directory", 1, []string{"--", "touch", "ran"}, func(w *world) {
			must(w.t, os.WriteFile(w.file("state"), nil, 0o600))
		}},
		{"second guard", "another guard is armed", 1, []string{"--", "touch", "ran"}, func(w *world) {
			w.guard("--for", "1h", "--", "true")
		}},
		{"trial", "generation 1 is on trial", 1, []string{"--", "touch", "ran"}, func(w *world) {
			w.ok("apply", w.policy("good.lua", goodPolicy))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := guardedWorld(t)
			if tt.spoil != nil {
				tt.spoil(w)
			}
			before, watchdogs := w.listing(), len(w.watchdogs())
			cmd, out := w.guardCommand(tt.args...)
			if tt.name == "no nft" {
				cmd.Env = append(cmd.Env, "PATH=/usr/bin:/bin")
			}
			must(t, w.server.Start(cmd))
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(out.String(), tt.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, tt.code, tt.want, out)
			}
			if tt.code == 0 {
				return
			}
			if _, err := os.Stat(w.file("ran")); err == nil {
				t.Error("the command was run all the same")
			}
			if now := w.listing(); now != before {
				t.Errorf("the rules have changed:\n%s\nbefore:\n%s", now, before)
			}
			if n := len(w.watchdogs()); n != watchdogs {
				t.Errorf("%d watchdogs, before %d", n, watchdogs)
			}
		})
	}
}

// TestGuardIsRefusedToOthers: who may not change the firewall is told so.
func TestGuardIsRefusedToOthers(t *testing.T) {
	w := guardedWorld(t)
	cmd, out := w.guardCommand("--", "touch", "ran")
	wrapped := exec.Command("setpriv", append([]string{"--bounding-set", "-all", "--inh-caps", "-all", mustExecutable(t)}, cmd.Args[1:]...)...)
	wrapped.Dir, wrapped.Env, wrapped.Stdout, wrapped.Stderr = cmd.Dir, cmd.Env, out, out
	must(t, w.server.Start(wrapped))
	wrapped.Wait()
	if code := wrapped.ProcessState.ExitCode(); code != 5 {
		t.Errorf("exit code %d, want 5:\n%s", code, out)
	}
	if _, err := os.Stat(w.file("ran")); err == nil {
		t.Error("the command was run all the same")
	}
}

// TestApplyBesideAGuard is refused: one confirm would mean two things.
func TestApplyBesideAGuard(t *testing.T) {
	w := guardedWorld(t)
	w.guard("--for", "1h", "--", "true")
	if _, errs, code := w.run("apply", w.policy("good.lua", goodPolicy)); code != 1 || !strings.Contains(errs, `a guard over "true" waits for its confirm`) {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestRebootInsideTheWindow: the kernel's rules are gone with the boot, so the
// guard is dropped, and says so.
func TestRebootInsideTheWindow(t *testing.T) {
	w := guardedWorld(t)
	w.guard("--for", "1h", "--", "nft", "-f", "lock.nft")
	w.signal(syscall.SIGKILL, w.watchdogs()...)
	w.otherBoot("guard")
	w.sh("nft -f before.nft; nft delete table inet mistake") // what the boot loads
	before := w.listing()
	_, errs, _ := w.run("restore")
	if !strings.Contains(errs, "rebooted before the guard") {
		t.Errorf("restore says: %s", errs)
	}
	if out := w.ok("status"); !strings.Contains(out, "rebooted before the guard") {
		t.Errorf("status says:\n%s", out)
	}
	w.sh("nft delete table inet moonlatch")
	w.asBefore(before)
}

// TestGuardLeavesOursAlone: a ban that is made in a guard's window outlives its end.
func TestGuardLeavesOursAlone(t *testing.T) {
	w := confirmed(t, goodPolicy)
	t.Cleanup(func() { w.signal(syscall.SIGKILL, w.watchdogs()...) })
	w.ok("ban", attacker4, "--for", "1h")
	w.guard("--for", "3s", "--", "nft", "add", "table", "inet", "added")
	w.ok("ban", attacker6, "--for", "1h")
	w.until("the guard's end", func() bool { return !strings.Contains(w.sh("nft list tables"), "added") })
	time.Sleep(200 * time.Millisecond)
	if b := w.bans(); len(b) != 2 {
		t.Errorf("bans: %v", b)
	}
	if s := w.status(); s.State != "confirmed" || s.Confirmed.Number != 1 {
		t.Errorf("status: %+v", s)
	}
	if log, _ := os.ReadFile(w.file("log")); bytes.Contains(log, []byte("somebody")) {
		t.Errorf("the daemon saw its tables change:\n%s", log)
	}
}

// TestGuardBringsOursBack: with no daemon, what the command flushed of ours comes
// back, bans included.
func TestGuardBringsOursBack(t *testing.T) {
	w := guardedWorld(t)
	w.ok("apply", w.policy("good.lua", goodPolicy))
	w.ok("confirm")
	w.ok("ban", attacker4, "--for", "1h")
	before := w.listing()
	w.guard("--for", "2s", "--", "nft", "-f", "lock.nft")
	w.lockedOut()
	w.asBefore(before)
	if b := w.bans(); len(b) != 1 {
		t.Errorf("bans: %v", b)
	}
}
