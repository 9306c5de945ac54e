package policy

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"moonlatch/engine/geo"
	"moonlatch/engine/memory"
)

// Actions is what handlers can do to the kernel. It is called on the policy's
// goroutine and must not wait for the kernel.
//
// A target is a prefix without host bits, or a single IPv6 address of which the
// policy means the /64: then it is a /64 with the bits of that address, so that
// who carries it out can do with the address alone.
type Actions interface {
	// Ban bans. An error, such as that the target is protected, is given to the
	// policy as a value.
	Ban(Ban) error
	Unban(target netip.Prefix) error
	Banned(netip.Addr) bool
	Bans() int
}

// Env is what a policy sees of the world outside. The zero Env is one without
// facts, logs and interface names, in which no ban can be made.
type Env struct {
	Actions Actions        // nil refuses every ban
	Memory  *memory.Memory // nil remembers nothing
	Log     *slog.Logger   // of fw.log; nil discards

	// Notify tells a target of notifications, and waits for nothing; nil tells
	// nobody. The error is given to the policy as a value.
	Notify func(Notice) error
	Now    func() time.Time // by which notifications are bounded; nil is time.Now

	// Facts, read while the policy loads. Interfaces is also what the names in
	// iif and oif are compared with, for the warnings.
	Interfaces func() []string
	Addresses  func() []netip.Addr
	Hostname   string

	// Folder is the policy's folder on this host, in which fw.feed finds files whenever they change; "" for none.
	Folder string

	// OpenGeo opens the databases that fw.geo names; nil refuses them.
	OpenGeo func(geo.Files) (*geo.DB, error)

	// Resolve looks a name's addresses up, in bounded time; nil knows no name.
	Resolve func(name string) ([]netip.Addr, error)

	// InterfaceName turns the index of an interface into its name, "" when
	// there is none. It is called on the packet path too, so it must be safe
	// for concurrent use, and neither wait nor allocate.
	InterfaceName func(index uint32) string
}

// noActions is for policies that run where there is nothing to act on.
type noActions struct{}

var errNoActions = errors.New("no bans can be made here")

func (noActions) Ban(Ban) error            { return errNoActions }
func (noActions) Unban(netip.Prefix) error { return errNoActions }
func (noActions) Banned(netip.Addr) bool   { return false }
func (noActions) Bans() int                { return 0 }
