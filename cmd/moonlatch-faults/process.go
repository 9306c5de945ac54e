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
	name   string
	daemon bool
}

func (p process) command() bool { return p.name == "moonlatch" && !p.daemon }

// processes lists the host's processes by the marker in their environment. One
// that has not executed its program yet, and shares the memory of this one, has none:
// to stop it would stop this one too.
func (p *program) processes() []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	mark := []byte(marker + p.name)
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
		out = append(out, process{
			pid: pid, name: strings.TrimSpace(string(name)),
			daemon: strings.TrimSpace(string(name)) == "moonlatch" && bytes.Contains(args, []byte("\x00run\x00")),
		})
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
