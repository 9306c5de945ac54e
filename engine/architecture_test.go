package engine

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport is which of our packages each one may import, in its own code. It
// is the picture in docs/architecture.md; arrows point one way only.
var mayImport = map[string][]string{
	"engine/ruleset":                {},
	"engine/packet":                 {},
	"engine/boottime":               {},
	"engine/feed":                   {"engine/packet", "engine/ruleset"},
	"engine/connection":             {},
	"engine/session":                {"engine/boottime", "engine/connection"},
	"engine/control":                {"engine/feed"},
	"engine/journal":                {"engine/feed"},
	"engine/notify":                 {"engine/feed", "engine/ruleset"},
	"engine/export":                 {"engine/feed", "engine/packet"},
	"engine/web":                    {"engine/control", "engine/feed", "engine/httpserver"},
	"engine/netns":                  {},
	"engine/probe":                  {},
	"engine/store":                  {},
	"engine/memory":                 {},
	"engine/spool":                  {},
	"engine/httpserver":             {},
	"engine/guard":                  {"engine/boottime"},
	"engine/policy/sandbox/pattern": {},
	"engine/policy/sandbox":         {"engine/policy/sandbox/pattern"},
	"nflog":                         {},
	"scripts":                       {},
	"engine/nft":                    {"engine/ruleset"},
	"engine/plan":                   {"engine/ruleset"},
	"engine/lint":                   {"engine/ruleset"},
	"engine/foreign":                {"engine/boottime", "engine/netns", "engine/nft", "engine/ruleset"},
	"engine/detect":                 {"engine/packet"},
	"engine/generation":             {"engine/ruleset", "engine/nft", "engine/boottime"},
	"engine/ban":                    {"engine/nft"},
	"engine/geo":                    {},
	"engine/blocklist":              {"engine/ruleset"},
	"engine/geo/geotest":            {},
	"engine/banlist":                {"engine/ban", "engine/nft"},
	"engine/policy":                 {"engine/ruleset", "engine/lint", "engine/detect", "engine/packet", "engine/policy/sandbox", "engine/probe", "engine/memory", "engine/geo", "engine/blocklist"},
	"engine/lab":                    {"engine/netns", "engine/nft", "engine/packet", "engine/ruleset", "nflog"},
	"engine/capture":                {"nflog"},
	"engine/replay":                 {"engine", "engine/ban", "engine/capture", "engine/control", "engine/detect", "engine/lab", "engine/packet", "engine/policy", "engine/ruleset", "nflog"},
	"engine/policytest":             {"engine", "engine/lab", "engine/packet", "engine/policy", "engine/policy/sandbox", "engine/policy/sandbox/pattern", "engine/ruleset"},
	"engine/netns/netnstest":        {"engine/netns"},
	"engine": {
		"engine/ban", "engine/boottime", "engine/connection", "engine/control", "engine/detect", "engine/feed", "engine/generation", "engine/lab", "engine/netns", "engine/nft",
		"engine/blocklist", "engine/geo", "engine/memory",
		"engine/packet", "engine/plan", "engine/policy", "engine/probe", "engine/ruleset", "engine/session", "engine/spool", "engine/store", "nflog",
	},
	"engine/demo": {"engine/control", "engine/netns", "engine/nft", "engine/ruleset", "scripts"},
	"metrics":     {"engine", "engine/ban", "engine/detect", "engine/httpserver"},
	"cmd/moonlatch-bench": {
		"engine/ban", "engine/control", "engine/detect", "engine/generation", "engine/netns", "engine/nft",
		"engine/packet", "engine/policy", "engine/ruleset", "engine/store", "nflog", "scripts",
	},
	"cmd/moonlatch-faults": {"engine/control", "engine/netns"},
	"cmd/moonlatch": {
		"engine", "engine/ban", "engine/banlist", "engine/boottime", "engine/capture", "engine/control", "engine/demo", "engine/export", "engine/feed", "engine/foreign", "engine/guard", "engine/journal",
		"engine/lab", "engine/lint", "engine/netns", "engine/nft", "engine/notify", "engine/plan", "engine/policy", "engine/policytest", "engine/probe", "engine/replay",
		"engine/policy/sandbox",
		"engine/ruleset", "engine/spool", "engine/web", "metrics", "nflog", "scripts",
	},
}

// TestImports holds every package to its arrows.
func TestImports(t *testing.T) {
	seen := map[string]bool{}
	err := fs.WalkDir(os.DirFS(".."), ".", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return err
		}
		name := path.Dir(file)
		seen[name] = true
		for _, i := range importsOf(t, file) {
			if ours, ok := strings.CutPrefix(i, "moonlatch/"); ok && !slices.Contains(mayImport[name], ours) {
				t.Errorf("%s: %s may not import %s", file, name, ours)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range seen {
		if _, ok := mayImport[name]; !ok {
			t.Errorf("package %s has no place in the architecture", name)
		}
	}
	for name := range mayImport {
		if !seen[name] {
			t.Errorf("package %s is in the architecture, but not in the code", name)
		}
	}
}

// importsOf lists what a file, named from the top of the repository, imports.
func importsOf(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path.Join("..", file), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range f.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, name)
	}
	return out
}
