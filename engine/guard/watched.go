package guard

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// ErrUnwatched is returned for an order that there may be nobody to carry out.
var ErrUnwatched = errors.New("is not watched")

// Watched returns nil if the order is armed, its time has not come, and both of its
// processes live and run: what was ordered will be done. It is ErrNone or ErrLate for an order
// that is over, and otherwise ErrUnwatched.
func (w *Watch) Watched(o Order) error {
	if err := w.waits(o); err != nil {
		return err
	}
	for _, role := range []string{onDuty, standby} {
		pid, alive, err := w.holder(role)
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", ErrUnwatched, err)
		case !alive:
			return fmt.Errorf("%w: of its two processes, the one that holds %q is dead", ErrUnwatched, role)
		case !runs(pid):
			return fmt.Errorf("%w: process %d, one of its two, was stopped", ErrUnwatched, pid)
		}
	}
	return w.waits(o) // the look at them may have taken time
}

// waits returns nil if the order is armed, and its time has not come.
func (w *Watch) waits(o Order) error {
	root, now, err := w.open()
	if err != nil {
		return err
	}
	defer root.Close()
	left, err := now.Left()
	switch {
	case err != nil:
		return err
	case now.Start != o.Start:
		return ErrNone
	case left <= 0, decided(root) == due:
		return ErrLate
	case decided(root) != armed:
		return ErrNone
	}
	return nil
}

// runs reports whether a process is there and is not stopped.
func runs(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	name := bytes.LastIndex(b, []byte(") ")) // proc_pid_stat(5): the state follows the name, which may hold anything
	return err == nil && name >= 0 && len(b) > name+2 && !bytes.ContainsAny(b[name+2:name+3], "TtZX")
}
