package ruleset

import (
	"errors"
	"fmt"
	"time"
)

// The longest and shortest trial: shorter than a second nobody can confirm,
// and one of more than a day protects nobody.
const (
	MinTrial = time.Second
	MaxTrial = 24 * time.Hour
)

// ErrTrial is what CheckTrial returns, with more about it.
var ErrTrial = errors.New("is not possible")

// CheckTrial refuses a length of a trial that cannot do its work.
func CheckTrial(d time.Duration) error {
	if d < MinTrial || d > MaxTrial {
		return fmt.Errorf("a trial of %s %w: between %s and %s", d, ErrTrial, MinTrial, MaxTrial)
	}
	return nil
}
