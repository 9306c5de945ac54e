package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

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
