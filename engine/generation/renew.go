package generation

import (
	"context"
	"errors"
	"fmt"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// renewals is how often a renewal is tried when a generation that it is for goes
// away between looking and writing.
const renewals = 5

// Renew gives every generation with a liveness lease its full time again, from one
// transaction on, whether it had run out or not: to be called every third of the
// lease as long as all is well. Where none has one, it does nothing. It needs
// neither the store nor its lock, so that it waits for no change but the kernel's
// own part of it: what it fills lets a generation filter only if no other gate of
// it is against it.
func (m *Manager) Renew(ctx context.Context) error {
	var err error
	for range renewals {
		if err = m.renew(); !errors.Is(err, nft.ErrNotExist) || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("renew the liveness lease: %w", err)
	}
	return nil
}

func (m *Manager) renew() error {
	tables, err := m.nft.Tables()
	if err != nil && !errors.Is(err, nft.ErrInterrupted) { // bans that are made all the time do not matter here
		return err
	}
	tx := m.nft.Begin()
	for _, t := range tables {
		if _, ok := tableNumber(t.Name); !ok {
			continue
		}
		info, err := m.nft.SetInfo(t, ruleset.Alive)
		if errors.Is(err, nft.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		tx.FlushSet(t, ruleset.Alive)
		tx.AddKeys(t, ruleset.Alive, info.Timeout, gateKeys(t)...)
	}
	return tx.Commit()
}
