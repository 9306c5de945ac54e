package engine

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/control"
	"moonlatch/engine/feed"
	"moonlatch/engine/policy"
)

// teller tells what happens: everything that listens to the feed, and the log.
type teller struct {
	feed    *feed.Hub
	log     *slog.Logger
	history *history // nil where nothing is recorded
}

func (t teller) tell(it feed.Item) (id uint64) {
	id = t.publish(it)
	level, message, attrs := it.Line()
	t.log.LogAttrs(context.Background(), level, message, attrs...)
	return id
}

// publish is tell without the log, for what the caller of a command prints anyway.
func (t teller) publish(it feed.Item) (id uint64) {
	id = t.feed.Publish(it)
	t.history.note(it)
	return id
}

// onTrial tells of a generation that was applied.
func onTrial(a control.Applied, req control.ApplyRequest) feed.Item {
	return feed.Item{Kind: feed.KindApply, Generation: &feed.Generation{
		Number: a.Generation.Number, Policy: req.Entry, Digest: a.Generation.Digest, By: req.By, Until: deadlineOf(a), Fallback: a.Generation.Fallback,
	}}
}

// booked tells of a ban that is in force.
func (t teller) booked(b ban.Ban) (id uint64) {
	return t.tell(feed.Item{Kind: feed.KindBan, Ban: &feed.Ban{
		Target: feed.Target{Prefix: b.Target}, Until: b.Until, By: b.By, Why: b.Why, Evidence: b.Evidence.String(), Origin: string(b.Origin),
	}})
}

// lifted tells of bans that ended, one by one as far as they are named.
func (t teller) lifted(targets []netip.Prefix, n int, how string) {
	for _, p := range targets {
		t.tell(feed.Item{Kind: feed.KindUnban, Ban: &feed.Ban{Target: feed.Target{Prefix: p}, Reason: how}})
	}
	if rest := n - len(targets); rest > 0 {
		t.tell(feed.Item{Kind: feed.KindUnban, Ban: &feed.Ban{Count: rest, Reason: how}})
	}
}

// unbooked tells of a ban that a policy wanted and the kernel refused.
func (t teller) unbooked(r ban.Request, err error) {
	t.tell(feed.Item{Kind: feed.KindRefused, Ban: &feed.Ban{
		Target: feed.Target{Prefix: r.Target}, By: r.By, Why: r.Why, Origin: string(r.Origin), Reason: err.Error(),
	}})
}

// storm tells that bans begin to be held back, or that it is over.
func (t teller) storm(s ban.Storm) {
	n := feed.Notice{By: "brake", Title: "bans are held back", Fields: []feed.Field{{Name: "reason", Value: s.Reason}}}
	if s.Reason == ban.UnbannedEvicted {
		n.Title = "bans end early to make room for others"
	}
	if s.Over {
		n.Title += ": that is over"
		n.Fields = append(n.Fields, feed.Field{Name: "bans", Value: strconv.FormatUint(s.Count, 10)},
			feed.Field{Name: "since", Value: s.Began.UTC().Format(time.RFC3339)})
	} else {
		n.Text = s.Err.Error()
		n.Fields = append(n.Fields, feed.Field{Name: "by", Value: s.First.By})
	}
	t.tell(feed.Item{Kind: feed.KindBrake, Notice: &n})
}

// failed tells how a callback failed, and whether it is switched off now.
func (t teller) failed(err error) {
	var e *policy.CallError
	if !errors.As(err, &e) {
		t.log.Debug("callback failed", "error", err)
		return
	}
	t.tell(feed.Item{Kind: feed.KindFault, Fault: &feed.Fault{
		Callback: e.Callback.Name, Kind: e.Callback.Kind, Place: e.Pos.String(),
		Reason: e.Reason, Message: e.Msg, Traceback: e.Traceback, Off: e.Callback.Off(),
	}})
}
