package web

import (
	"context"
	"encoding/json"
	"time"
)

// answer is what was told last to a question that many may ask: for as long as it
// is fresh, everybody gets it. One asks at a time, the others wait for that.
type answer struct {
	ask   func(context.Context) (any, error)
	fresh time.Duration
	turn  chan struct{} // holds a token while somebody looks or asks
	at    time.Time
	body  []byte
}

func newAnswer(fresh time.Duration, ask func(context.Context) (any, error)) *answer {
	return &answer{ask: ask, fresh: fresh, turn: make(chan struct{}, 1)}
}

// get returns the answer as JSON. It waits no longer than ctx lasts.
func (a *answer) get(ctx context.Context) ([]byte, error) {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-a.turn }()
	if !a.at.IsZero() && time.Since(a.at) < a.fresh {
		return a.body, nil
	}
	v, err := a.ask(ctx)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(v)
	if err == nil {
		a.at, a.body = time.Now(), body
	}
	return body, err
}

// forget makes the next one who asks hear of what has just changed.
func (a *answer) forget() {
	a.turn <- struct{}{}
	a.at = time.Time{}
	<-a.turn
}
