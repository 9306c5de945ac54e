package guard

import (
	"encoding/json"
	"testing"
	"time"
)

// FuzzOrder reads any bytes as an order. What is taken has a next instant that
// makes sense: of one that repeats it is ahead, by no more than its time.
func FuzzOrder(f *testing.F) {
	for _, seed := range []string{
		`{"what":"ufw enable","by":"root","start":{"boot":"b","since":1},"time":60000000000,"netns":4026531840}`,
		`{"what":"fully open","start":{"boot":"b","since":9000000000},"time":900000000000,"repeat":true}`,
		`{"start":{"boot":"b"},"time":-1}`, `{"time":9223372036854775807}`, `{`, ``, `null`,
	} {
		f.Add([]byte(seed), int64(time.Hour))
	}
	f.Fuzz(func(t *testing.T, b []byte, later int64) {
		o, err := parseOrder(b)
		if err != nil {
			return
		}
		now := o.Start.In(time.Duration(later) % longest)
		left, ok := o.Next(now).Sub(now)
		if !ok {
			t.Fatalf("%+v has no next instant", o)
		}
		if o.Repeat && later >= 0 && (left <= 0 || left > o.Time) {
			t.Errorf("%+v, %s after it began: next in %s", o, time.Duration(later)%longest, left)
		}
		again, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if o2, err := parseOrder(again); err != nil || o2 != o {
			t.Errorf("%+v was read as %+v (%v)", o, o2, err)
		}
	})
}
