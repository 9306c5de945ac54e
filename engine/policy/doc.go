// Package policy turns a Lua policy into a ruleset, detectors, handlers and timers, and runs the handlers.
package policy
