package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"moonlatch/engine/control"
	"moonlatch/engine/generation"
)

// Restore puts the generation that was confirmed last in force again, and then the bans on record, and
// returns how many these were. What cannot be, it says, with what is in force instead; the one does not depend on the other.
func (f *Firewall) Restore(ctx context.Context) (control.Generation, int, error) {
	g, err := f.restoreRules(ctx)
	n, banErr := f.restoreBans(ctx, false)
	if banErr != nil {
		err = errors.Join(err, bansNotBack(n, banErr))
	}
	return g, n, explain(err)
}

func (f *Firewall) restoreRules(ctx context.Context) (control.Generation, error) {
	ctx, cancel := context.WithTimeout(ctx, kernelTimeout)
	defer cancel()
	r, err := f.restore(ctx)
	switch {
	case err != nil:
		return control.Generation{}, explain(err)
	case len(r.Problems) > 0:
		return control.Generation{}, &control.Error{Code: control.Failed, Message: substitute(r)}
	}
	return *describe(r.Generation), nil
}

// restore logs what keeps a generation from being restored.
func (f *Firewall) restore(ctx context.Context) (generation.Restored, error) {
	r, err := f.generations.Restore(ctx)
	for _, p := range r.Problems {
		f.log.Error("a confirmed generation cannot be restored", "generation", p.Generation, "error", p.Why)
	}
	return r, err
}

// substitute says what is in force in the place of what could not be restored.
func substitute(r generation.Restored) string {
	if g := r.Generation; g != nil {
		return fmt.Sprintf("the generation confirmed last could not be restored; generation %d (%s), confirmed before it, is in force instead: apply and confirm your policy again\n%s",
			g.Number, g.Policy, list(r.Problems))
	}
	return fmt.Sprintf("no confirmed generation could be restored, so everything passes but what comes from banned addresses: apply and confirm your policy again\n%s", list(r.Problems))
}

func list(problems []generation.Problem) string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.Why
	}
	return strings.Join(lines, "\n")
}

// notes adds to a status what the last boot met with.
func notes(note string, problems []generation.Problem) string {
	if len(problems) == 0 {
		return note
	}
	return join(note, "the last boot could not restore what was confirmed last, so apply and confirm your policy again: "+strings.ReplaceAll(list(problems), "\n", "; "))
}

// join adds one note to another.
func join(note, more string) string {
	if note == "" {
		return more
	}
	return note + "; " + more
}
