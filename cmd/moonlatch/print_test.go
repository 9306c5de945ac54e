package main

import (
	"strings"
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

// TestColumns cuts the last column of a terminal that is too narrow, but hides no other.
func TestColumns(t *testing.T) {
	t.Parallel()
	rows := [][]string{{"ADDRESS", "LEFT", "WHY"}, {"203.0.113.9", "1h0m0s", "tried every door there is"}}
	for width, want := range map[int]string{
		0:  "203.0.113.9  1h0m0s  tried every door there is",
		80: "203.0.113.9  1h0m0s  tried every door there is",
		30: "203.0.113.9  1h0m0s  tried ev…",
		29: "203.0.113.9  1h0m0s  tried e…",
		28: "203.0.113.9  1h0m0s  tried every door there is",
	} {
		if got := columns(rows, width)[1]; got != want {
			t.Errorf("at %d columns: %q, want %q", width, got, want)
		}
	}
	if got := columns(rows, 0)[0]; strings.HasSuffix(got, " ") || !strings.HasPrefix(got, "ADDRESS      LEFT    WHY") {
		t.Errorf("the head is %q", got)
	}
}

func TestAuthored(t *testing.T) {
	t.Parallel()
	for chain, want := range map[string]string{"input": "input", "rule.input.closed": "input", "rule.ssh_in.by_port.3": "ssh_in", "": ""} {
		if got := authored(chain); got != want {
			t.Errorf("authored(%q) = %q, want %q", chain, got, want)
		}
	}
}
