package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// dashboard is what the tests look at of Grafana's model.
type dashboard struct {
	UID, Title, Description string
	Editable                bool
	Tags                    []string
	Panels                  []panel
	Templating              struct{ List []variable }
	Annotations             struct{ List []struct{ Expr string } }
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               struct{ UID string }
	Targets                  []target
	FieldConfig              struct{ Defaults struct{ Unit string } }
}

type target struct{ RefID, Expr, LegendFormat string }

type variable struct {
	Name, Type, Definition string
	Refresh                int
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("grafana/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d dashboards: %v", len(files), err)
	}
	out := map[string]dashboard{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[filepath.Base(file)] = d
	}
	return out
}

// queries are the panel's expressions with Grafana's variables filled in.
func (p panel) queries(rateInterval, timeRange, job, instance string) []string {
	var out []string
	fill := strings.NewReplacer("$__rate_interval", rateInterval, "$__range", timeRange, "$job", job, "$instance", instance)
	for _, target := range p.Targets {
		out = append(out, fill.Replace(target.Expr))
	}
	return out
}

// complaints lists what is wrong with a dashboard, by Grafana's own linter's rules and ours.
func (d dashboard) complaints(known map[string][]string) []string {
	var out []string
	complain := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if d.UID == "" || d.Title == "" || d.Description == "" || d.Editable || !slices.Contains(d.Tags, "moonlatch") {
		complain("the dashboard lacks a uid, title, description or tag, or can be edited")
	}
	out = append(out, d.variableComplaints()...)
	ids, titles := map[int]bool{}, map[string]bool{}
	for i, p := range d.Panels {
		name := fmt.Sprintf("panel %q", p.Title)
		if ids[p.ID] {
			complain("%s: its id %d is taken", name, p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 {
			complain("%s does not fit into the grid", name)
		}
		for _, q := range d.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				complain("%s lies over %q", name, q.Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		if key := p.Title + p.Description; titles[key] {
			complain("%s is there twice", name)
		} else {
			titles[key] = true
		}
		if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			complain("%s lacks a title, description, unit, target or the variable data source", name)
		}
		for j, expr := range p.queries("5m", "1h", "x", "x") {
			for _, c := range exprComplaints(expr, p.Targets[j], p.Type == "table", known) {
				complain("%s: %s", name, c)
			}
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr == "" {
			continue
		}
		expr := strings.NewReplacer("$__rate_interval", "5m", "$job", "x", "$instance", "x").Replace(a.Expr)
		for _, c := range exprComplaints(expr, target{Expr: a.Expr}, false, known) {
			complain("annotation: %s", c)
		}
	}
	return out
}

func (d dashboard) variableComplaints() []string {
	var names, out []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
		if v.Type == "query" && v.Refresh != 2 {
			out = append(out, fmt.Sprintf("the variable %s is not read anew when the time range changes", v.Name))
		}
	}
	if !slices.Equal(names, []string{"datasource", "job", "instance"}) {
		out = append(out, fmt.Sprintf("its variables are %q", names))
	}
	return out
}

// exprComplaints checks one expression: it parses, and everything it names is there.
func exprComplaints(expr string, from target, raw bool, known map[string][]string) []string {
	var out []string
	complain := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return []string{err.Error()}
	}
	var have []string // every label of the metrics asked for
	parser.Inspect(tree, func(n parser.Node, path []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		own, ok := known[s.Name]
		if !ok {
			complain("metric %s does not exist", s.Name)
			return nil
		}
		have = append(have, own...)
		var matched []string
		for _, m := range s.LabelMatchers {
			if m.Name != model.MetricNameLabel {
				matched = append(matched, m.Name)
			}
			if m.Name != model.MetricNameLabel && !slices.Contains(own, m.Name) {
				complain("%s has no label %s", s.Name, m.Name)
			}
		}
		if !slices.Contains(matched, "job") || !slices.Contains(matched, "instance") {
			complain("%s is not asked for by job and instance", s.Name)
		}
		counter := strings.HasSuffix(s.Name, "_total") || strings.HasSuffix(s.Name, "_bucket")
		if counter && !raw && !underRate(path) {
			complain("the counter %s is not under rate or increase", s.Name)
		}
		return nil
	})
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok {
			for _, label := range a.Grouping {
				if !slices.Contains(have, label) {
					complain("no metric has the label %s", label)
				}
			}
		}
		return nil
	})
	for _, label := range find(from.LegendFormat, `\{\{ *(\w+) *\}\}`) {
		if !slices.Contains(have, label) {
			complain("the legend's label %s does not exist", label)
		}
	}
	if m := regexp.MustCompile(`(?:rate|increase)\([^\]]*\[(\w+)\]`).FindStringSubmatch(from.Expr); m != nil && m[1] != "1h" {
		complain("a rate over %s, not $__rate_interval", m[1])
	}
	return out
}

