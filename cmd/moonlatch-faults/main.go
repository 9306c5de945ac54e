// Moonlatch-faults plays random lives of firewalls, breaks things at random
// instants, and looks through their clients' eyes whether every promise holds. It
// runs as any user, in private namespaces.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"moonlatch/engine/netns"
)

// insideWord is the first argument of the program where it runs in its private namespaces.
const insideWord = "inside"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	args := os.Args[1:]
	var err error
	switch {
	case len(args) > 0 && args[0] == gateWord:
		err = gate(args[1:])
	case len(args) > 0 && args[0] == insideWord:
		err = inside(ctx, args[1:], os.Stdout, os.Stderr)
	default:
		err = outside(ctx, args, os.Stdout, os.Stderr)
	}
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	if !errors.Is(err, errSaid) {
		fmt.Fprintln(os.Stderr, "moonlatch-faults:", err)
	}
	stop()
	os.Exit(1)
}

// errSaid is an error that somebody has told already.
var errSaid = errors.New("said already")

// options reads the command line.
func options(args []string) (cfg config, output string, err error) {
	f := flag.NewFlagSet("moonlatch-faults", flag.ContinueOnError)
	f.StringVar(&cfg.moonlatch, "moonlatch", "bin/moonlatch", "the `program` under test")
	f.Uint64Var(&cfg.seed, "seed", 0, "the `number` that decides everything but the scheduler's share; 0 draws one")
	f.IntVar(&cfg.faults, "faults", 2000, "how many `faults` to inject")
	f.IntVar(&cfg.life, "life", -1, "play only the life of this `number`")
	f.IntVar(&cfg.steps, "steps", 14, "how many `steps` a life has")
	f.StringVar(&cfg.only, "only", "", "play steps of this `kind` only: "+kindsOfSteps())
	f.IntVar(&cfg.parallel, "parallel", 16, "how many `lives` at the same time")
	f.IntVar(&cfg.enough, "enough", 10, "begin no further life after so many `broken` ones")
	f.DurationVar(&cfg.within, "within", 15*time.Minute, "begin no further life after this `time`")
	f.StringVar(&output, "output", "text", "`format` of the result: text or json")
	if err := f.Parse(args); err != nil {
		return cfg, output, err
	}
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("%q: no arguments are expected", f.Arg(0))
	case output != "text" && output != "json":
		err = fmt.Errorf(`--output is "text" or "json", not %q`, output)
	case cfg.only != "" && !slices.ContainsFunc(opWeights(), func(w weight) bool { return w.what == cfg.only }):
		err = fmt.Errorf("--only is one of %s, not %q", kindsOfSteps(), cfg.only)
	case cfg.faults < 1 || cfg.steps < 1 || cfg.parallel < 1 || cfg.enough < 1 || cfg.within <= 0:
		err = errors.New("--faults, --steps, --parallel, --enough and --within must be more than nothing")
	}
	if err == nil {
		if cfg.moonlatch, err = filepath.Abs(cfg.moonlatch); err == nil {
			_, err = os.Stat(cfg.moonlatch)
		}
		if err != nil {
			err = fmt.Errorf("the program under test: %w (build it with make build, or name it with --moonlatch)", err)
		}
	}
	for cfg.seed == 0 {
		cfg.seed = rand.Uint64N(1e9)
	}
	return cfg, output, err
}

// kindsOfSteps lists what --only may be.
func kindsOfSteps() string {
	var out []string
	for _, w := range opWeights() {
		out = append(out, fmt.Sprintf("%q", w.what))
	}
	return strings.Join(out, ", ")
}

// outside runs the program again in private namespaces.
func outside(ctx context.Context, args []string, out, errOut io.Writer) error {
	cfg, _, err := options(args)
	if err != nil {
		return err
	}
	if err := netns.Available(); err != nil {
		return err
	}
	cmd := netns.Command(ctx, "/proc/self/exe", append([]string{insideWord}, append(args, fmt.Sprint("--seed=", cfg.seed))...)...)
	cmd.Stdout, cmd.Stderr = out, errOut
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	// It must not outlive this process. The kernel watches the thread that started it, so keep it.
	runtime.LockOSThread()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	if err := cmd.Run(); err != nil {
		return errors.Join(errSaid, err)
	}
	return nil
}

// inside does the work, in the private namespaces.
func inside(ctx context.Context, args []string, out io.Writer, errOut *os.File) error {
	cfg, output, err := options(args)
	if err != nil {
		return err
	}
	r, err := newRun(cfg)
	if err != nil {
		return err
	}
	defer r.close()
	showing, shown := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.progress(showing, errOut)
	}()
	r.all(ctx)
	shown()
	<-done
	if output == "json" {
		err = r.report().json(out)
	} else {
		r.report().print(out)
	}
	if err == nil && r.verdict() != nil {
		return errSaid
	}
	return err
}
