package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"moonlatch/engine/control"
)

// pollEvery is how often the state of a trial is asked for while one waits.
const pollEvery = 200 * time.Millisecond

// patience is for how long a firewall that does not answer is asked again.
const patience = 10 * time.Second

// waiter waits in the foreground until a trial ends, one way or the other. The
// trial itself needs nobody to wait for it: the kernel ends it.
type waiter struct {
	app       *app
	service   control.Service
	trial     control.Generation
	shown     *countdown
	typed     <-chan string      // lines that the user types; nil where nobody can
	confirmed *control.Confirmed // set when the user confirmed it here
	left      float64            // of the trial, when it was last seen
	end       time.Time          // of the trial, at the earliest, as it was last seen
	answer    time.Time          // when the firewall last answered
}

func (a *app) newWaiter(s control.Service, t control.Applied) *waiter {
	return &waiter{app: a, service: s, trial: t.Generation, left: t.Left, shown: a.newCountdown(), answer: time.Now()}
}

// wait returns nil when somebody has confirmed the trial. When it ended
// otherwise the error says so, with the code RolledBack.
func (w *waiter) wait(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	defer w.shown.end()
	for {
		over, err := w.look(ctx)
		if over || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return w.interrupted()
		case line := <-w.typed:
			if err := w.obey(ctx, line); err != nil {
				return err
			}
		case <-tick.C:
		}
	}
}

// look asks for the state of the trial and shows it.
func (w *waiter) look(ctx context.Context) (over bool, err error) {
	asked := time.Now()
	s, err := w.service.Status(ctx)
	switch {
	case ctx.Err() != nil:
		return false, w.interrupted()
	case err != nil:
		return false, w.again(ctx, err)
	}
	w.answer = time.Now()
	switch {
	case s.Trial != nil && s.Trial.Number == w.trial.Number:
		w.left, w.end = s.Left, asked.Add(time.Duration(s.Left*float64(time.Second)))
		w.shown.show(w.title(), s.Left, s.Length)
		return false, nil
	case s.Confirmed != nil && s.Confirmed.Number == w.trial.Number:
		return true, nil
	}
	return true, w.ended(s)
}

// again asks anew whoever answers now: a daemon may have ended, or begun.
func (w *waiter) again(ctx context.Context, err error) error {
	if time.Since(w.answer) > patience {
		return fmt.Errorf("cannot tell what becomes of %s; the kernel ends its trial on time unless it is confirmed: %w", w.title(), err)
	}
	if s, err := w.app.service(ctx); err == nil {
		w.service = s
	}
	return nil
}

func (w *waiter) title() string { return fmt.Sprintf("generation %d on trial", w.trial.Number) }

// ended says how a trial ended that was not confirmed.
func (w *waiter) ended(s control.Status) error {
	how := "it was rolled back"
	switch {
	case s.Trial != nil:
		how = fmt.Sprintf("generation %d has taken its place", s.Trial.Number)
	case !time.Now().Before(w.end):
		how = "it was not confirmed in time"
	}
	return &control.Error{Code: control.RolledBack, Message: fmt.Sprintf(
		"generation %d (%s) is no longer in force: %s; in force now: %s", w.trial.Number, w.trial.Policy, how, inForce(s))}
}

// interrupted says that the trial goes on without the one that waited.
func (w *waiter) interrupted() error {
	return &control.Error{Code: control.Failed, Message: fmt.Sprintf(
		"no longer waiting: generation %d stays on trial, with some %s left; moonlatch confirm makes it permanent, moonlatch rollback ends it now",
		w.trial.Number, seconds(w.left))}
}

// listen lets the user answer on the terminal, where there is one.
func (w *waiter) listen() {
	if w.shown.terminal == nil || !isTerminal(os.Stdin) {
		return
	}
	signal.Ignore(syscall.SIGTTIN) // in the background there is nobody to answer, and reading fails
	lines := make(chan string)
	go func() { // ends with the process: nothing can interrupt it
		for sc := bufio.NewScanner(os.Stdin); sc.Scan(); {
			lines <- sc.Text()
		}
	}()
	w.typed = lines
	fmt.Fprintln(w.app.err, "Open a NEW connection to this host now. Does it work? y keeps the policy, n rolls it back.")
}

// obey does what the user typed.
func (w *waiter) obey(ctx context.Context, line string) error {
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		req := confirmRequest()
		req.Generation = w.trial.Number
		c, err := w.service.Confirm(ctx, req)
		if err == nil {
			w.confirmed = &c
		}
		return err
	case "n", "no":
		_, err := w.service.Rollback(ctx, control.RollbackRequest{Generation: w.trial.Number, By: caller()})
		return err
	}
	fmt.Fprintln(w.app.err, "y keeps the policy, n rolls it back")
	return nil
}
