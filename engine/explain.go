package engine

import (
	"errors"
	"fmt"
	"io/fs"

	"moonlatch/engine/ban"
	"moonlatch/engine/control"
	"moonlatch/engine/generation"
	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// explain makes an error one of the control API's, by what a caller can do about it.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var told *control.Error
	if errors.As(err, &told) {
		return told
	}
	if errors.Is(err, fs.ErrPermission) && !errors.Is(err, nft.ErrPermission) {
		err = fmt.Errorf("%w: use sudo, or name folders of yours with --state and --socket", err)
	}
	return &control.Error{Code: code(err), Message: err.Error()}
}

func code(err error) control.Code {
	var mistake *ruleset.Error
	if errors.As(err, &mistake) {
		return control.BadPolicy
	}
	for _, c := range [...]struct {
		is   error
		code control.Code
	}{
		{nft.ErrPermission, control.NotPermitted},
		{fs.ErrPermission, control.NotPermitted},
		{generation.ErrNoTrial, control.NoTrial},
		{generation.ErrExpired, control.RolledBack},
		{generation.ErrEnded, control.RolledBack},
		{ruleset.ErrTrial, control.BadRequest},
		{generation.ErrBusy, control.Busy},
		{ban.ErrProtected, control.Refused},
		{ban.ErrBadTarget, control.BadRequest},
		{ban.ErrBadTime, control.BadRequest},
		{ban.ErrNotBanned, control.NotFound},
	} {
		if errors.Is(err, c.is) {
			return c.code
		}
	}
	return control.Failed
}
