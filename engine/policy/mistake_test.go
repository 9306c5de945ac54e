package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/policy/sandbox"
	"moonlatch/engine/ruleset"
)

// prelude is the first line of every policy of TestMistakes.
const prelude = `local fw = require "moonlatch"; local accept, drop, reject = fw.accept, fw.drop, fw.reject; ` +
	`local input = fw.chain "input" { hook = "input" }; local ssh_in = fw.chain "ssh_in" {}; local closed = fw.stream "closed"; ` +
	`local admins = fw.set "admins" { "192.0.2.0/28" }; local web = fw.set "web" { 80, 443 }` + "\n"

const badList = "192.0.2.0/24\n192.0.2.1/24\n# comment\nnonsense\n198.51.100.1\n"

// TestMistakes loads policies full of mistakes. A line's mistakes stand behind
// it, each after "--! ", with its column as ":5: "; those of another file name it: "--! @file:line: ".
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/mistakes/*.lua")
	if err != nil || len(files) == 0 {
		t.Fatalf("no mistakes: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, source := range strings.Split(string(data), "---\n") {
			t.Run(fmt.Sprintf("%s/%d", filepath.Base(file), i), func(t *testing.T) { testMistakes(t, source) })
		}
	}
}

func testMistakes(t *testing.T, source string) {
	folder := fstest.MapFS{"policy.lua": {Data: []byte(prelude + source)}, "lists/bad.txt": {Data: []byte(badList)}}
	p, err := Load(folder, "policy.lua", testEnv())
	if err == nil {
		p.Close()
		t.Fatalf("no mistake found in\n%s", source)
	}
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		switch e.(type) {
		case *ruleset.Error, *sandbox.Error:
		default:
			t.Errorf("a mistake of type %T: %v", e, e)
		}
	}
	got := strings.Split(err.Error(), "\n")
	slices.Sort(got)
	want := expected(source)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

func expected(source string) []string {
	var out []string
	for i, line := range strings.Split(source, "\n") {
		parts := strings.Split(line, "--! ")
		for _, msg := range parts[1:] {
			msg = strings.TrimSpace(msg)
			if elsewhere, ok := strings.CutPrefix(msg, "@"); ok {
				out = append(out, elsewhere)
				continue
			}
			place := fmt.Sprintf("policy.lua:%d", i+2) // behind the prelude
			if !strings.HasPrefix(msg, ":") {
				place += ": "
			}
			out = append(out, place+msg)
		}
	}
	return out
}
