package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"moonlatch/engine/boottime"
)

// Arm writes an order down, with what save puts into a folder, whole or not at
// all. Its time begins when all of that is on disk. Start the watchdog next.
func (w *Watch) Arm(o Order, save func(dir string) error) (Order, error) {
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return o, fmt.Errorf("state directory: %w", err)
	}
	lock, err := os.Open(w.dir)
	if err != nil {
		return o, fmt.Errorf("state directory: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return o, ErrArmed // or will be in a moment
	}
	// Closing it would not do: a process that is being started at this instant has it open, too.
	defer unix.Flock(int(lock.Fd()), unix.LOCK_UN)
	if _, err := os.Stat(w.path(pending)); err == nil {
		return o, ErrArmed
	}
	if err := w.sweep(); err != nil {
		return o, err
	}
	tmp, err := os.MkdirTemp(w.dir, newPrefix)
	if err != nil {
		return o, fmt.Errorf("state directory: %w", err)
	}
	defer os.RemoveAll(tmp)
	if o, err = fill(tmp, o, save); err != nil {
		return o, fmt.Errorf("write down what to do: %w", err)
	}
	err = os.Rename(tmp, w.path(pending))
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return o, ErrArmed
	}
	return o, errors.Join(err, sync(w.dir))
}

// Disarm forgets an order that nothing was done under, since its watchdog could not be
// started, or does not run. What is left of that sees it, and clears the order away.
func (w *Watch) Disarm() error {
	root, _, err := w.open()
	if err != nil {
		return err
	}
	defer root.Close()
	if err := decide(root, ended); err != nil {
		return err
	}
	left := false
	for _, role := range []string{onDuty, standby} {
		pid, alive, err := w.holder(role)
		if err != nil {
			return err
		}
		if left = left || alive; pid > 1 {
			unix.Kill(pid, unix.SIGCONT) // does nothing to a process that runs
		}
	}
	if left {
		return nil // without the folder it could not tell how the order was decided
	}
	return w.clear(root)
}

// clear removes an order's folder by one rename, so that nobody finds half of it.
func (w *Watch) clear(root *os.Root) error {
	mine, err := root.Stat(".")
	if err != nil {
		return err
	}
	there, err := os.Stat(w.path(pending))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !os.SameFile(mine, there) {
		return nil // somebody removed the folder, and this is another order's
	}
	gone := w.path(gonePrefix + strconv.Itoa(os.Getpid()))
	if err := os.Rename(w.path(pending), gone); err != nil {
		return err
	}
	os.RemoveAll(gone) // or the next Arm does
	return nil
}

// fill makes the folder of an order.
func fill(dir string, o Order, save func(dir string) error) (Order, error) {
	folder := filepath.Join(dir, payload)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return o, err
	}
	if err := save(folder); err != nil {
		return o, err
	}
	var err error
	if o.Netns, err = netns(); err != nil {
		return o, err
	}
	if o.Start, err = boottime.Now(); err != nil {
		return o, err
	}
	return o, errors.Join(write(filepath.Join(dir, "order.json"), o), write(filepath.Join(dir, armed), nil), sync(dir))
}

// Folders that are not complete yet, and that are being removed.
const (
	newPrefix  = ".new-"
	gonePrefix = ".gone-"
)

// sweep removes what dead processes left half made or half removed.
func (w *Watch) sweep() error {
	var errs []error
	for _, prefix := range []string{newPrefix, gonePrefix} {
		left, err := filepath.Glob(w.path(prefix + "*"))
		errs = append(errs, err)
		for _, path := range left {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}

// write stores a value as JSON, or an empty file, and has the disk take it.
func write(path string, value any) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if value != nil {
		err = json.NewEncoder(f).Encode(value)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// replace is write for a file that may be there: readers see the old or the new.
func replace(path string, value any) error {
	if err := write(path+".new", value); err != nil {
		return errors.Join(err, os.Remove(path+".new"))
	}
	return os.Rename(path+".new", path)
}

func sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }
