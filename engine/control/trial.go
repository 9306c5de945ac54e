package control

import "time"

// ApplyRequest is a policy to put in force on trial: every file that it reads,
// so that whoever serves the request needs no access to the author's folder.
type ApplyRequest struct {
	Entry   string            `json:"entry"`
	Files   map[string][]byte `json:"files"`
	Path    string            `json:"path"`              // where the entry file is, for people and for a reload
	Confirm time.Duration     `json:"confirm"`           // 0 means what the policy says
	Spare   []string          `json:"spare"`             // addresses of the caller's own session, never to be banned
	By      string            `json:"by,omitempty"`      // filled in by the server
	Timeout time.Duration     `json:"timeout,omitempty"` // for the kernel to take the ruleset; 0 means a minute
}

// Applied is a generation that is now on trial.
type Applied struct {
	APIVersion string     `json:"apiVersion"`
	Generation Generation `json:"trial"`
	Left       float64    `json:"left_seconds"`
	Warnings   []string   `json:"warnings"`
	Daemon     bool       `json:"daemon"` // whether a daemon runs the policy's handlers and detectors
}

// ConfirmRequest asks to make the generation on trial permanent.
type ConfirmRequest struct {
	Generation uint64   `json:"generation,omitempty"`  // only this one; 0 means whichever is on trial
	NewSession bool     `json:"new_session,omitempty"` // refuse, unless the session is shown to be younger than the apply
	From       []string `json:"from,omitempty"`        // addresses that the caller's session comes from
	By         string   `json:"by,omitempty"`          // completed by the server
	PID        int      `json:"-"`                     // of the caller, as the kernel tells the server; 0 if it does not, or NoProcess
}

// NoProcess is the PID of who is no process of this host, but a page in a browser.
const NoProcess = -1

// Confirmed is a generation that was on trial and stays.
type Confirmed struct {
	APIVersion string `json:"apiVersion"`
	Generation
	Session
}

// How old the session of a confirm is, compared with the apply.
const (
	SessionNew     = "new" // it began later: the ruleset let it in
	SessionOld     = "old" // it was there already, so that it shows little
	SessionUnknown = "unknown"
)

// Session is what the session of a confirm shows.
type Session struct {
	Session string    `json:"session"`
	Since   time.Time `json:"session_since,omitzero"`
	Why     string    `json:"session_why,omitempty"` // it is unknown
}

// RollbackRequest asks to end the trial now.
type RollbackRequest struct {
	Generation uint64 `json:"generation,omitempty"` // only of this one; 0 means whichever is on trial
	By         string `json:"by,omitempty"`         // completed by the server
}

// ExtendRequest asks to prolong the trial.
type ExtendRequest struct {
	For time.Duration `json:"for"` // on top of what is left
}

// Extended is a trial that lasts longer now.
type Extended struct {
	APIVersion string     `json:"apiVersion"`
	Generation Generation `json:"trial"`
	Left       float64    `json:"left_seconds"`
	Deadline   time.Time  `json:"deadline"`
}
