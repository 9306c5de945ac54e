package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedCommands: what the documents name of the command line exists, in their prose as well as in sessions.
func TestDocumentedCommands(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	must(t, err)
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		must(t, err)
		for _, command := range commandsIn(string(text)) {
			if complaint := unknownIn(command); complaint != "" {
				t.Errorf("%s: `%s`: %s", filepath.Base(file), command, complaint)
			}
		}
	}
}

// TestUnknownCommands is the proof that TestDocumentedCommands can fail.
func TestUnknownCommands(t *testing.T) {
	for command, want := range map[string]string{
		"moonlatch appyl web.lua": "unknown command appyl", "moonlatch apply --confrim 5s x": "unknown flag: --confrim",
		"moonlatch safetynet of": "unknown command of", "moonlatch apply --confirm 5s web.lua": "", "moonlatch guard --for 60s -- ufw --force enable": "",
		"moonlatch safetynet off": "", "moonlatch -o json status": "",
	} {
		if got := unknownIn(command); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	if got, want := commandsIn("Run `moonlatch status`, or\n```console\n$ sudo moonlatch apply x | head\n# moonlatch is fine\n```\n`moonlatch_up`"), []string{"moonlatch apply x", "moonlatch status"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

var (
	consoleLine = regexp.MustCompile(`(?m)^\$ .*?\bmoonlatch( .*)$`)
	codeSpan    = regexp.MustCompile("`(?:sudo )?moonlatch( [^`]+)`")
)

// commandsIn lists the commands in a document's sessions and code spans, each up to what the shell does with it.
func commandsIn(text string) []string {
	var out []string
	for _, pattern := range []*regexp.Regexp{consoleLine, codeSpan} {
		for _, m := range pattern.FindAllStringSubmatch(text, -1) {
			command, _, _ := strings.Cut(strings.Join(strings.Fields(m[1]), " "), " |")
			out = append(out, "moonlatch "+command)
		}
	}
	return out
}

// unknownIn tells which word of a command line there is not, or "".
func unknownIn(line string) string {
	line, _, _ = strings.Cut(line, " -- ") // what guard runs
	root := (&app{out: io.Discard, err: io.Discard}).command()
	root.InitDefaultCompletionCmd()
	c, args, err := root.Find(strings.Fields(line)[1:])
	if err != nil {
		return err.Error()
	}
	if err := c.ParseFlags(args); err != nil && strings.HasPrefix(err.Error(), "unknown ") {
		return err.Error()
	}
	words := c.Flags().Args()
	if len(words) > 0 && (c == root || c.HasSubCommands() && c.ValidateArgs(words) != nil) {
		return "unknown command " + words[0]
	}
	return ""
}
