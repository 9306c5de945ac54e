package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/foreign"
)

// resetReport is what a reset of everybody's rules did, or would do.
type resetReport struct {
	APIVersion string               `json:"apiVersion"`
	DryRun     bool                 `json:"dry_run"`
	Ours       *control.ResetResult `json:"moonlatch,omitempty"`
	Open       bool                 `json:"open"`   // nothing filters, says the kernel
	Tables     []foreign.Table      `json:"tables"` // that were there
	Left       []foreign.Table      `json:"left"`   // that filter still
	IPSets     []string             `json:"ipsets"` // they stay, for they filter nothing without rules
	Forwarding map[string]bool      `json:"forwarding"`
	Origins    []foreign.Origin     `json:"origins"` // what brings rules back
	Snapshot   string               `json:"snapshot,omitempty"`
	Problems   []string             `json:"problems"`
}

// snapshotFile is where a reset of everything keeps what it took away.
func (a *app) snapshotFile() string { return filepath.Join(a.state, "reset.snapshot") }

// survey describes the rules that there are.
func survey(ctx context.Context, t *foreign.Tools) (resetReport, error) {
	now, err := t.Verify(ctx)
	return resetReport{
		APIVersion: control.Version, Open: now.Open, Tables: now.Tables, Left: now.Filtering(), IPSets: now.IPSets,
		Forwarding: forwarding(), Origins: foreign.Origins("/"), Problems: []string{},
	}, err
}

// forwarding tells for which families the machine forwards packets, which a reset does not change.
func forwarding() map[string]bool {
	out := map[string]bool{}
	for family, file := range map[string]string{"IPv4": "ipv4/ip_forward", "IPv6": "ipv6/conf/all/forwarding"} {
		b, err := os.ReadFile("/proc/sys/net/" + file)
		out[family] = err == nil && strings.TrimSpace(string(b)) != "0"
	}
	return out
}

// dryReset shows what a reset would take away.
func (a *app) dryReset(ctx context.Context, all bool) error {
	t, err := foreign.Find(ctx)
	if err != nil {
		return cannotReset(err)
	}
	defer t.Close()
	r, err := survey(ctx, t)
	if err != nil {
		return cannotReset(err)
	}
	r.DryRun = true
	if !all {
		notOurs := func(t foreign.Table) bool { return t.Tool != "nft" || !engine.OurTable(t.Name) }
		r.Tables = slices.DeleteFunc(r.Tables, notOurs)
		r.Left = slices.DeleteFunc(r.Left, func(t foreign.Table) bool { return !notOurs(t) })
	} else {
		r.Left = slices.DeleteFunc(r.Left, func(t foreign.Table) bool { return t.Owner == 0 })
	}
	return a.print(r, func(w *writer) { w.resetReport(r) })
}

// resetAll opens the machine. Whatever goes wrong on the way, it does all the rest.
func (a *app) resetAll(ctx context.Context) error {
	t, err := foreign.Find(ctx)
	if err != nil {
		return cannotReset(err)
	}
	defer t.Close()
	before, surveyErr := survey(ctx, t)
	kept, snapshotErr := a.keepSnapshot(ctx, t, len(before.Left) > 0)
	ours, oursErr := a.takeOursAway(ctx)
	openErr := t.Open(ctx)
	after, verifyErr := survey(ctx, t)
	r := after
	r.Tables, r.Ours = before.Tables, &ours
	r.Open = verifyErr == nil && after.Open
	if kept {
		r.Snapshot = a.snapshotFile()
	}
	if snapshotErr != nil {
		r.Problems = append(r.Problems, fmt.Sprintf("this reset cannot be undone: %v", snapshotErr))
	}
	for _, err := range []error{surveyErr, oursErr, openErr, verifyErr} {
		if err != nil {
			r.Problems = append(r.Problems, err.Error())
		}
	}
	if err := a.print(r, func(w *writer) { w.resetReport(r) }); err != nil {
		return err
	}
	if !r.Open {
		return &control.Error{Code: control.Failed, Message: "the machine is not open, or the kernel did not say so: see above"}
	}
	return nil
}

// keepSnapshot saves what the reset is about to take away, and reports whether there is a snapshot. If nothing filters, the one of the
// reset before stays.
func (a *app) keepSnapshot(ctx context.Context, t *foreign.Tools, filters bool) (bool, error) {
	if !filters {
		_, err := os.Stat(a.snapshotFile())
		return err == nil, nil
	}
	if err := os.MkdirAll(a.state, 0o700); err != nil {
		return false, err
	}
	s, err := t.Take(ctx)
	if err == nil {
		err = s.Save(a.snapshotFile())
	}
	if err != nil { // what an earlier one took away is not what --undo is to bring back now
		return false, errors.Join(err, remove(a.snapshotFile()))
	}
	return true, nil
}

// remove removes a file, if there is one.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// undoReset brings back what the last reset of everything took away.
func (a *app) undoReset(ctx context.Context) error {
	s, err := foreign.Load(a.snapshotFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &control.Error{Code: control.NotFound, Message: "there is nothing to undo: no reset --all keeps a snapshot in " + a.state}
	case err != nil:
		return err
	}
	t, err := foreign.Find(ctx)
	if err != nil {
		return cannotReset(err)
	}
	defer t.Close()
	if err := engine.PutBack(ctx, a.state, func() error { return t.Restore(ctx, s) }); err != nil {
		return err
	}
	r, err := survey(ctx, t)
	if err != nil {
		return err
	}
	if err := os.Remove(a.snapshotFile()); err != nil {
		return err
	}
	return a.print(r, func(w *writer) {
		w.linef("in force again, as at %s:", s.Taken.Local().Format(time.DateTime))
		w.tables(r.Tables)
	})
}

// cannotReset is why not even the kernel could be asked.
func cannotReset(err error) error {
	if errors.Is(err, foreign.ErrPermission) {
		return &control.Error{Code: control.NotPermitted, Message: err.Error()}
	}
	return err
}
