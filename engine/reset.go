package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"moonlatch/engine/control"
	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
	"moonlatch/engine/store"
)

// ResetKernel takes every table of ours out of the kernel and asks it whether they are gone. It needs neither a daemon, nor
// the state directory, nor the nft command, and waits for no lock: it is for when [Firewall.Reset] cannot work.
func ResetKernel() (control.ResetResult, error) {
	out := control.ResetResult{APIVersion: control.Version}
	client, err := nft.Open(nft.Config{})
	if err != nil {
		return out, explain(err)
	}
	defer client.Close()
	ours, err := ourTables(client)
	if err != nil {
		return out, explain(err)
	}
	tx := client.Begin()
	for _, t := range ours {
		tx.DeleteTable(t)
		number := strings.TrimPrefix(t.Name, ruleset.CoreTable+"_")
		if n, err := strconv.ParseUint(number, 10, 64); err == nil {
			out.Generations = append(out.Generations, n)
		}
	}
	if err := tx.Commit(); err != nil {
		return out, explain(fmt.Errorf("reset: %w", err))
	}
	left, err := ourTables(client)
	out.Open = err == nil && len(left) == 0
	return out, explain(err)
}

// ForgetBans strikes every ban off the record in a state directory, so that neither a boot nor a daemon brings them back.
func ForgetBans(ctx context.Context, state string) error {
	if !store.Exists(state) {
		return nil
	}
	s, err := store.Open(ctx, store.Config{Dir: state, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		s.ForgetAll()
		err = errors.Join(s.Flush(ctx), s.Close())
	}
	if err != nil {
		return fmt.Errorf("the bans on record are still there, and come back at boot: %w", err)
	}
	return nil
}

// OurTable reports whether a table's name is that of the core table or of a generation.
func OurTable(name string) bool {
	number, ok := strings.CutPrefix(name, ruleset.CoreTable+"_")
	if !ok {
		return name == ruleset.CoreTable
	}
	_, err := strconv.ParseUint(number, 10, 64)
	return err == nil
}

func ourTables(c *nft.Client) ([]nft.Table, error) {
	all, err := c.Tables()
	var ours []nft.Table
	for _, t := range all {
		if OurTable(t.Name) {
			ours = append(ours, t)
		}
	}
	return ours, err
}
