package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestMan: each command has a page, which says what its help says.
func TestMan(t *testing.T) {
	t.Parallel()
	a := app{out: os.Stdout, err: os.Stderr}
	root, dir := a.command(), filepath.Join(t.TempDir(), "man1")
	root.SetArgs([]string{"man", dir})
	must(t, root.Execute())
	pages := 0
	visit(root, func(c *cobra.Command) {
		pages++
		name := strings.ReplaceAll(c.CommandPath(), " ", "-")
		text, err := os.ReadFile(filepath.Join(dir, name+".1"))
		if err != nil {
			t.Error(err)
			return
		}
		for _, want := range []string{`.TH "` + strings.ToUpper(name) + `" "1"`, ".SH NAME", ".SH DESCRIPTION"} {
			if !strings.Contains(strings.ReplaceAll(string(text), `\-`, "-"), want) {
				t.Errorf("%s.1 lacks %s", name, want)
			}
		}
	})
	if pages < 30 {
		t.Errorf("%d pages", pages)
	}
}
