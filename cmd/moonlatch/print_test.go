package main

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		0: "0s", 59*time.Second + 600*time.Millisecond: "1m0s", time.Hour: "1h0m0s", 47 * time.Hour: "47h0m0s",
		2 * day: "2d", 7*day - time.Second: "7d", 6*day + 23*time.Hour: "6d23h", 3650 * day: "3650d",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{"1 ban": count(1, "ban"), "0 bans": count(0, "ban"), "1 address": count(1, "address"), "2 addresses": count(2, "address")} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
