package engine

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport is which of our packages each one may import, in its own code. It
// is the picture in docs/architecture.md; arrows point one way only.
var mayImport = map[string][]string{
	"engine/ruleset":                {},
	"engine/packet":                 {},
	"engine/control":                {},
	"engine/netns":                  {},
	"engine/policy/sandbox/pattern": {},
	"engine/policy/sandbox":         {"engine/policy/sandbox/pattern"},
	"nflog":                         {},
	"scripts":                       {},
	"engine/nft":                    {"engine/ruleset"},
	"engine/detect":                 {"engine/packet"},
	"engine/generation":             {"engine/ruleset", "engine/nft"},
	"engine/ban":                    {"engine/nft"},
	"engine/policy":                 {"engine/ruleset", "engine/detect", "engine/packet", "engine/policy/sandbox"},
	"engine/netns/netnstest":        {"engine/netns"},
	"engine": {
		"engine/ban", "engine/control", "engine/detect", "engine/generation", "engine/netns", "engine/nft",
		"engine/packet", "engine/policy", "engine/ruleset", "nflog",
	},
	"engine/demo": {"engine/control", "engine/netns", "engine/nft", "engine/ruleset", "scripts"},
	"metrics":     {"engine", "engine/ban", "engine/detect"},
	"cmd/moonlatch-bench": {
		"engine/ban", "engine/control", "engine/detect", "engine/generation", "engine/netns", "engine/nft",
		"engine/packet", "engine/policy", "engine/ruleset", "nflog", "scripts",
	},
	"cmd/moonlatch": {"engine", "engine/control", "engine/demo", "engine/netns", "metrics", "nflog", "scripts"},
}

// TestImports holds every package to its arrows.
func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "moonlatch/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, "moonlatch/")
		seen[name] = true
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("package %s has no place in the architecture", name)
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, "moonlatch/"); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s may not import %s", name, ours)
			}
		}
	}
	for name := range mayImport {
		if !seen[name] {
			t.Errorf("package %s is in the architecture, but not in the code", name)
		}
	}
}
