package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Pending returns the order that there is, or ErrNone.
func (w *Watch) Pending() (Order, error) {
	root, o, err := w.open()
	if err == nil {
		root.Close()
	}
	return o, err
}

// open returns the pending order and its folder, which stays the same one
// whatever is renamed meanwhile.
func (w *Watch) open() (*os.Root, Order, error) {
	var o Order
	root, err := os.OpenRoot(w.path(pending))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, o, ErrNone
	}
	if err != nil {
		return nil, o, err
	}
	b, err := root.ReadFile("order.json")
	if err == nil {
		o, err = parseOrder(b)
	}
	if err == nil {
		return root, o, nil
	}
	if root.Close(); errors.Is(err, fs.ErrNotExist) {
		return nil, o, ErrNone // it was cleared away just now
	}
	return nil, o, fmt.Errorf("%s is damaged (%w): if no watchdog runs and the rules are as you want them, remove it", w.path(pending), err)
}

// Last returns the result of the order before, or of the last thing that a
// repeating one did; ErrNone if there is none.
func (w *Watch) Last() (Result, error) {
	var r Result
	b, err := os.ReadFile(w.path("last.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return r, ErrNone
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s: %w", w.path("last.json"), err)
	}
	return r, nil
}

// End calls the order off: once it returns nil, no deadline does what was
// ordered. ErrLate means that it is too late for that.
func (w *Watch) End() (Order, error) {
	root, o, err := w.open()
	if err != nil {
		return o, err
	}
	defer root.Close()
	left, err := o.Left()
	if err == nil && left <= 0 {
		return o, ErrLate // even if every watchdog is dead: the next one acts
	}
	if err != nil {
		return o, err
	}
	return o, decide(root, ended)
}

// Now brings the order's deadline forward to this instant.
func (w *Watch) Now() (Order, error) {
	root, o, err := w.open()
	if err != nil {
		return o, err
	}
	defer root.Close()
	if err := decide(root, due); !errors.Is(err, ErrLate) {
		return o, err
	}
	return o, nil // it is under way
}

// decide makes an armed order ended or due. The kernel lets only the first of
// all who try do so.
func decide(root *os.Root, as string) error {
	err := root.Rename(armed, as)
	if err == nil {
		// Lost in a power cut only, which ends the order in any case.
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if decided(root) == due {
		return ErrLate
	}
	return ErrNone
}

// decided returns what has become of an order: armed, ended, due, or "" if its
// folder was removed.
func decided(root *os.Root) string {
	// An order changes once: what is not found is looked for again.
	for range 2 {
		for _, state := range []string{due, ended, armed} {
			if _, err := root.Stat(state); err == nil {
				return state
			}
		}
	}
	return ""
}

// awaitEvery is how often Await looks.
const awaitEvery = 10 * time.Millisecond

// Await waits until an order that ended, or whose time has come, is cleared away,
// and returns its result.
func (w *Watch) Await(ctx context.Context, o Order) (Result, error) {
	for {
		now, err := w.Pending()
		if errors.Is(err, ErrNone) || (err == nil && now.Start != o.Start) {
			break
		}
		select {
		case <-ctx.Done():
			return w.unfinished(o)
		case <-time.After(awaitEvery):
		}
	}
	r, err := w.Last()
	if err == nil && r.Start != o.Start {
		err = fmt.Errorf("its result could not be written: see %s", w.path("log"))
	}
	return r, err
}

// unfinished says why an order is not done yet.
func (w *Watch) unfinished(o Order) (Result, error) {
	r, err := w.Last()
	if err == nil && r.Start == o.Start && r.Outcome == Failing {
		return r, fmt.Errorf("it has failed %d times and is tried on (see %s): %s", r.Tries, w.path("log"), r.Error)
	}
	return r, fmt.Errorf("it is not done yet (see %s)", w.path("log"))
}
