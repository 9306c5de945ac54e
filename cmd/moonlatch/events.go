package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
	"moonlatch/engine/feed"
)

// How much of what happened is shown unless the user says.
const (
	eventsShown   = 100
	eventsFollow  = 10 // before what follows
	allHeld       = 1 << 30
	reconnectWait = 500 * time.Millisecond
)

func (a *app) eventsCommand() *cobra.Command {
	var req control.EventsRequest
	var since string
	c := &cobra.Command{
		Use:   "events",
		Short: "Show logged packets, bans, applies and faults, as they happen with --follow",
		Long: `Events shows what the daemon remembers of what happened: some 8,000 logged packets and
2,000 of everything else. With --follow it goes on with what happens, also across a
restart of the daemon, until Ctrl-C. With -o json, each line is one JSON document.

Kinds: event (a logged packet), ban, unban, would_ban, refused, apply, extend, confirm,
rollback, trial_end, reset, drift, lease, fault, brake, list, history and notice.`,
		Example: `  moonlatch events --follow --kind ban,unban
  moonlatch events --follow --src 203.0.113.0/24 --port 22
  moonlatch events --since 1h --kind apply,confirm,rollback,trial_end -o json`,
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("limit") {
				req.Limit = eventsShown
				switch {
				case since != "":
					req.Limit = allHeld
				case req.Follow:
					req.Limit = eventsFollow
				}
			}
			var err error
			if req.After, err = parseSince(since, time.Now()); err != nil {
				return usageError{err, c.CommandPath()}
			}
			if _, err := req.Filter(); err != nil {
				return usageError{err, c.CommandPath()}
			}
			return a.events(c.Context(), req)
		},
	}
	f := c.Flags()
	f.BoolVarP(&req.Follow, "follow", "f", false, "go on with what happens")
	f.StringSliceVar(&req.Kinds, "kind", nil, "only these `kinds`, separated by commas")
	f.StringVar(&req.Stream, "stream", "", "only packets of this `stream` of the policy's")
	f.StringVar(&req.Src, "src", "", "only packets from, and bans of, this `address` or prefix")
	f.Uint16Var(&req.Port, "port", 0, "only packets to or from this `port`")
	f.IntVar(&req.Limit, "limit", 0, "at most so many of what happened already, the latest (default 100, with --follow 10)")
	f.StringVar(&since, "since", "", "only what happened since this `time`: a duration such as 15m, or 2006-01-02T15:04:05Z")
	c.RegisterFlagCompletionFunc("kind", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var out []cobra.Completion
		for _, k := range feed.Kinds() {
			out = append(out, string(k))
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

// parseSince reads a time, or how long ago it was. "" is the zero time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	var d duration
	if err := d.Set(s); err != nil {
		return time.Time{}, fmt.Errorf("--since %q is no time: write it as 15m, 24h or 2006-01-02T15:04:05Z", s)
	}
	return now.Add(-time.Duration(d)), nil
}

// events prints what the daemon tells. With Follow, a daemon that goes away is waited for.
func (a *app) events(ctx context.Context, req control.EventsRequest) error {
	for gone := false; ; {
		err := a.eventsOnce(ctx, &req, gone)
		var told *control.Error
		away := errors.Is(err, control.ErrNoDaemon) || errors.As(err, &told) && told.Code == control.Unreachable
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !(away && gone):
			return err
		case !req.Follow:
			return nil
		case !gone || err == nil:
			gone = true
			fmt.Fprintln(a.err, "moonlatch: the daemon has gone: waiting until one is back")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reconnectWait):
		}
	}
}

// eventsOnce prints what one daemon tells, and notes in the request where the next is to go on.
func (a *app) eventsOnce(ctx context.Context, req *control.EventsRequest, waited bool) error {
	client, err := control.Dial(ctx, a.socket)
	if errors.Is(err, control.ErrNoDaemon) && !waited {
		return &control.Error{Code: control.Unreachable, Message: err.Error() + "; only the daemon knows what happens: start moonlatch run"}
	}
	if err != nil {
		return silent(err)
	}
	defer client.Close()
	if waited {
		fmt.Fprintln(a.err, "moonlatch: the daemon is back")
	}
	return client.Events(ctx, *req, func(lines ...control.Told) error {
		for _, line := range lines {
			if line.ID != 0 {
				req.SinceID, req.After, req.Limit = line.ID, time.Time{}, allHeld
			}
			if err := a.printEvent(line); err != nil {
				return err
			}
		}
		return nil
	})
}

// printEvent prints one line.
func (a *app) printEvent(line control.Told) error {
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(struct {
			APIVersion string `json:"apiVersion"`
			control.Told
		}{control.Version, line})
	}
	text := line.Text()
	if line.Kind == control.KindDropped {
		text = strconv.FormatUint(line.Dropped, 10) + " more happened than could be shown: this reader is too slow for them"
	}
	w := &writer{out: a.out}
	w.linef("%s  %-9s  %s", line.Time.Local().Format("2006-01-02 15:04:05.000"), line.Kind, text)
	if line.Fault != nil && line.Fault.Traceback != "" {
		w.linef("%s", "    "+strings.ReplaceAll(line.Fault.Traceback, "\n", "\n    "))
	}
	return w.err
}
