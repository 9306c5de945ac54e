package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"moonlatch/engine/feed"
)

// TestHelp reads the help of every command: it fits, and its examples are of that command and make sense to it.
func TestHelp(t *testing.T) {
	t.Parallel()
	var a app
	visit(a.command(), func(c *cobra.Command) {
		var out bytes.Buffer
		c.SetOut(&out)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > helpWidth {
				t.Errorf("%s --help: a line of %d columns:\n%s", c.CommandPath(), n, line)
			}
		}
		if c.Example == "" && !c.HasAvailableSubCommands() {
			t.Errorf("%s --help shows no example", c.CommandPath())
		}
		if c.Long == "" {
			t.Errorf("%s --help says no more than its one line", c.CommandPath())
		}
		for example := range strings.Lines(c.Example) {
			tryExample(t, c, strings.TrimSpace(example))
		}
	})
}

// visit calls a function for every command that the help lists, but those of the library's own.
func visit(c *cobra.Command, each func(*cobra.Command)) {
	each(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "completion" {
			visit(sub, each)
		}
	}
}

func tryExample(t *testing.T, c *cobra.Command, example string) {
	t.Helper()
	_, ours, ok := strings.Cut(example, "moonlatch ")
	var a app
	found, args, err := a.command().Find(strings.Fields(ours))
	if !ok || err != nil {
		t.Errorf("%s --help: %q is no command: %v", c.CommandPath(), example, err)
		return
	}
	if !strings.HasPrefix(found.CommandPath(), c.CommandPath()) {
		t.Errorf("%s --help: %q is of %s", c.CommandPath(), example, found.CommandPath())
	}
	if err := found.ParseFlags(args); err != nil {
		t.Errorf("%s --help: %q: %v", c.CommandPath(), example, err)
	}
}

func TestEventsHelpKnowsEveryKind(t *testing.T) {
	t.Parallel()
	var a app
	help := a.eventsCommand().Long
	for _, k := range feed.Kinds() {
		if !strings.Contains(help, string(k)) {
			t.Errorf("moonlatch events --help does not name the kind %s", k)
		}
	}
}
