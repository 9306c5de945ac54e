package engine

import (
	"errors"
	"fmt"
	"testing"

	"moonlatch/engine/control"
	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// TestBlame: what a policy cannot help is no mistake of the policy's.
func TestBlame(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]control.Code{
		errors.New("refused"):                  control.BadPolicy,
		fmt.Errorf("run: %w", nft.ErrNoBinary): control.Failed,
		fmt.Errorf("send: %w", nft.ErrTooBig):  control.NotPermitted,
	} {
		var told *control.Error
		if !errors.As(answerOf(err).blame(&ruleset.Script{}), &told) || told.Code != want {
			t.Errorf("%v is told as %+v, want %v", err, told, want)
		}
	}
}
