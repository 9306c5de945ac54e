package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/plan"
)

// differences is what plan ends with where there are any: no failure, but an
// exit code of its own, for scripts.
type differences struct{ error }

func (a *app) planCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "plan POLICY",
		Short: "Show what applying a policy would change",
		Long: `Plan compares a policy with the generation in force: chains, rules, sets. It changes
nothing. What somebody else has changed in the kernel since, which an apply undoes, it shows
apart from that, as drift. It ends with exit code 6 where there are differences, and with 0
where there are none.`,
		Example: `  moonlatch plan web.lua`,
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.plan(c.Context(), args[0]) },
	}
}

func (a *app) plan(ctx context.Context, path string) error {
	p, req, err := engine.Load(path, a.quietLog())
	if err != nil {
		return err
	}
	defer p.Close()
	req.Spare = session()
	r, err := engine.PlanFor(ctx, a.state, p, req, "/proc/self/exe", insideCommand)
	if err != nil {
		return err
	}
	d := diff{colours: a.colours()}
	if err := a.print(r, func(w *writer) { d.write(w, r) }); err != nil {
		return err
	}
	if len(r.Changes)+len(r.Drift) > 0 {
		return differences{}
	}
	return nil
}

// colours reports whether standard output is a terminal that shows them.
func (a *app) colours() bool {
	f, ok := a.out.(*os.File)
	return ok && isTerminal(f) && os.Getenv("NO_COLOR") == ""
}

// diff shows changes to people.
type diff struct{ colours bool }

func (d diff) write(w *writer, r engine.Plan) {
	against := "nothing, everything passes now"
	if r.Against != nil {
		against = "generation " + generation(r.Against)
	}
	if r.Note != "" {
		w.linef("%s", r.Note)
	}
	if len(r.Drift) > 0 {
		w.linef("drift: somebody has changed %s since it was applied:", against)
		for _, c := range r.Drift {
			d.change(w, c)
		}
		w.linef("an apply undoes that, and so does moonlatch restore")
	}
	if len(r.Changes) == 0 && len(r.Drift) > 0 {
		w.linef("apart from that, %s changes nothing", r.Policy)
		return
	}
	if len(r.Changes) == 0 {
		w.linef("%s changes nothing: it is what is in force, %s", r.Policy, against)
		return
	}
	w.linef("against %s:", against)
	var counts [4]int
	actions := [...]string{plan.Added, plan.Changed, plan.Moved, plan.Removed}
	for _, c := range r.Changes {
		for i, action := range actions {
			if c.Action == action {
				counts[i]++
			}
		}
		d.change(w, c)
	}
	w.linef("%s: %d to add, %d to change, %d to move, %d to remove", r.Policy, counts[0], counts[1], counts[2], counts[3])
}

// shown is how many lines are shown of the old or the new side of a change.
const shown = 10

func (d diff) change(w *writer, c plan.Change) {
	name := fmt.Sprintf("%s %q", c.Kind, c.Name)
	if c.Chain != "" {
		name = fmt.Sprintf("%s rule %q", c.Chain, c.Name)
	}
	if c.Place != "" && c.Kind == "rule" {
		name += "  (" + c.Place + ")"
	}
	sign := map[string]string{plan.Added: "+", plan.Removed: "-", plan.Changed: "~", plan.Moved: ">"}[c.Action]
	w.linef("%s", d.paint(sign, sign+" "+name))
	if c.Action == plan.Moved {
		return
	}
	d.side(w, "-", c.Old)
	d.side(w, "+", c.New)
}

func (d diff) side(w *writer, sign string, lines []string) {
	for i, line := range lines {
		if i == shown {
			w.linef("    %s and %d more", sign, len(lines)-shown)
			return
		}
		w.linef("    %s", d.paint(sign, sign+" "+line))
	}
}

// paint colours by what a line says: green what comes, red what goes, yellow what changes.
func (d diff) paint(sign, text string) string {
	if !d.colours {
		return text
	}
	code := map[string]string{"+": "32", "-": "31", "~": "33", ">": "36"}[sign]
	return "\x1b[" + code + "m" + strings.TrimRight(text, " ") + "\x1b[0m"
}
