package guard

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// lockPatience is how long a watchdog waits for one that has just done its work
// to be gone. One that stays longer is on duty.
const lockPatience = 2 * time.Second

// lockPoll is how often a waiting process asks for the lock again: flock(2) has
// no timed wait.
const lockPoll = 10 * time.Millisecond

var errHeld = errors.New("another process is the watchdog already")

// The two processes that watch: each holds the lock of its name.
const (
	onDuty  = "lock"
	standby = "standby"
)

// lock makes this process this watch's only one of its kind. The kernel lets go of the
// lock when the process dies, however it dies.
func (w *Watch) lock(role string) (*os.File, error) {
	f, err := w.openLock(role)
	if err != nil {
		return nil, err
	}
	for until := time.Now().Add(lockPatience); ; time.Sleep(lockPoll) {
		err = tryLock(f)
		if err == nil {
			break
		}
		if !errors.Is(err, errHeld) || time.Now().After(until) {
			f.Close()
			return nil, err
		}
	}
	// The pid serves to wake a watchdog that somebody stopped: without it, it is not woken.
	os.WriteFile(f.Name(), []byte(strconv.Itoa(os.Getpid())), 0o600)
	return f, nil
}

// openLock opens the lock for reading only: a watchdog keeps nothing open that
// would keep an administrator from making the file system read-only.
func (w *Watch) openLock(role string) (*os.File, error) {
	return os.OpenFile(w.path(role), os.O_RDONLY|os.O_CREATE, 0o600)
}

func tryLock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errHeld
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// holder reports whether a process of a kind is alive, and its pid, or 0 if that cannot be told.
func (w *Watch) holder(role string) (pid int, alive bool, err error) {
	f, err := w.openLock(role)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	if err := tryLock(f); !errors.Is(err, errHeld) {
		return 0, false, err
	}
	b, err := os.ReadFile(f.Name())
	if err == nil {
		pid, _ = strconv.Atoi(string(b))
	}
	return pid, true, nil
}
