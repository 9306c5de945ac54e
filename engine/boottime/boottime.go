// Package boottime tells instants by the clock that counts since boot, also
// while the machine sleeps, and that nobody can set.
package boottime

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Instant is a moment of one boot of the machine. The zero value is no moment.
type Instant struct {
	Boot  string        `json:"boot"`  // the boot's id, as /proc/sys/kernel/random/boot_id has it
	Since time.Duration `json:"since"` // since that boot, by CLOCK_BOOTTIME
}

// Now returns the present instant.
func Now() (Instant, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Instant{}, fmt.Errorf("read the boot's id: %w", err)
	}
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return Instant{}, fmt.Errorf("read the clock: %w", err)
	}
	return Instant{strings.TrimSpace(string(id)), time.Duration(t.Nano())}, nil
}

// Sub returns the time from earlier to i. Instants of two boots cannot be
// compared, nor can the zero value: then ok is false.
func (i Instant) Sub(earlier Instant) (d time.Duration, ok bool) {
	if i.Boot == "" || i.Boot != earlier.Boot {
		return 0, false
	}
	return i.Since - earlier.Since, true
}

// In returns the instant a time later, or earlier, of the same boot.
func (i Instant) In(d time.Duration) Instant { return Instant{i.Boot, i.Since + d} }
