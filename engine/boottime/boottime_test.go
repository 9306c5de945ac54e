package boottime

import (
	"testing"
	"time"
)

// TestNow lets time pass.
func TestNow(t *testing.T) {
	a, err := Now()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
	b, err := Now()
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := b.Sub(a); !ok || d < 10*time.Millisecond || d > 10*time.Second {
		t.Errorf("%v after %v: %s, %v", b, a, d, ok)
	}
}

// TestSub compares what can be compared, and nothing else.
func TestSub(t *testing.T) {
	a := Instant{"a", time.Minute}
	for _, tt := range []struct {
		earlier Instant
		want    time.Duration
		ok      bool
	}{
		{Instant{"a", time.Second}, 59 * time.Second, true},
		{a.In(time.Second), -time.Second, true},
		{Instant{"b", time.Second}, 0, false},
		{Instant{}, 0, false},
	} {
		if d, ok := a.Sub(tt.earlier); d != tt.want || ok != tt.ok {
			t.Errorf("%v - %v = %s, %v; want %s, %v", a, tt.earlier, d, ok, tt.want, tt.ok)
		}
	}
	if _, ok := (Instant{}).Sub(Instant{}); ok {
		t.Error("the zero value was compared")
	}
}
