package banlist

import (
	"encoding/json"
	"strings"
	"time"
)

// alert is what CrowdSec prints for each address: why, and what it decided.
type alert struct {
	CreatedAt string     `json:"created_at"`
	Decisions []decision `json:"decisions"`
	decision             // some of its commands print decisions alone
}

type decision struct {
	Duration  string `json:"duration"` // what is left
	Origin    string `json:"origin"`
	Scenario  string `json:"scenario"`
	Scope     string `json:"scope"`
	Simulated bool   `json:"simulated"`
	Type      string `json:"type"`
	Value     string `json:"value"`
}

// readCrowdSec reads an array of alerts.
func readCrowdSec(lines *lineReader, o *output) error {
	return eachObject(json.NewDecoder(lines), lines, o, func(o *output, line int, raw json.RawMessage) {
		e := Entry{Line: line}
		var a alert
		if err := json.Unmarshal(raw, &a); err != nil {
			o.mistake(e, "%w", plainly(err))
			return
		}
		if a.Value != "" {
			a.Decisions = append(a.Decisions, a.decision)
		}
		if a.Decisions == nil && a.CreatedAt == "" {
			o.mistake(e, `it is no alert of CrowdSec's: it has no "decisions"`)
			return
		}
		if since, err := time.Parse(time.RFC3339, a.CreatedAt); err == nil && since.Before(o.now) {
			e.Since = since
		}
		for _, d := range a.Decisions {
			o.decision(e, d)
		}
	})
}

func (o *output) decision(e Entry, d decision) {
	scope := strings.ToLower(d.Scope)
	switch {
	case d.Simulated:
		o.omit(e, "the decision on %s is a simulated one", shorten(d.Value))
		return
	case d.Type != "ban":
		o.omit(e, "the decision on %s is %q, no ban", shorten(d.Value), shorten(d.Type))
		return
	case scope != "ip" && scope != "range":
		o.omit(e, "the decision on %s is of scope %q, and only addresses and ranges can be banned", shorten(d.Value), shorten(d.Scope))
		return
	}
	left, err := time.ParseDuration(d.Duration)
	if err != nil {
		o.mistake(e, "%s: %q is no duration", shorten(d.Value), shorten(d.Duration))
		return
	}
	e.Until = o.now.Add(left)
	if e.Since.After(e.Until) {
		e.Since = time.Time{}
	}
	e.By, e.Why = strings.TrimSpace("crowdsec "+d.Origin), d.Scenario
	o.entry(e, d.Value)
}
