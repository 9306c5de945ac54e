package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"moonlatch/engine/control"
)

// waiting starts an apply that waits, in a session and on a terminal of its own,
// and returns when the policy is in force. What it prints goes to the buffer; what is
// written to the pipe is typed.
func (w *world) waiting(trial time.Duration, policy string, environment ...string) (*exec.Cmd, io.WriteCloser, *lockedBuffer) {
	w.t.Helper()
	cmd, typed, out := w.onTerminal("exec "+w.commandLine("apply", "--wait", "--confirm", trial.String(), policy), environment...)
	w.until("the countdown runs", func() bool { return strings.Contains(out.String(), "left of") })
	return cmd, typed, out
}

// commandLine is the command, for a shell.
func (w *world) commandLine(args ...string) string {
	self, err := os.Executable()
	must(w.t, err)
	return strings.Join(append([]string{self}, w.command(args...).Args[1:]...), " ")
}

// onTerminal starts a command line in a session and on a terminal of its own.
func (w *world) onTerminal(line string, environment ...string) (*exec.Cmd, io.WriteCloser, *lockedBuffer) {
	w.t.Helper()
	cmd := exec.Command("script", "-qefc", line, "/dev/null")
	cmd.Env = append(append(environWithout("NO_COLOR"), beCommand+"=1", "TERM=xterm"), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	typed, err := cmd.StdinPipe()
	must(w.t, err)
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	must(w.t, w.server.Start(cmd))
	w.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, typed, out
}

// TestAnswerWhileWaiting types an answer, as iptables-apply asks for one, and is told
// what it proves.
func TestAnswerWhileWaiting(t *testing.T) {
	for _, tt := range []struct {
		typed string
		code  int
		want  []string
		force string
	}{
		{"what?\ny\n", exitOK, []string{"y keeps the policy", "generation 2 (login.lua) is confirmed: it stays"}, "2, confirmed"},
		{" NO \n", exitRolledBack, []string{"it was rolled back; in force now: generation 1, confirmed"}, "1, confirmed"},
		{"\x03", exitFailure, []string{"no longer waiting: generation 2 stays on trial"}, "2, on trial"},
	} {
		t.Run(fmt.Sprintf("%q", tt.typed), func(t *testing.T) {
			w := confirmed(t, goodPolicy)
			cmd, typed, out := w.waiting(time.Minute, w.policy("login.lua", loginPolicy))
			_, err := io.WriteString(typed, tt.typed)
			must(t, err)
			for _, want := range tt.want {
				w.until("it says: "+want, func() bool { return strings.Contains(out.String(), want) })
			}
			typed.Close()
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d\n%s", code, tt.code, out)
			}
			if s := w.status(); "generation "+tt.force != inForce(s) {
				t.Errorf("in force: %s, want %s", inForce(s), tt.force)
			}
		})
	}
}

// TestWaitingInTheBackground is not stopped for reading a terminal that is not its own.
func TestWaitingInTheBackground(t *testing.T) {
	w := confirmed(t, goodPolicy)
	apply := w.commandLine("apply", "--wait", "--confirm", "2s", filepath.Join(w.dir, "good.lua"))
	_, _, out := w.onTerminal("bash -mc '" + apply + " & wait $!; echo code $?'")
	w.until("it ends", func() bool { return strings.Contains(out.String(), "code 7") })
}

// TestCountdownOnATerminal draws one line anew, in colours unless they are not wanted.
func TestCountdownOnATerminal(t *testing.T) {
	w := confirmed(t, goodPolicy)
	path := filepath.Join(w.dir, "good.lua")
	_, _, out := w.waiting(15*time.Second, path)
	drawn := regexp.MustCompile(`\rgeneration 2 on trial \x1b\[31m\[#+-*\]\x1b\[0m \ds left of 15s\x1b\[K\rgeneration 2`)
	w.until("the line is drawn anew", func() bool { return drawn.MatchString(out.String()) })
	w.ok("rollback")
	_, _, out = w.waiting(50*time.Second, path, "NO_COLOR=1")
	plain := regexp.MustCompile(`\rgeneration 3 on trial \[#+-*\] \d+s left of 50s\x1b\[K`)
	w.until("the line is drawn without colours", func() bool { return plain.MatchString(out.String()) })
	w.ok("rollback")
}

// TestSeenLate: what a busy machine shows late is told by the clock, not by how much was left when one looked last.
func TestSeenLate(t *testing.T) {
	over := control.Status{State: control.Opened}
	for _, tt := range []struct {
		end  time.Duration
		want string
	}{
		{-time.Second, "it was not confirmed in time"},
		{time.Hour, "it was rolled back"},
	} {
		w := &waiter{left: 30, end: time.Now().Add(tt.end)}
		if err := w.ended(over); !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}

// TestBar never shows nothing for something, nor more than there is room for.
func TestBar(t *testing.T) {
	for _, tt := range []struct {
		left, whole float64
		width       int
		want        string
	}{
		{60, 60, 10, "[##########]"},
		{30, 60, 10, "[#####-----]"},
		{0.01, 60, 10, "[#---------]"},
		{0, 60, 10, "[----------]"},
		{-1, 60, 10, "[----------]"},
		{90, 60, 10, "[##########]"},
		{90, 0, 10, "[----------]"},
		{30, 60, 0, ""},
		{30, 60, -5, ""},
	} {
		if got := bar(tt.left, tt.whole, tt.width); got != tt.want {
			t.Errorf("bar(%v, %v, %d) = %q, want %q", tt.left, tt.whole, tt.width, got, tt.want)
		}
	}
}

// TestMarks says a line at each mark, and none in between.
func TestMarks(t *testing.T) {
	var b bytes.Buffer
	c := &countdown{out: &b}
	for left := 70.0; left > 0; left -= 0.5 {
		c.show("trial", left, 70)
	}
	want := "trial: 1m10s left\ntrial: 1m0s left\ntrial: 30s left\ntrial: 10s left\ntrial: 5s left\n"
	if b.String() != want {
		t.Errorf("got:\n%swant:\n%s", b.String(), want)
	}
}