func underRate(path []parser.Node) bool {
	return slices.ContainsFunc(path, func(n parser.Node) bool {
		call, ok := n.(*parser.Call)
		return ok && slices.Contains([]string{"rate", "irate", "increase", "changes"}, call.Func.Name)
	})
}

// shown is what a dashboard may ask for: all that is exposed, and what Prometheus itself makes.
func shown(t *testing.T) map[string][]string {
	known := exposed(t)
	known["up"] = []string{"job", "instance"}
	known["ALERTS"] = []string{"alertname", "alertstate", "job", "instance"}
	return known
}

func TestDashboards(t *testing.T) {
	known, uids := shown(t), map[string]bool{}
	for file, d := range dashboards(t) {
		if uids[d.UID] {
			t.Errorf("%s: its uid is taken", file)
		}
		uids[d.UID] = true
		for _, c := range d.complaints(known) {
			t.Errorf("%s: %s", file, c)
		}
	}
}

// TestDashboardComplaints is the proof that TestDashboards can fail.
func TestDashboardComplaints(t *testing.T) {
	known := map[string][]string{"moonlatch_bans": {"family", "job", "instance"}, "moonlatch_bans_total": {"by", "job", "instance"}}
	const sel = `{job=~"x", instance=~"x"}`
	for expr, want := range map[string]string{
		"sum(": "parse error", "moonlatch_ban" + sel: "does not exist", "moonlatch_bans": "not asked for by job and instance",
		`moonlatch_bans{job="x", instance="x", src="x"}`: "no label src", "sum by (src) (moonlatch_bans" + sel + ")": "label src",
		"moonlatch_bans_total" + sel: "not under rate",
	} {
		if got := strings.Join(exprComplaints(expr, target{Expr: expr}, false, known), "; "); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
	fine := "sum by (by) (rate(moonlatch_bans_total" + sel + "[$__rate_interval]))"
	if got := exprComplaints(strings.ReplaceAll(fine, "$__rate_interval", "5m"), target{Expr: fine, LegendFormat: "{{by}}"}, false, known); got != nil {
		t.Errorf("%s: %q", fine, got)
	}
	fixed := strings.ReplaceAll(fine, "$__rate_interval", "5m")
	if got := exprComplaints(fixed, target{Expr: fixed, LegendFormat: "{{src}}"}, false, known); len(got) != 2 {
		t.Errorf("a fixed rate and a wrong legend: %q", got)
	}
	for file, d := range dashboards(t) {
		d.Panels[len(d.Panels)-1].GridPos = d.Panels[1].GridPos
		d.Panels[len(d.Panels)-1].ID = d.Panels[1].ID
		d.Panels[len(d.Panels)-1].Description = ""
		d.Templating.List[1].Refresh = 1
		if got := strings.Join(d.complaints(shown(t)), "; "); !strings.Contains(got, "lies over") || !strings.Contains(got, "is taken") ||
			!strings.Contains(got, "lacks") || !strings.Contains(got, "not read anew") {
			t.Errorf("%s: %s", file, got)
		}
	}
}
