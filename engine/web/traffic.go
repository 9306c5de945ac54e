package web

import (
	"context"
	"time"

	"moonlatch/engine/control"
)

// trafficFresh is how old what the history counted may be.
const trafficFresh = 10 * time.Second

const (
	topLines = 10
	maxMarks = 100
)

// span is a time to look back on, and the stretches that it is drawn in.
type span struct{ length, stretch time.Duration }

var spans = map[string]span{
	"1h":  {time.Hour, time.Minute},
	"24h": {24 * time.Hour, 15 * time.Minute},
	"7d":  {7 * 24 * time.Hour, 2 * time.Hour},
}

// traffic is what the history has of a span.
type traffic struct {
	Stretch  float64         `json:"stretch_seconds"`
	Points   []control.Point `json:"points"`
	Marks    []control.Entry `json:"marks"` // what became of generations
	Sources  []control.Total `json:"sources"`
	Ports    []control.Total `json:"ports"`
	Policies []control.Total `json:"policies"`
}

func (s *Server) traffic(ctx context.Context, look span) (any, error) {
	since := time.Now().Add(-look.length)
	out := traffic{Stretch: look.stretch.Seconds()}
	var err error
	if out.Points, err = s.service.Timeline(ctx, control.TimelineRequest{Since: since, Stretch: look.stretch}); err != nil {
		return nil, err
	}
	out.Marks, err = s.service.History(ctx, control.HistoryRequest{
		Kinds: []string{"apply", "confirm", "rollback", "trial_end", "reset"}, Since: since, Limit: maxMarks,
	})
	if err != nil {
		return nil, err
	}
	for of, to := range map[string]*[]control.Total{"sources": &out.Sources, "ports": &out.Ports, "policies": &out.Policies} {
		if *to, err = s.service.Top(ctx, control.TopRequest{Of: of, Since: since, Limit: topLines}); err != nil {
			return nil, err
		}
	}
	return out, nil
}
