package policytest

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/yuin/gopher-lua/parse"
)

// TestDefinitions keeps the meta file what the module is.
func TestDefinitions(t *testing.T) {
	const file = "../../scripts/.luals/moonlatch.test.d.lua"
	got := Definitions()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what the module is; UPDATE=1 go test ./engine/policytest -run Definitions writes it:\n%.2000s", file, diff)
	}
	if _, err := parse.Parse(strings.NewReader(got), file); err != nil {
		t.Errorf("it is no Lua: %v", err)
	}
	for _, f := range functions() {
		if f.doc == "" || !strings.Contains(got, "\nfunction t."+f.name+"(") {
			t.Errorf("no t.%s, or no words about it", f.name)
		}
	}
	for _, f := range fields() {
		if !strings.Contains(got, "\n---@field "+f.name+"? ") {
			t.Errorf("a packet has no %s", f.name)
		}
	}
}
