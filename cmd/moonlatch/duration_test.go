package main

import (
	"testing"
	"time"
)

// FuzzDuration: whatever is given to --since or --for, what is taken of it is some time, and means the same when it is read again.
func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"", "-", "0", "-0s", "1h", "1h30m", "7d", "10000000h", "99999999999999999999h", "292y", "293y", "-1h", "1h1h", "1.5h", "1ms", "١h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var d, again duration
		if err := d.Set(s); err != nil {
			return
		}
		if d <= 0 {
			t.Errorf("%q is %d", s, d)
		}
		if err := again.Set(d.String()); err != nil || again != d {
			t.Errorf("%q is %s, which is %s: %v", s, time.Duration(d), time.Duration(again), err)
		}
	})
}
