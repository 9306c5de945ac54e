package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) feedsCommand() *cobra.Command {
	c := a.showFeeds(control.Service.Feeds)
	c.Use = "feeds"
	c.Short = "Show the lists of others that the policy uses, how old they are and what is wrong"
	c.Long = "Feeds shows the lists that the policy keeps up to date by fw.feed: how many entries each has,\nhow old it is, and why it was not updated, if so."
	c.Example = "  moonlatch feeds\n  moonlatch feeds refresh"
	refresh := a.showFeeds(control.Service.RefreshFeeds)
	refresh.Use, refresh.Short = "refresh", "Fetch all of them now"
	refresh.Long = "Refresh fetches the feeds now. One that is refused leaves its last good copy in force."
	refresh.Example = "  moonlatch feeds refresh"
	c.AddCommand(refresh)
	return c
}

// showFeeds is a command that shows what a call tells of them.
func (a *app) showFeeds(call func(control.Service, context.Context) (control.FeedList, error)) *cobra.Command {
	return &cobra.Command{
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			list, err := call(s, c.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(w *writer) { w.feeds(list.Feeds, a.width()) })
		},
	}
}

func (w *writer) feeds(feeds []control.Feed, width int) {
	if len(feeds) == 0 {
		w.linef("no feeds")
		return
	}
	rows := [][]string{{"NAME", "ENTRIES", "AGE", "CHECKED", "NEXT", "SOURCE"}}
	for _, f := range feeds {
		next := time.Until(f.Next).Round(time.Second)
		rows = append(rows, []string{f.Name, fmt.Sprint(f.Entries), ago(f.Fetched), ago(f.Checked), max(next, 0).String(), f.Source})
	}
	for _, line := range columns(rows, width) {
		w.linef("%s", line)
	}
	for _, f := range feeds {
		if f.Error != "" {
			w.linef("%s: not updated (%d times): %s", f.Name, f.Failures, strings.ReplaceAll(f.Error, "\n", "; "))
		}
	}
}

// ago is how long ago something was.
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return time.Since(t).Round(time.Second).String()
}
