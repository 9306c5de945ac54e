package main

import (
	"fmt"
	"time"

	"moonlatch/engine/boottime"
	"moonlatch/engine/guard"
)

// watchStatus is what a watchdog is about to do, and what one did last.
type watchStatus struct {
	Pending *watchOrder  `json:"pending"`
	Last    *watchResult `json:"last"`
	news    string       // the last result in words, where there is nothing pending
}

// watchOrder is what a watchdog is about to do.
type watchOrder struct {
	What  string  `json:"what"`
	By    string  `json:"by,omitempty"`
	Left  float64 `json:"left_seconds"`
	Time  float64 `json:"seconds"` // from the beginning, or from one time to the next
	Error string  `json:"error,omitempty"`
}

// watchResult is what a watchdog did.
type watchResult struct {
	What    string        `json:"what"`
	Outcome guard.Outcome `json:"outcome"`
	At      time.Time     `json:"at"`
	Did     string        `json:"did,omitempty"`
	Tries   int           `json:"tries,omitempty"`
	Error   string        `json:"error,omitempty"` // of the last try that failed
}

func describeResult(r guard.Result) *watchResult {
	return &watchResult{r.What, r.Outcome, r.At, r.Did, r.Tries, r.Error}
}

func (a *app) watchStatus(name string) watchStatus {
	out := watchStatus{Pending: a.pending(name)}
	r, err := a.watch(name).Last()
	if err != nil {
		return out
	}
	now, err := boottime.Now()
	if _, sameBoot := now.Sub(r.Start); err == nil && (sameBoot || r.Outcome == guard.Rebooted) {
		out.Last, out.news = describeResult(r), guardNews(r)
	}
	return out
}

// pending describes a watch's order, nil if there is none.
func (a *app) pending(name string) *watchOrder {
	o, err := a.watch(name).Pending()
	if err != nil {
		return nil
	}
	out := &watchOrder{What: o.What, By: o.By, Time: o.Time.Seconds()}
	left, err := o.Left()
	if err != nil {
		out.Error = err.Error()
	}
	out.Left = left.Seconds()
	return out
}

func guardRows(s watchStatus) []string {
	switch {
	case s.Pending != nil:
		p := s.Pending
		return []string{
			fmt.Sprintf("guard\t%q by %s: without a confirm, the rules of before come back", p.What, p.By),
			fmt.Sprintf("\t%s %s left of %s: moonlatch confirm or rollback", bar(p.Left, p.Time, barWidth), seconds(p.Left), seconds(p.Time)),
		}
	case s.Last != nil && s.Last.Outcome != guard.Ended:
		return []string{"guard\t" + s.news}
	}
	return nil
}

func safetynetRows(s watchStatus) []string {
	if s.Pending == nil {
		return nil
	}
	p := s.Pending
	rows := []string{fmt.Sprintf("safety net\tresets to %s every %s, next in %s, at %s: moonlatch safetynet off ends it", p.What, seconds(p.Time),
		seconds(p.Left), time.Now().Add(time.Duration(p.Left*float64(time.Second))).Format(time.TimeOnly))}
	if l := s.Last; l != nil {
		switch l.Outcome {
		case guard.Done:
			rows = append(rows, fmt.Sprintf("\tlast reset at %s: %s", l.At.Local().Format(time.TimeOnly), l.Did))
		case guard.Failing:
			rows = append(rows, fmt.Sprintf("\tthe last reset FAILED at %s, and is tried on: %s", l.At.Local().Format(time.TimeOnly), l.Error))
		}
	}
	return rows
}
