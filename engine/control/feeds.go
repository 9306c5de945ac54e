package control

import (
	"context"
	"time"
)

// FeedLists is the part of Service about the lists of others.
type FeedLists interface {
	Feeds(ctx context.Context) (FeedList, error)
	// RefreshFeeds fetches all of them now. Only a daemon can.
	RefreshFeeds(ctx context.Context) (FeedList, error)
}

// FeedList is every list of others that the policy uses.
type FeedList struct {
	APIVersion string `json:"apiVersion"`
	Feeds      []Feed `json:"feeds"`
}

// Feed is one of them.
type Feed struct {
	Name     string    `json:"name"`
	Source   string    `json:"source"`
	Entries  int       `json:"entries"`
	Fetched  time.Time `json:"fetched,omitzero"`   // when the copy in force came
	Checked  time.Time `json:"checked,omitzero"`   // when it was last asked for
	Next     time.Time `json:"next,omitzero"`      // when it will be
	Error    string    `json:"error,omitempty"`    // of the last time
	Failures uint64    `json:"failures,omitempty"` // since it last went well
	Refused  uint64    `json:"refused,omitempty"`  // how often what came was refused
}

// Feeds implements Service.
func (c *Client) Feeds(ctx context.Context) (f FeedList, err error) {
	err = c.call(ctx, "GET", "feeds", nil, &f)
	return f, err
}

// RefreshFeeds implements Service.
func (c *Client) RefreshFeeds(ctx context.Context) (f FeedList, err error) {
	err = c.call(ctx, "POST", "feeds/refresh", nil, &f)
	return f, err
}

func serveFeeds(mux router, s FeedLists) {
	handle(mux, "GET /v1/feeds", func(ctx context.Context, _ struct{}) (FeedList, error) { return s.Feeds(ctx) })
	handle(mux, "POST /v1/feeds/refresh", func(ctx context.Context, _ struct{}) (FeedList, error) { return s.RefreshFeeds(ctx) })
}
