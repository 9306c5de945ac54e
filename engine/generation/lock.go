package generation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a waiting process asks for the lock again: flock(2) has
// no timed wait, and a change holds the lock for some tens of milliseconds.
const lockPoll = 10 * time.Millisecond

// lock keeps other processes from changing the firewall until it is closed. It
// is bound to the open file, not to the process: a child that inherits the file
// holds it too, so that the lock outlasts a killed parent for as long as an nft
// that it started is still at work.
func (s *store) lock(ctx context.Context) (*os.File, error) {
	path := filepath.Join(s.dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, unix.EROFS) { // a reset must be possible on any disk
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("%w (%s is held)", ErrBusy, path)
		case <-time.After(lockPoll):
		}
	}
}
