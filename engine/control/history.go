package control

import (
	"context"
	"time"
)

// HistoryRequest asks for what happened. What is zero does not restrict.
type HistoryRequest struct {
	Target string    `json:"target,omitempty"` // an address or a prefix: what is about it, within it or around it
	Kinds  []string  `json:"kinds,omitempty"`
	Policy string    `json:"policy,omitempty"` // a policy's file, or a detector, handler or person
	Since  time.Time `json:"since,omitzero"`
	Limit  int       `json:"limit,omitempty"` // 0 is MaxHistory, which is the most
}

// MaxHistory is how many entries one answer has at most.
const MaxHistory = 10_000

// Entry is one thing that happened. What does not apply is left out.
type Entry struct {
	ID         int64     `json:"id"`
	Time       time.Time `json:"time"`
	Kind       string    `json:"kind"`
	Target     string    `json:"target,omitempty"`
	Until      time.Time `json:"until,omitzero"`
	Origin     string    `json:"origin,omitempty"`
	By         string    `json:"by,omitempty"`
	Why        string    `json:"why,omitempty"`
	Evidence   string    `json:"evidence,omitempty"`
	Policy     string    `json:"policy,omitempty"`
	Generation uint64    `json:"generation,omitempty"`
	Digest     string    `json:"digest,omitempty"`
	UID        *int      `json:"uid,omitempty"` // of who asked, in an audit
	PID        int       `json:"pid,omitempty"`
	Command    string    `json:"command,omitempty"`
	Outcome    string    `json:"outcome,omitempty"`
	Location             // of the target, as it is known now
}

// TopRequest asks what there was most of.
type TopRequest struct {
	Of    string    `json:"of"` // sources, ports or policies
	Since time.Time `json:"since"`
	Limit int       `json:"limit"`
}

// Total is how much there was of one source, port or policy.
type Total struct {
	Name   string    `json:"name"`
	Events int64     `json:"events,omitempty"` // logged packets
	Bans   int64     `json:"bans,omitempty"`
	Last   time.Time `json:"last"`
	Ports  string    `json:"ports,omitempty"` // some of those that a source tried
}

// History implements Service.
func (c *Client) History(ctx context.Context, req HistoryRequest) (all []Entry, err error) {
	err = c.call(ctx, "POST", "history", req, &all)
	return all, err
}

// Top implements Service.
func (c *Client) Top(ctx context.Context, req TopRequest) (all []Total, err error) {
	err = c.call(ctx, "POST", "top", req, &all)
	return all, err
}

// TimelineRequest asks how much happened when: since then, in stretches of whole minutes.
type TimelineRequest struct {
	Since   time.Time     `json:"since"`
	Stretch time.Duration `json:"stretch"`
}

// Point is how much happened in one stretch of time.
type Point struct {
	Start   time.Time `json:"start"`
	Events  int64     `json:"events"`  // logged packets
	Dropped int64     `json:"dropped"` // packets that bans have dropped
	Bans    int64     `json:"bans"`
}

// Timeline implements Service.
func (c *Client) Timeline(ctx context.Context, req TimelineRequest) (all []Point, err error) {
	err = c.call(ctx, "POST", "timeline", req, &all)
	return all, err
}
