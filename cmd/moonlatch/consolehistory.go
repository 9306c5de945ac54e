package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxHistory is how many lines the console remembers.
const maxHistory = 500

// lineHistory is the console's lines, the newest last, in a file of the user's. It
// implements term.History.
type lineHistory struct {
	path  string // "" where there is no place for it
	lines []string
}

// openHistory reads the user's history. Without one, there is only that of the session.
func openHistory() *lineHistory {
	folder := os.Getenv("XDG_STATE_HOME")
	if home, err := os.UserHomeDir(); folder == "" && err == nil {
		folder = filepath.Join(home, ".local", "state")
	}
	if folder == "" {
		return &lineHistory{}
	}
	h := &lineHistory{path: filepath.Join(folder, "moonlatch", "console_history")}
	if b, err := os.ReadFile(h.path); err == nil {
		for line := range strings.Lines(string(b)) {
			h.lines = append(h.lines, strings.TrimSuffix(line, "\n"))
		}
	}
	h.lines = h.lines[max(0, len(h.lines)-maxHistory):]
	return h
}

// Add implements term.History. A line that cannot be written to the file is in the session all the same.
func (h *lineHistory) Add(line string) {
	if strings.TrimSpace(line) == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return
	}
	h.lines = append(h.lines, line)
	h.lines = slices.Clone(h.lines[max(0, len(h.lines)-maxHistory):])
	if h.path == "" || os.MkdirAll(filepath.Dir(h.path), 0o700) != nil {
		return
	}
	if f, err := os.OpenFile(h.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err == nil {
		fmt.Fprintln(f, strings.Join(h.lines, "\n"))
		f.Close()
	}
}

// Len implements term.History.
func (h *lineHistory) Len() int { return len(h.lines) }

// At implements term.History: 0 is the newest.
func (h *lineHistory) At(i int) string { return h.lines[len(h.lines)-1-i] }
