package policy_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/policy"
)

// referenceFile is generated from the schema; UPDATE=1 writes it.
const referenceFile = "../../docs/policy-reference.md"

// about says what each section of the reference is.
var about = map[string]string{
	"moonlatch":        "What `local fw = require \"moonlatch\"` gives.",
	"moonlatch.log":    "Logging, as `fw.log.info(…)`.",
	"moonlatch.fact":   "What a policy can know of its host while it is read.",
	"chain":            "Options of `fw.chain \"name\" { … }`.",
	"rule":             "Fields of a rule, `input { \"name\", … }`. A field that can be negated is also there with `not_` in front.",
	"ct":               "Fields of a rule's `ct = { … }`.",
	"time":             "Fields of a rule's `time = { … }`.",
	"synproxy":         "Options of `fw.synproxy { … }`.",
	"set":              "Options of `fw.set \"name\" { … }`, beside the elements themselves.",
	"feed":             "Options of `fw.feed \"name\" { … }`: a list that others publish. It needs a `url` or a `file`.",
	"geo":              "Databases of `fw.geo { … }`, in MaxMind's format. They are read with the policy; `moonlatch apply` again reads newer ones.",
	"helper":           "Options of `fw.helper \"name\" { … }`.",
	"flowtable":        "Options of `fw.flowtable \"name\" { … }`.",
	"stream":           "Options of `fw.stream \"name\" { … }`.",
	"detect":           "Options of `fw.detect \"name\" { … }`.",
	"on":               "What the filter of `fw.on(stream, { … }, function(ev) … end)` can hold, beside the rule fields that a packet tells.",
	"brake":            "Options of `fw.brake { … }`.",
	"aggregate":        "Options of `fw.aggregate { … }`.",
	"watchdog":         "Options of `fw.watchdog { … }`.",
	"moonlatch.metric": "Metrics of the policy's own, declared as `fw.metric.counter(…)`. Each can have 4 labels and 100 combinations of their values; the names are held to Prometheus's conventions.",
	"metric":           "Methods of such a metric, for handlers: `m:add(1, { label = value })`.",
	"moonlatch.probe":  "Probes, as `fw.probe.tcp(…)` in the watchdog's `check`. Each makes a new connection. IPv6 addresses stand in brackets.",
	"event":            "Fields of the event that a handler gets. What the packet does not tell is nil.",
	"hit":              "Fields of the hit that a detector's action gets.",
}

// TestReference keeps the reference in the documents what the schema says.
func TestReference(t *testing.T) {
	got := reference(t)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(referenceFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what the schema says; UPDATE=1 go test ./engine/policy -run Reference writes it (-file +schema):\n%s", referenceFile, diff)
	}
}

func reference(t *testing.T) string {
	var b strings.Builder
	b.WriteString("# Reference of the policy language\n\nGenerated from the schema that policies are checked with. [policy.md](policy.md) explains the language.\n")
	for _, s := range policy.Reference() {
		text, ok := about[s.Title]
		if !ok {
			t.Errorf("section %q has no words about it", s.Title)
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| name | takes | meaning | example |\n|---|---|---|---|\n", s.Title, text)
		for _, e := range s.Entries {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", e.Name, cell(e.Takes), cell(e.Doc), code(e.Example))
		}
	}
	return b.String()
}

// cell is text as it can stand in a cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}
