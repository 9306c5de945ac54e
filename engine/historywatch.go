package engine

import (
	"context"
	"strconv"
	"time"

	"moonlatch/engine/feed"
)

const (
	// historyLook is how often the daemon looks how the history is.
	historyLook = 2 * time.Second
	// historyQuiet is how long the history must be well until that is told.
	historyQuiet = time.Minute
)

// watchHistory tells when the history cannot be written or misses something, and when that is over.
func (d *Daemon) watchHistory(ctx context.Context) error {
	looks := time.NewTicker(historyLook)
	defer looks.Stop()
	var w historyWatch
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-looks.C:
			if n := w.look(d.history.stats(), now); n != nil {
				d.tell(feed.Item{Kind: feed.KindHistory, Notice: n})
			}
		}
	}
}

// historyWatch makes incidents of what the history's figures show.
type historyWatch struct {
	began   time.Time // of the incident; zero while there is none
	bad     time.Time // when the history was found unwell last
	dropped uint64    // until the last look
	before  uint64    // until the incident
}

// look returns what is to be told after a look, if anything.
func (w *historyWatch) look(s HistoryStats, now time.Time) *feed.Notice {
	drops := s.Dropped > w.dropped
	before := w.dropped
	w.dropped = s.Dropped
	n := &feed.Notice{By: "history", Title: "the history cannot be written"}
	switch {
	case s.Failing == "" && !drops:
		if w.began.IsZero() || now.Sub(w.bad) < historyQuiet {
			return nil
		}
		n.Title = "the history is written again"
		n.Fields = []feed.Field{{Name: "since", Value: w.began.UTC().Format(time.RFC3339)}, {Name: "missing", Value: strconv.FormatUint(s.Dropped-w.before, 10)}}
		w.began = time.Time{}
		return n
	case s.Failing == "":
		n.Title = "the history misses what comes faster than it can be written"
	}
	w.bad = now
	if !w.began.IsZero() {
		return nil
	}
	w.began, w.before, n.Text = now, before, s.Failing
	return n
}
