package ruleset

import (
	"fmt"
	"time"
)

// The shortest and longest liveness lease: a daemon on a busy machine must manage
// several renewals in it, and one of more than an hour helps nobody who is locked out.
const (
	MinLease = 5 * time.Second
	MaxLease = time.Hour
)

// CheckLease refuses a liveness lease that cannot do its work. 0 means none.
func CheckLease(d time.Duration) error {
	if d != 0 && (d < MinLease || d > MaxLease) {
		return fmt.Errorf("a liveness lease of %s is not possible: between %s and %s", d, MinLease, MaxLease)
	}
	return nil
}
