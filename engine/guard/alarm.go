package guard

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"moonlatch/engine/boottime"
)

// alarm waits for an instant, or for a decision in an order's folder.
type alarm struct{ timer, changes int }

// newAlarm watches a folder. The clock is the one that nobody can set and that
// goes on while the machine sleeps: after a sleep the alarm goes off at once.
func newAlarm(root *os.Root) (*alarm, error) {
	timer, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make a timer: %w", err)
	}
	changes, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		unix.Close(timer)
		return nil, fmt.Errorf("watch a folder: %w", err)
	}
	a := &alarm{timer, changes}
	dir, err := root.Open(".")
	if err != nil {
		a.close()
		return nil, err
	}
	defer dir.Close()
	// By its descriptor: the folder's path may be another one's by now.
	path := fmt.Sprintf("/proc/self/fd/%d", dir.Fd())
	if _, err := unix.InotifyAddWatch(changes, path, unix.IN_MOVED_FROM|unix.IN_MOVED_TO|unix.IN_DELETE); err != nil {
		a.close()
		return nil, fmt.Errorf("watch a folder: %w", err)
	}
	return a, nil
}

func (a *alarm) close() {
	unix.Close(a.timer)
	unix.Close(a.changes)
}

// wait returns at the instant, at once if that has passed, or earlier when the
// folder has changed.
func (a *alarm) wait(until boottime.Instant) error {
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, until.Since.Nanoseconds()))} // 0 would be never
	if err := unix.TimerfdSettime(a.timer, unix.TFD_TIMER_ABSTIME, &at, nil); err != nil {
		return fmt.Errorf("set a timer: %w", err)
	}
	fds := []unix.PollFd{{Fd: int32(a.timer), Events: unix.POLLIN}, {Fd: int32(a.changes), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for a timer: %w", err)
		}
	}
	var seen [4096]byte
	unix.Read(a.changes, seen[:]) // what it was is to be seen in the folder
	return nil
}
