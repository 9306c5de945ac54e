package demo

import (
	"encoding/json"
	"fmt"
	"os"
)

// Report is what the demo measured, and whether each promise held.
type Report struct {
	APIVersion string    `json:"apiVersion"`
	Held       bool      `json:"held"` // every promise
	Scan       Scan      `json:"scan"`
	Client     Client    `json:"client"`
	LockOut    LockOut   `json:"lockout"`
	Promises   []Promise `json:"promises"`
	Failure    string    `json:"error,omitempty"` // why the demo could not be finished
}

// Scan is how the attacker's port scan went.
type Scan struct {
	Scanner     string  `json:"scanner"`
	Probes      uint64  `json:"probes"`       // packets that the attacker sent
	Through     uint64  `json:"through"`      // those that came before the ban
	BanMS       float64 `json:"ban_ms"`       // from the deciding packet's timestamp to the kernel's acknowledgement of the ban
	Why         string  `json:"why"`          // as the list of bans has it; empty when there is none
	WebBlocked  bool    `json:"web_blocked"`  // afterwards the attacker could not reach the web server either
	StillBanned bool    `json:"still_banned"` // and still could not with no daemon running
}

// Client is how an honest client fared while the policy was in force.
type Client struct {
	OK     int64  `json:"requests_ok"`
	Failed int64  `json:"requests_failed"`
	Error  string `json:"error,omitempty"` // of the first that failed
}

// LockOut is how the administrator's mistake went.
type LockOut struct {
	NewFailed       bool    `json:"new_connection_failed"`
	Stalled         bool    `json:"open_connection_stalled"`
	Killed          []int   `json:"killed"`            // processes of Moonlatch
	Left            []int   `json:"left"`              // those that were alive afterwards
	Seconds         float64 `json:"seconds"`           // from the apply to the first new connection
	LateMS          float64 `json:"late_ms"`           // from the kernel's deadline to the first new connection
	ClosedMS        float64 `json:"closed_ms"`         // from the deadline to the last attempt that was not answered: negative if all were before it
	OpenMS          float64 `json:"open_ms"`           // from the deadline to data on the connection that was open all the time
	OpenCarriesData bool    `json:"open_carries_data"` // whether there was any
	Previous        bool    `json:"previous_in_force"` // whether what is in force is the generation confirmed before
}

// Promise is one thing that Moonlatch promises.
type Promise struct {
	Text     string `json:"promise"`
	Measured string `json:"measured"`
	Held     bool   `json:"held"`
}

// What is promised, in numbers. An idle machine stays far below them. A busy one
// sends a scan's probes in bursts, and even its kernel's clock may stop for a while
// where it is a virtual one.
const (
	mostThrough = 250 // of a scan of 1,000 ports
	blinkMS     = 250 // the blink of an eye
)

// judge fills in the promises from what was measured.
func (r *Report) judge() {
	s, c, l := r.Scan, r.Client, r.LockOut
	r.Promises = []Promise{
		{"a port scan is cut off", fmt.Sprintf("%d of %d probes came through", s.Through, s.Probes), s.Why != "" && s.Through < mostThrough && s.Probes > s.Through},
		{"the ban comes in the blink of an eye", milliseconds(s.BanMS), s.Why != "" && s.BanMS < blinkMS},
		{"it holds for every port, open ones too", yes(s.WebBlocked, "the web server is out of reach", "the web server was reached"), s.WebBlocked},
		{"others notice nothing", fmt.Sprintf("%d requests, %d failed", c.OK+c.Failed, c.Failed), c.OK > 0 && c.Failed == 0},
		{"a mistake locks the administrator out", yes(l.NewFailed && l.Stalled, fmt.Sprintf("for %.2f s", l.Seconds), "it did not"), l.NewFailed && l.Stalled},
		{"nothing of Moonlatch need be alive", fmt.Sprintf("%d killed, %d left", len(l.Killed), len(l.Left)), len(l.Killed) > 0 && len(l.Left) == 0},
		{"the kernel lets them in again, on time", l.late(), l.ClosedMS < blinkMS},
		{"open connections go on", yes(l.OpenCarriesData, milliseconds(l.OpenMS)+" after the deadline", "it stayed dead"), l.OpenCarriesData},
		{"the policy confirmed before is back", yes(l.Previous, "web.lua", "it is not"), l.Previous},
		{"and its bans never ended", yes(s.StillBanned, "the scanner is still out", "the scanner came in"), s.StillBanned},
	}
	r.Held = true
	for _, p := range r.Promises {
		r.Held = r.Held && p.Held
	}
}

// late says when the way was open again. Where the machine is too busy to try
// often enough, nobody can tell exactly.
func (l LockOut) late() string {
	if l.LateMS < blinkMS {
		return milliseconds(l.LateMS) + " after the deadline"
	}
	return fmt.Sprintf("%s to %s after it", milliseconds(max(0, l.ClosedMS)), milliseconds(l.LateMS))
}

func milliseconds(ms float64) string { return fmt.Sprintf("%.1f ms", ms) }

func yes(b bool, then, otherwise string) string {
	if b {
		return then
	}
	return otherwise
}

func (r *Report) write(path string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

func readReport(path string) (r Report, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(b, &r)
}
