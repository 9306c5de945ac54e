// Moonlatch-bench measures Moonlatch beside what it is compared with, in one run,
// and says which of the project's budgets held. It runs as any user, in private
// namespaces, and takes less than five minutes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// insideWord is the first argument of the program where it runs in a private
// namespace to take one measurement.
const insideWord = "inside"

// wholeLimit bounds a run. What is not measured by then is told as not measured.
const wholeLimit = 290 * time.Second

// quickLimit bounds a run, and each measurement of it, that measures nothing: only a busy machine takes long.
const quickLimit = 10 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	args := os.Args[1:]
	var err error
	if len(args) > 0 && args[0] == insideWord {
		err = inside(ctx, args[1:], os.Stdout)
	} else {
		err = run(ctx, args, os.Stdout, os.Stderr)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "moonlatch-bench:", err)
		os.Exit(1)
	}
}

// options are what the command line says. They are handed on to the measurements.
type options struct {
	moonlatch string // the program under test
	quick     bool   // small sizes: shows that everything works, and measures nothing
	soak      time.Duration
}

func (o *options) register(f *flag.FlagSet) {
	f.StringVar(&o.moonlatch, "moonlatch", "bin/moonlatch", "the `program` to measure")
	f.DurationVar(&o.soak, "soak", 0, "instead of all that, load the daemon for so `long` and watch what it holds")
	f.BoolVar(&o.quick, "quick", false, "sizes so small that nothing is measured well")
}

// run takes all measurements and reports on them. Its error is that it could
// not: a budget that is not held is none.
func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	var o options
	var output, only string
	f := flag.NewFlagSet("moonlatch-bench", flag.ContinueOnError)
	f.SetOutput(errOut)
	o.register(f)
	f.StringVar(&output, "output", "", "write the rows as JSON to `file`")
	f.StringVar(&only, "only", "", "take only the measurement of this `name`")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q: no arguments are expected", f.Arg(0))
	}
	limit := wholeLimit
	if o.quick {
		limit = quickLimit
	}
	if o.soak > 0 {
		only, limit = soakName, o.soak+time.Minute
	}
	todo, err := o.choose(only)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := measureAll(ctx, o, todo, out)
	if err != nil {
		return err
	}
	r.conclude(out)
	if output == "" {
		return nil
	}
	return r.write(output)
}
