package policy

import (
	"net/netip"
	"time"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/policy/sandbox"
	"moonlatch/engine/ruleset"
)

// Policy is a loaded policy. What it declares does not change any more and may
// be read by any goroutine, Handler.Match included. Whatever runs Lua (Handle,
// Hit, Tick, Close) belongs to one goroutine at a time.
type Policy struct {
	env       Env
	state     *sandbox.State
	set       *ruleset.Ruleset
	files     map[string][]byte
	detectors []*Detector
	handlers  []*Handler
	timers    []*Timer
	watchdog  Watchdog
	warnings  []*ruleset.Error

	load    *loader     // nil once the policy is loaded
	running *Callback   // nil while none runs
	objects *lua.LTable // metatable of the module's objects
	events  *events
}

// Watchdog is how a new ruleset is put on trial.
type Watchdog struct {
	Confirm  time.Duration // the length of the trial; default 60 s
	Fallback string        // what follows it unconfirmed: "previous" (default) or "open"
}

// Ruleset returns the validated ruleset.
func (p *Policy) Ruleset() *ruleset.Ruleset { return p.set }

// Files returns every file that the load read, by its name in the folder. A
// folder of exactly these files is the same policy.
func (p *Policy) Files() map[string][]byte { return p.files }

// Detectors returns the detectors in the order of the policy.
func (p *Policy) Detectors() []*Detector { return p.detectors }

// Handlers returns the handlers in the order of the policy.
func (p *Policy) Handlers() []*Handler { return p.handlers }

// Timers returns the timers in the order of the policy.
func (p *Policy) Timers() []*Timer { return p.timers }

// Watchdog returns how the policy wants to be put on trial.
func (p *Policy) Watchdog() Watchdog { return p.watchdog }

// Protected returns what the policy exempts from bans and traps.
func (p *Policy) Protected() []netip.Prefix { return p.set.Protected }

// Warnings returns what is allowed but most likely a mistake.
func (p *Policy) Warnings() []*ruleset.Error { return p.warnings }

// Close frees the Lua state. Nothing may be run after it.
func (p *Policy) Close() { p.state.Close() }
