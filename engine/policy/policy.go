package policy

import (
	"context"
	"net/netip"
	"sync"
	"time"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/blocklist"
	"moonlatch/engine/policy/sandbox"
	"moonlatch/engine/ruleset"
)

// Policy is a loaded policy. What it declares does not change any more. Its
// methods may be called by any goroutine; those that run Lua (Handle, Hit, Tick,
// Check) take turns. None but Check may be called after Close.
type Policy struct {
	env       Env
	state     *sandbox.State
	set       *ruleset.Ruleset
	files     map[string][]byte
	detectors []*Detector
	handlers  []*Handler
	timers    []*Timer
	metrics   []*metric
	watchdog  Watchdog
	geo       places
	feeds     []blocklist.Spec
	targets   []*Target
	notices   notices
	warnings  []*ruleset.Error

	protectNames []string
	braking      Brake
	aggregating  Aggregation

	turn     sync.Mutex // held by who runs Lua
	closed   bool
	load     *loader         // nil once the policy is loaded
	running  *Callback       // nil while none runs
	checking context.Context // of the check that runs; nil while none does
	readOnly bool            // while a console's code runs that may change nothing
	sessions sessions
	objects  *lua.LTable // metatable of the module's objects
	events   *events
}

// Watchdog is how a ruleset is put on trial, and guarded from then on.
type Watchdog struct {
	Confirm  time.Duration // the length of the trial; default 60 s
	Fallback string        // what follows it unconfirmed: "previous" (default) or "open"
	Lease    time.Duration // the liveness lease, within ruleset.CheckLease; 0 for none
	Drift    string        // what follows when others change the ruleset: "heal" (default) or "report"
	Check    *Callback     // what Policy.Check runs; nil for none
}

// Ruleset returns the validated ruleset.
func (p *Policy) Ruleset() *ruleset.Ruleset { return p.set }

// Files returns every file that the load read, by its name in the folder, and files of
// what it resolved. A folder of exactly these files is the same policy.
func (p *Policy) Files() map[string][]byte { return p.files }

// Detectors returns the detectors in the order of the policy.
func (p *Policy) Detectors() []*Detector { return p.detectors }

// Handlers returns the handlers in the order of the policy.
func (p *Policy) Handlers() []*Handler { return p.handlers }

// Timers returns the timers in the order of the policy.
func (p *Policy) Timers() []*Timer { return p.timers }

// Watchdog returns how the policy wants to be put on trial and guarded.
func (p *Policy) Watchdog() Watchdog { return p.watchdog }

// Protected returns what the policy exempts from bans and traps.
func (p *Policy) Protected() []netip.Prefix { return p.set.Protected }

// ProtectedNames returns the names of hosts that the policy exempts from bans, whatever they resolve to.
func (p *Policy) ProtectedNames() []string { return p.protectNames }

// Brake returns how the policy wants its bans held back.
func (p *Policy) Brake() Brake { return p.braking }

// Aggregation returns when the policy wants neighbours banned together.
func (p *Policy) Aggregation() Aggregation { return p.aggregating }

// Warnings returns what is allowed but most likely a mistake.
func (p *Policy) Warnings() []*ruleset.Error { return p.warnings }

// Close frees the Lua state, once the call at hand has ended. It does not wait for
// a check that waits for a probe: that one fails when it goes on.
func (p *Policy) Close() {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.closed = true
	p.state.Close()
}
