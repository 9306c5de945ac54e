package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"moonlatch/engine/control"
	"moonlatch/engine/feed"
	"moonlatch/engine/store"
)

// records returns the history to read, nil where nothing has been recorded yet.
func (f *Firewall) records() (*store.Store, error) {
	if !store.Exists(f.history.cfg.Dir) {
		return nil, nil
	}
	s, err := f.history.open()
	if errors.Is(err, fs.ErrPermission) {
		return nil, &control.Error{Code: control.NotPermitted, Message: "you may not read the history: use sudo: " + err.Error()}
	}
	return s, explain(err)
}

// Records is the history, for the parts of the daemon that read it themselves. It is nil, without an
// error, where nothing has been recorded yet.
func (f *Firewall) Records() (*store.Store, error) { return f.records() }

// History implements control.Service.
func (f *Firewall) History(ctx context.Context, req control.HistoryRequest) ([]control.Entry, error) {
	filter, err := filterOf(req)
	if err != nil {
		return nil, &control.Error{Code: control.BadRequest, Message: err.Error()}
	}
	s, err := f.records()
	if s == nil || err != nil {
		return nil, err
	}
	_ = s.Flush(ctx) // what cannot be written is not found either
	all, err := s.History(ctx, filter)
	if err != nil {
		return nil, explain(err)
	}
	out := make([]control.Entry, len(all))
	for i, e := range all {
		out[i] = tellEntry(e)
		out[i].Location = f.locate(e.Target)
	}
	return out, nil
}

// HistoryKinds are the kinds of entries that there are.
func HistoryKinds() []string {
	kinds := []string{string(store.Audited)}
	for _, k := range feed.Kinds() {
		if k != feed.KindEvent { // packets are counted, see Top
			kinds = append(kinds, string(k))
		}
	}
	slices.Sort(kinds)
	return kinds
}

func filterOf(req control.HistoryRequest) (store.Filter, error) {
	out := store.Filter{Policy: req.Policy, Since: req.Since, Limit: req.Limit}
	if out.Limit <= 0 || out.Limit > control.MaxHistory {
		out.Limit = control.MaxHistory
	}
	if req.Target != "" {
		p, err := parseTarget(req.Target)
		if err != nil {
			return out, err
		}
		if p != p.Masked() {
			return out, fmt.Errorf("%s has bits set after its prefix length: write %s", p, p.Masked())
		}
		if p.Addr().Is4In6() {
			p = netip.PrefixFrom(p.Addr().Unmap(), max(0, p.Bits()-96))
		}
		out.Target = p
	}
	for _, k := range req.Kinds {
		if !slices.Contains(HistoryKinds(), k) {
			return out, fmt.Errorf("there is no kind %q: there are %s", k, strings.Join(HistoryKinds(), ", "))
		}
		out.Kinds = append(out.Kinds, store.Kind(k))
	}
	return out, nil
}

func tellEntry(e store.Entry) control.Entry {
	out := control.Entry{
		ID: e.ID, Time: e.Time, Kind: string(e.Kind), Until: e.Until, Origin: e.Origin, By: e.By, Why: e.Why, Evidence: e.Evidence,
		Policy: e.Policy, Generation: e.Generation, Digest: e.Digest, PID: e.PID, Command: e.Command, Outcome: e.Outcome,
	}
	if e.Target.IsValid() {
		out.Target = showTarget(e.Target)
	}
	if e.Kind == store.Audited {
		out.UID = &e.UID
	}
	return out
}

// Top implements control.Service.
func (f *Firewall) Top(ctx context.Context, req control.TopRequest) ([]control.Total, error) {
	of := store.Dimension(req.Of)
	if !slices.Contains(store.Dimensions(), of) {
		return nil, &control.Error{Code: control.BadRequest, Message: fmt.Sprintf("%q cannot be counted: ask for sources, ports or policies", req.Of)}
	}
	s, err := f.records()
	if s == nil || err != nil {
		return nil, err
	}
	all, err := s.Top(ctx, of, req.Since, max(1, min(req.Limit, control.MaxHistory)))
	if err != nil {
		return nil, explain(err)
	}
	out := make([]control.Total, len(all))
	for i, t := range all {
		out[i] = control.Total{Name: t.Name, Events: t.Events, Bans: t.Bans, Last: t.Last, Ports: t.Detail}
	}
	return out, nil
}

// Timeline implements control.Service.
func (f *Firewall) Timeline(ctx context.Context, req control.TimelineRequest) ([]control.Point, error) {
	s, err := f.records()
	if s == nil || err != nil {
		return nil, err
	}
	all, err := s.Timeline(ctx, req.Since, time.Now(), req.Stretch)
	if err != nil {
		return nil, &control.Error{Code: control.BadRequest, Message: err.Error()}
	}
	out := make([]control.Point, len(all))
	for i, p := range all {
		out[i] = control.Point{Start: p.Start, Events: p.Events, Dropped: p.Dropped, Bans: p.Bans}
	}
	return out, nil
}
