package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// completer is what a user's bash does at a TAB, but for bash-completion's splitting of the line into words.
const completer = `
_init_completion() { words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}; }
_filedir() { [ "$1" = -d ] || COMPREPLY=($(compgen -f -X "!*.${1%|}" -- "$cur")); }
compopt() { :; } # only bash itself can, while it completes
source <(moonlatch completion bash) || exit 1
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMP_TYPE=9
__start_moonlatch
printf '%s\n' "${COMPREPLY[@]}"
`

// TestCompletion completes in a real bash.
func TestCompletion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	self, err := os.Executable()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "moonlatch"), []byte("#!/bin/sh\n"+beCommand+"=1 exec "+self+" \"$@\"\n"), 0o700))
	for _, name := range []string{"web.lua", "notes.txt"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	for line, want := range map[string]string{
		"conf":          "confirm",
		"status -o ":    "text json",
		"apply w":       "web.lua",
		"check ":        "web.lua",
		"trace --iif l": "lo",
		"apply --conf":  "--confirm --confirm-by-check",
		"status ":       "",
	} {
		words := append([]string{"moonlatch"}, strings.Split(line, " ")...)
		cmd := exec.Command("bash", append([]string{"--norc", "-c", completer, "bash"}, words...)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		got := strings.Join(strings.Fields(string(out)), " ")
		if want == "" && got != "" || !strings.Contains(" "+got+" ", " "+want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
		if want == "web.lua" && strings.Contains(string(out), "notes") {
			t.Errorf("%s: it offers what is no policy: %q", line, got)
		}
	}
}

// TestCompletionOfNames completes what only the daemon knows.
func TestCompletionOfNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	complete := func(args ...string) string {
		t.Helper()
		return strings.Join(strings.Fields(strings.Split(w.ok(append(append([]string{"__complete"}, args...), "")...), ":")[0]), " ")
	}
	if got := complete("events", "--stream"); got != "" {
		t.Errorf("without a daemon: %q", got)
	}
	w.start()
	w.ok("apply", w.policy("web.lua", `local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input" }
local closed = fw.stream "closed"
input { "closed", tcp = 4444, closed, fw.drop }
fw.detect "portscan" { on = closed, over = 10, within = "60s" }
`))
	w.ok("ban", "203.0.113.77")
	for want, args := range map[string][]string{
		"closed":          {"events", "--stream"},
		"manual portscan": {"bans", "--by"},
		"203.0.113.77":    {"explain"},
		"plain tap junit": {"test", "--format"},
	} {
		if got := complete(args...); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
}
