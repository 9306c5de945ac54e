package policy

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/yuin/gopher-lua/parse"
)

// definitionsFile is where the documents tell people to find the definitions.
const definitionsFile = "../../scripts/.luals/moonlatch.d.lua"

// TestDefinitions keeps the meta file what the schema says.
func TestDefinitions(t *testing.T) {
	got := Definitions()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(definitionsFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(definitionsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what the schema says; UPDATE=1 go test ./engine/policy -run Definitions writes it (-file +schema):\n%.2000s", definitionsFile, diff)
	}
}

// The meta file is Lua, and names every function and every field, each where it belongs.
func TestDefinitionsNameEverything(t *testing.T) {
	text := Definitions()
	if _, err := parse.Parse(strings.NewReader(text), "moonlatch.d.lua"); err != nil {
		t.Errorf("it is no Lua: %v", err)
	}
	has := func(what string) {
		t.Helper()
		if !strings.Contains(text, what) {
			t.Errorf("it does not say %q", what)
		}
	}
	modules := map[string]string{"moonlatch": "fw."}
	for name := range submodules() {
		modules["moonlatch."+name] = "fw." + name + "."
	}
	classes := map[string]string{"event": "moonlatch.event", "hit": "moonlatch.hit"}
	for title := range tables() {
		classes[title] = "moonlatch." + title + ".options"
	}
	for _, s := range Reference() {
		for _, e := range s.Entries {
			path, class := modules[s.Title], classes[s.Title]
			switch {
			case s.Title == "metric":
				has("\nfunction metric:" + e.Name + "(")
			case path != "" && !strings.Contains(text, "\nfunction "+path+e.Name+"("):
				has("\n" + path + e.Name + " = ")
			case path != "":
			case class == "":
				t.Errorf("section %q has no place in the definitions: add it to tables()", s.Title)
			default:
				_, body, _ := strings.Cut(text, "---@class "+class+"\n")
				body, _, _ = strings.Cut(body, "\nlocal ")
				if !strings.Contains("\n"+body, "\n---@field "+e.Name+" ") && !strings.Contains("\n"+body, "\n---@field "+e.Name+"? ") {
					t.Errorf("class %s has no field %s", class, e.Name)
				}
			}
		}
	}
	for _, f := range ruleFields() {
		if f.negate {
			has("---@field not_" + f.Name + "? ")
		}
	}
	for path := range signatures() {
		at := strings.LastIndexByte(path, '.')
		if !strings.Contains(text, "function "+path+"(") && !strings.Contains(text, "function "+path[:at]+":"+path[at+1:]+"(") {
			t.Errorf("a signature of %s, which the language does not have", path)
		}
	}
}
