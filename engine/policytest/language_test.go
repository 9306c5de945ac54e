package policytest_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/policytest"
)

// TestLanguage sends packets through policies that use the whole language: what
// each field, verdict and statement means, by the kernel.
func TestLanguage(t *testing.T) {
	netnstest.Kernel(t)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no policies: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			folder := fstest.MapFS{}
			for _, f := range archive.Files {
				folder[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			f, err := policytest.Load(policytest.Config{Folder: folder, Log: slog.New(slog.DiscardHandler)}, "policy_test.lua")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			err = f.Run(t.Context(), nil, func(r policytest.Result) {
				for _, failure := range r.Failures {
					t.Errorf("%s: %s: %s\n%s", r.Name, failure.Place, failure.Text, strings.Join(failure.Trace, "\n"))
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
