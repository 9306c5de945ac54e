package guard

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
)

// Try does what was ordered, once, and says in words what it did. It must end when ctx does.
type Try func(ctx context.Context) (did string, err error)

// Load makes a Try of the folder that Arm had filled.
type Load func(dir string) (Try, error)

// Keep is the watchdog process that Start starts: it returns when the order is
// done or called off. Whatever it needs, it reads before it is ready. arg are the
// arguments with which this program calls Standby.
func (w *Watch) Keep(load Load, arg ...string) error {
	d, err := w.prepare(load)
	if err != nil {
		return err
	}
	lock, err := w.lock(onDuty)
	if errors.Is(err, errHeld) {
		sayReady() // that one does it
		return nil
	}
	if err != nil {
		return err
	}
	d.startStandby(arg)
	sayReady()
	d.serve(lock)
	return nil
}

// Standby is the second process of Keep, which takes over if that one dies, with a standby of
// its own. arg are the arguments with which this program calls Standby.
func (w *Watch) Standby(load Load, arg ...string) error {
	d, err := w.prepare(load)
	if err != nil {
		return err
	}
	second, err := w.lock(standby)
	if err != nil {
		d.log.Error("no standby", "error", err)
		return err
	}
	sayReady()
	if said, _ := io.ReadAll(os.Stdin); len(said) > 0 {
		return nil // the order is done
	}
	d.log.Error("the watchdog process died: its standby takes over")
	second.Close()
	lock, err := w.lock(onDuty)
	if errors.Is(err, errHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	d.heir = true
	// Nothing may hold up what is to be done soon.
	if left, err := d.order.Left(); err == nil && left > startPatience {
		d.startStandby(arg)
	}
	d.serve(lock)
	return nil
}

// prepare makes this process a watchdog that has all it needs in memory.
func (w *Watch) prepare(load Load) (*watchdog, error) {
	if err := detach(); err != nil {
		return nil, err
	}
	root, o, err := w.open()
	if err != nil {
		return nil, err
	}
	d := &watchdog{Watch: w, order: o, root: root, log: w.logger().With("what", o.What, "pid", os.Getpid())}
	if d.try, err = load(w.path(pending + "/" + payload)); err != nil {
		return nil, err
	}
	if d.alarm, err = newAlarm(root); err != nil {
		return nil, err
	}
	return d, nil
}

// sayReady tells who started this process, who may have died since, and lets go of it.
func sayReady() {
	io.WriteString(os.Stdout, ready)
	letGo()
}

// startStandby starts the second process. It learns by its standard input
// whether this one is done, or dead.
func (d *watchdog) startStandby(arg []string) {
	r, done, err := os.Pipe()
	if err != nil {
		d.log.Warn("no standby", "error", err)
		return
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe", arg...)
	cmd.Args[0], cmd.Stdin = os.Args[0], r
	if err := launch(context.Background(), cmd); err != nil {
		done.Close()
		d.log.Warn("no standby", "error", err)
		return
	}
	d.standby = done
}

// serve does the watchdog's work, then lets the next one be, and says how it ended.
func (d *watchdog) serve(lock *os.File) {
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("crashed: the standby takes over", "panic", p, "stack", string(debug.Stack()))
			panic(p)
		}
	}()
	r := d.watch()
	lock.Close()
	d.announce(r)
}
