package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// process is a process of a host: a daemon, a command, or an nft of theirs.
type process struct {
	pid    int
	name   string // of its program, as far as the kernel keeps it
	ours   bool   // it is a moonlatch
	daemon bool
	stands bool // it was stopped, and does not go on yet

	watchdog bool // of a guard: the one on duty, or its standby
}

func (p process) command() bool { return p.ours && !p.daemon && !p.watchdog }

// processes lists the host's processes by the marker in their environment. One
// that has not executed its program yet, and shares the memory of this one, has none:
// to stop it would stop this one too.
func (p *program) processes() []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	mark, own := []byte(marker+p.name), filepath.Base(p.path)
	var out []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		folder := filepath.Join("/proc", e.Name())
		env, err := os.ReadFile(filepath.Join(folder, "environ"))
		if err != nil || !hasLine(env, mark) {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(folder, "comm"))
		args, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
		stat, _ := os.ReadFile(filepath.Join(folder, "stat"))
		q := process{pid: pid, name: strings.TrimSpace(string(name)), stands: bytes.Contains(stat, []byte(") T "))}
		const kept = 15                                               // linux/sched.h: TASK_COMM_LEN, less its zero
		q.watchdog = bytes.Contains(args, []byte("\x00watchdog\x00")) // its program's name is that of a link
		q.ours = q.watchdog || q.name == own[:min(len(own), kept)]
		q.daemon = q.ours && bytes.Contains(args, []byte("\x00run\x00"))
		out = append(out, q)
	}
	return out
}

// hasLine reports whether a list of strings, each ended by a zero, holds this one.
func hasLine(list, want []byte) bool {
	for line := range bytes.SplitSeq(list, []byte{0}) {
		if bytes.Equal(line, want) {
			return true
		}
	}
	return false
}
