package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"moonlatch/engine/control"
)

// The exit codes; they are part of the command's interface.
const (
	exitOK           = 0
	exitFailure      = 1
	exitUsage        = 2
	exitPolicy       = 3
	exitUnreachable  = 4
	exitNotPermitted = 5
	exitDifferences  = 6
	exitRolledBack   = 7
)

// usageError is a command line that makes no sense.
type usageError struct {
	error
	command string
}

// commandError is the failure of a command that the user had run. Its exit code is ours.
type commandError struct {
	error
	code int
}

// exit prints the error, if there is one, and returns the exit code.
func (a *app) exit(err error) int {
	var found differences
	var part ended
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &found):
		return exitDifferences // they have been shown
	case errors.As(err, &testsFailed{}):
		return exitFailure // so have these
	case errors.As(err, &part):
		return part.code
	}
	code := exitCode(err)
	if a.output == "json" {
		json.NewEncoder(a.err).Encode(map[string]any{"apiVersion": control.Version, "error": err.Error(), "exit": code})
		return code
	}
	fmt.Fprintln(a.err, "moonlatch:", err)
	var u usageError
	if errors.As(err, &u) {
		fmt.Fprintf(a.err, "%s --help tells how to use it.\n", u.command)
	}
	return code
}

func exitCode(err error) int {
	var u usageError
	var c *control.Error
	var command commandError
	switch {
	case errors.As(err, &command):
		return command.code
	case errors.As(err, &u):
		return exitUsage
	case !errors.As(err, &c):
		return exitFailure
	}
	switch c.Code {
	case control.BadRequest:
		return exitUsage
	case control.BadPolicy:
		return exitPolicy
	case control.Unreachable:
		return exitUnreachable
	case control.NotPermitted:
		return exitNotPermitted
	case control.RolledBack:
		return exitRolledBack
	}
	return exitFailure
}
