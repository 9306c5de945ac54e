// Package control is the control API: what can be asked of Moonlatch, as plain
// data; its server on a unix socket; and a client. Whoever runs the firewall
// implements Service, in a daemon or in the command itself, so that both answer
// alike.
package control

import (
	"context"
	"time"
)

// Version is the version of the API and of every JSON document that commands print.
const Version = "moonlatch/v1"

// Service is what can be asked. Errors are *Error.
type Service interface {
	Status(ctx context.Context) (Status, error)
	Apply(ctx context.Context, req ApplyRequest) (Applied, error)
	Confirm(ctx context.Context, req ConfirmRequest) (Confirmed, error)
	Extend(ctx context.Context, req ExtendRequest) (Extended, error)
	Rollback(ctx context.Context, req RollbackRequest) (Status, error)
	Reset(ctx context.Context) (ResetResult, error)
	Console(ctx context.Context, req ConsoleRequest) (ConsoleResult, error)
	Ban(ctx context.Context, req BanRequest) (Ban, error)
	Unban(ctx context.Context, req UnbanRequest) (UnbanResult, error)
	Bans(ctx context.Context) ([]Ban, error)
	Rules(ctx context.Context) (RuleList, error)
	Changes(ctx context.Context) (ChangeList, error) // NoTrial without one
	BanLists
	Explainer
	Observing
	Tapper
	History(ctx context.Context, req HistoryRequest) ([]Entry, error)
	Top(ctx context.Context, req TopRequest) ([]Total, error)
	FeedLists
	Timeline(ctx context.Context, req TimelineRequest) ([]Point, error)
	Protector
}

// Generation is one applied ruleset.
type Generation struct {
	Number   uint64    `json:"generation"`
	Policy   string    `json:"policy"`
	Path     string    `json:"path,omitempty"`
	Digest   string    `json:"digest,omitempty"`
	Applied  time.Time `json:"applied,omitzero"`
	By       string    `json:"by,omitempty"`
	Fallback string    `json:"fallback,omitempty"`
}

// What filters at the moment.
const (
	Filtering = "confirmed" // the confirmed generation
	Trying    = "trial"     // a generation on trial
	Opened    = "open"      // none: everything passes
)

// Status is what is in force.
type Status struct {
	APIVersion string        `json:"apiVersion"`
	State      string        `json:"state"`
	Confirmed  *Generation   `json:"confirmed"`
	Trial      *Generation   `json:"trial"`
	Left       float64       `json:"left_seconds"`         // of the trial
	Length     float64       `json:"trial_seconds"`        // of the whole trial, up to now and what is left
	LeaseOver  bool          `json:"lease_over,omitempty"` // everything passes only until the liveness lease is renewed
	Note       string        `json:"note,omitempty"`
	Daemon     *DaemonStatus `json:"daemon"`
}

// DaemonStatus is what a running daemon knows beyond the kernel.
type DaemonStatus struct {
	PID        int            `json:"pid"`
	Since      time.Time      `json:"since"`
	Policy     string         `json:"policy,omitempty"`
	Generation uint64         `json:"generation,omitempty"`
	Events     uint64         `json:"events"`
	Lost       uint64         `json:"lost"`
	Bans       int            `json:"bans"`
	Callbacks  []CallbackInfo `json:"callbacks,omitempty"`
	Liveness   *Liveness      `json:"liveness,omitempty"` // nil without a liveness lease
	Drift      string         `json:"drift,omitempty"`    // how the kernel's rules differ from what is meant, because somebody else changed them
}

// Liveness is the liveness lease that the daemon renews while all is well.
type Liveness struct {
	Lease        float64   `json:"lease_seconds"`
	Left         float64   `json:"left_seconds"`           // 0 when it ran out
	Looked       time.Time `json:"looked,omitzero"`        // when the daemon looked last whether all is well
	Failing      string    `json:"failing,omitempty"`      // what it found then, when it was not
	FailingSince time.Time `json:"failing_since,omitzero"` // likewise
	OpenSince    time.Time `json:"open_since,omitzero"`    // when the lease ran out: everything passes since
}

// CallbackInfo is one detector, handler or timer of the running policy.
type CallbackInfo struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Place string `json:"place"`
	Off   bool   `json:"off"` // switched off because it kept failing
	Hits  uint64 `json:"hits"`
}

// ResetResult is what a reset took away.
type ResetResult struct {
	APIVersion  string   `json:"apiVersion"`
	Generations []uint64 `json:"generations"`
	Bans        int      `json:"bans"`
	Open        bool     `json:"open"` // none of our tables is left in the kernel
	Boot        uint64   `json:"boot_restores,omitempty"`
	Note        string   `json:"note,omitempty"`
}

// BanRequest asks for a ban of an address or a prefix.
type BanRequest struct {
	Target string        `json:"target"`
	For    time.Duration `json:"for"`
	Why    string        `json:"why"`
	Kill   bool          `json:"kill,omitempty"`  // ends what is established with the target
	Split  bool          `json:"split,omitempty"` // bans what of a prefix is not protected, each part by itself
}

// UnbanRequest asks for the end of one ban, of those within a prefix, of those that somebody made, or of all.
type UnbanRequest struct {
	Target string `json:"target,omitempty"`
	By     string `json:"by,omitempty"`
	All    bool   `json:"all,omitempty"`
}

// UnbanResult tells how many bans were lifted.
type UnbanResult struct {
	APIVersion string `json:"apiVersion"`
	Lifted     int    `json:"lifted"`
}

// Ban is one ban in force.
type Ban struct {
	Target string    `json:"target"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until"`
	By     string    `json:"by"`
	Why    string    `json:"why"`
	Origin string    `json:"origin"`
	Killed int       `json:"killed,omitempty"` // connections that were ended, where that was asked for
	Parts  []string  `json:"parts,omitempty"`  // what of the target was banned, where it was to be split
	But    []string  `json:"but,omitempty"`    // what of it is protected and was not
	Location
}
