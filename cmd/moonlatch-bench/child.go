package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"moonlatch/engine/netns"
)

// measureAll takes the measurements one after another and prints their rows.
func measureAll(ctx context.Context, o options, todo []measurement, out io.Writer) (*report, error) {
	var err error
	if o.moonlatch, err = filepath.Abs(o.moonlatch); err != nil {
		return nil, err
	}
	if _, err := os.Stat(o.moonlatch); err != nil {
		return nil, fmt.Errorf("the program to measure: %w (build it with make build, or name it with -moonlatch)", err)
	}
	if err := netns.Available(); err != nil {
		return nil, err
	}
	r := &report{APIVersion: apiVersion, Began: time.Now().UTC().Truncate(time.Second), Machine: thisMachine(), Quick: o.quick}
	start := time.Now()
	header(out)
	for _, m := range todo {
		found, err := o.measure(ctx, m)
		for _, row := range m.rows {
			row.fill(found, err)
			row.print(out)
			r.Rows = append(r.Rows, row)
		}
		if err != nil {
			fmt.Fprintf(out, "%s: %v\n", m.name, err)
		}
	}
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

// fill puts what was found into the row, or why nothing was.
func (r *row) fill(found map[string]finding, err error) {
	if f, ok := found[r.ID]; ok {
		r.Finding = &f
		r.judge()
		return
	}
	r.Missing = "nothing came of it"
	if err != nil {
		r.Missing = err.Error()
	}
}

// measure takes a measurement in a process of its own in a private namespace. It returns what
// was found also where something failed in the end.
func (o options) measure(ctx context.Context, m measurement) (map[string]finding, error) {
	limit := m.limit
	if o.quick {
		limit = quickLimit
	}
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end))
	}
	if limit < time.Second {
		return nil, fmt.Errorf("the time was over (%s for everything)", wholeLimit)
	}
	const grace = 3 * time.Second // to clean up
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	args := []string{insideWord, "-moonlatch", o.moonlatch, fmt.Sprintf("-quick=%t", o.quick), fmt.Sprintf("-soak=%s", o.soak), fmt.Sprintf("-within=%s", max(limit-grace, time.Second)), m.name}
	cmd := netns.Command(ctx, "/proc/self/exe", args...)
	if os.Geteuid() == 0 {
		// As root it needs no user namespace, and so has socket buffers as large as those of a daemon that root runs.
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	// It must not outlive this process. The kernel watches the thread that started it, so keep it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	err := cmd.Run()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	var came outcome
	if err := json.Unmarshal(out.Bytes(), &came); err != nil {
		return nil, err
	}
	if came.Error != "" {
		err = errors.New(came.Error)
	}
	return came.Found, err
}

// outcome is what a measurement hands back, as JSON.
type outcome struct {
	Found map[string]finding `json:"found"`
	Error string             `json:"error,omitempty"`
}

// bench is what a measurement works with.
type bench struct {
	size      sizes
	moonlatch string // path of the program
	dir       string // a folder of its own
	found     map[string]finding
}

// find notes what was found for a row.
func (b *bench) find(id string, f finding) { b.found[id] = f }

// inside takes one measurement, in the private namespace, and writes what it found to out.
func inside(ctx context.Context, args []string, out io.Writer) error {
	var o options
	var within time.Duration
	f := flag.NewFlagSet(insideWord, flag.ContinueOnError)
	o.register(f)
	f.DurationVar(&within, "within", 0, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	chosen, err := o.choose(f.Arg(0))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not done within %s", within))
	defer cancel()
	came := outcome{Found: map[string]finding{}}
	if err := o.take(ctx, chosen[0], came.Found); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		came.Error = err.Error()
	}
	return json.NewEncoder(out).Encode(came) // last: it may end this process, if nobody reads it any more
}

// take takes a measurement in this process and this namespace.
func (o options) take(ctx context.Context, m measurement, found map[string]finding) error {
	dir, err := os.MkdirTemp("", "moonlatch-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The kernel ends daemons when the thread that started them ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := up(); err != nil {
		return err
	}
	return m.take(ctx, &bench{size: o.sizes(), moonlatch: o.moonlatch, dir: dir, found: found})
}

// up sets this namespace's lo up.
func up() error {
	n, err := netns.Current()
	if err != nil {
		return err
	}
	defer n.Close()
	return n.Up("lo")
}
