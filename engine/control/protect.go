package control

import (
	"context"
	"time"
)

// Protector is what can be asked about who is never banned.
type Protector interface {
	Protected(ctx context.Context) ([]Protected, error)
	Protect(ctx context.Context, req ProtectRequest) (ProtectResult, error)
	Unprotect(ctx context.Context, req UnprotectRequest) (UnprotectResult, error)
}

// Who protects an address from bans.
const (
	OwnerHost     = "host"     // it is this host's own
	OwnerGateway  = "gateway"  // it is a default gateway of this host
	OwnerResolver = "resolver" // it is a name server of this host
	OwnerSession  = "session"  // somebody is logged in from there, or applied the policy from there
	OwnerPolicy   = "policy"   // fw.protect
	OwnerUser     = "user"     // moonlatch protect
	OwnerKernel   = "kernel"   // found in the kernel: that of a policy or a session that this process does not know
)

// Protected is what is never banned, as one of its owners protects it.
type Protected struct {
	Target string    `json:"target"`
	Owner  string    `json:"owner"`
	Note   string    `json:"note,omitempty"` // of the user; or the name in the policy
	Added  time.Time `json:"added,omitzero"` // by the user
	// Resolved is set where the name does not resolve now, or has not yet since the daemon started: when it did last.
	Resolved time.Time `json:"resolved,omitzero"`
}

// ProtectRequest asks to protect an address or a prefix for good. One that the user protects already gets the note.
type ProtectRequest struct {
	Target string `json:"target"`
	Note   string `json:"note,omitempty"`
}

// ProtectResult is what is protected now. Bans of any of it were lifted.
type ProtectResult struct {
	APIVersion string `json:"apiVersion"`
	Protected
	Lifted []string `json:"lifted"` // the bans that covered it
}

// UnprotectRequest asks for the end of what ProtectRequest asked for.
type UnprotectRequest struct {
	Target string `json:"target"`
}

// UnprotectResult is what the user protects no more.
type UnprotectResult struct {
	APIVersion string `json:"apiVersion"`
	Target     string `json:"target"`
	Still      string `json:"still,omitempty"` // the owner that protects some of it all the same
}

func serveProtection(mux router, s Protector) {
	handle(mux, "GET /v1/protected", func(ctx context.Context, _ struct{}) ([]Protected, error) { return s.Protected(ctx) })
	handle(mux, "POST /v1/protect", s.Protect)
	handle(mux, "POST /v1/unprotect", s.Unprotect)
}

// Protected implements Protector.
func (c *Client) Protected(ctx context.Context) (p []Protected, err error) {
	err = c.call(ctx, "GET", "protected", nil, &p)
	return p, err
}

// Protect implements Protector.
func (c *Client) Protect(ctx context.Context, req ProtectRequest) (p ProtectResult, err error) {
	err = c.call(ctx, "POST", "protect", req, &p)
	return p, err
}

// Unprotect implements Protector.
func (c *Client) Unprotect(ctx context.Context, req UnprotectRequest) (r UnprotectResult, err error) {
	err = c.call(ctx, "POST", "unprotect", req, &r)
	return r, err
}
