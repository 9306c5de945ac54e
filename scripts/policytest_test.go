package scripts_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/policytest"
)

// TestPolicies runs what `moonlatch test scripts/` runs: every policy has a test.
func TestPolicies(t *testing.T) {
	netnstest.Kernel(t)
	policies, err := filepath.Glob("*.lua")
	must(t, err)
	for _, name := range policies {
		if strings.HasSuffix(name, "_test.lua") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			f, err := policytest.Load(policytest.Config{Folder: os.DirFS("."), Log: slog.New(slog.DiscardHandler)}, strings.TrimSuffix(name, ".lua")+"_test.lua")
			must(t, err)
			defer f.Close()
			must(t, f.Run(t.Context(), nil, func(r policytest.Result) {
				for _, failure := range r.Failures {
					t.Errorf("%s: %s: %s\n%s", r.Name, failure.Place, failure.Text, strings.Join(failure.Trace, "\n"))
				}
			}))
		})
	}
}
