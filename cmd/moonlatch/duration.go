package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
)

// duration is a flag in the policies' syntax: 60s, 1h30m, 7d.
type duration time.Duration

func (d *duration) Set(s string) error {
	parsed, err := model.ParseDuration(strings.TrimPrefix(s, "-"))
	switch {
	case err != nil:
		return fmt.Errorf("%q is no duration: write it as 90s, 15m, 1h30m or 7d", s)
	case parsed == 0, s[0] == '-':
		return fmt.Errorf("%q is no time at all: a duration must be more than nothing", s)
	}
	*d = duration(parsed)
	return nil
}

func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return model.Duration(*d).String()
}

func (*duration) Type() string { return "duration" }

// completeDurations offers what people mostly want.
func completeDurations(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{"30s", "1m", "5m", "15m"}, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
