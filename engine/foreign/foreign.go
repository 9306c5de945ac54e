// Package foreign takes, puts back and opens everything that filters packets on this machine, whoever made it: all of
// nf_tables, the older iptables and ip6tables, and ipsets.
package foreign

import (
	"context"
	"errors"
	"fmt"
	"time"

	"moonlatch/engine/nft"
)

// ErrPermission means that the caller may not see or change the machine's rules.
var ErrPermission = nft.ErrPermission

// Tools reaches what holds rules in the network namespace that it was made in. Its methods are to be called in that namespace,
// by one goroutine at a time.
type Tools struct {
	nft     *nft.Client
	private bool // in a namespace that nobody else works in
}

// Find returns the Tools of the calling thread's network namespace. It loads no kernel module. Close it after use.
func Find(context.Context) (*Tools, error) {
	client, err := nft.Open(nft.Config{})
	if err != nil {
		return nil, err
	}
	return &Tools{nft: client}, nil
}

// Close closes the sockets.
func (t *Tools) Close() error { return t.nft.Close() }

// Take takes a snapshot of everything, Moonlatch's own tables included. It first proves, in a private network namespace, that
// the snapshot can be put back, and returns an error that says what cannot otherwise. It changes nothing.
func (t *Tools) Take(ctx context.Context) (*Snapshot, error) {
	s, err := t.take(ctx)
	if err == nil {
		err = s.try(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("take a snapshot of the firewall: %w", err)
	}
	return s, nil
}

// take takes a snapshot without trying it.
func (t *Tools) take(ctx context.Context) (*Snapshot, error) {
	s, err := newSnapshot()
	if err != nil {
		return nil, err
	}
	if s.nft, err = t.nft.Image(); err != nil {
		return nil, err
	}
	for _, l := range legacies() {
		text, err := l.save(ctx)
		if err != nil {
			return nil, err
		}
		if text != "" {
			s.legacy[l.family] = text
		}
	}
	if err := arpOpen(ctx); err != nil {
		return nil, err
	}
	s.ipsets, err = saveIPSets(ctx)
	return s, err
}

// Restore makes the machine's rules those of the snapshot, and nothing else. What has a timeout goes on from when the snapshot was
// taken: elements whose time is over meanwhile are left out. nf_tables changes in one transaction, each legacy table as well.
//
// It goes on after a failure and returns all of them: what could be put back is. Calling it again does no harm.
func (t *Tools) Restore(ctx context.Context, s *Snapshot) error { return t.RestoreAround(ctx, s, nil) }

// RestoreAround is Restore, but the tables of nf_tables for which ours reports true are left alone, if all of them have the chains,
// rules and sets that they had: whatever became an element of these sets since then stays in them. Otherwise they, too, are put back.
func (t *Tools) RestoreAround(ctx context.Context, s *Snapshot, ours func(nft.Table) bool) error {
	elapsed := s.elapsed()
	conflicts, err := t.fillIPSets(ctx, s, elapsed)
	if len(conflicts) > 0 { // a set of another kind has the name, and rules hold it
		err = errors.Join(t.openRules(ctx), destroyIPSets(ctx, conflicts))
		if err == nil {
			_, err = t.fillIPSets(ctx, s, elapsed)
		}
	}
	errs := []error{err, t.restoreNFT(s, elapsed, ours)}
	for _, l := range legacies() {
		errs = append(errs, l.restore(ctx, s.legacy[l.family], t.private))
	}
	errs = append(errs, openARP(ctx), t.dropIPSets(ctx, s))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("put the firewall back: %w", err)
	}
	return nil
}

// restoreNFT puts nf_tables back, without what is about interfaces that are gone if the kernel takes it only so.
func (t *Tools) restoreNFT(s *Snapshot, elapsed time.Duration, ours func(nft.Table) bool) error {
	image, setErr := s.numbered()
	ours = t.unchanged(image, ours)
	err := t.nft.ReplaceExcept(image, elapsed, ours)
	if errors.Is(err, nft.ErrNotExist) {
		gone, linkErr := missing(image.Devices())
		if len(gone) > 0 {
			err = t.nft.ReplaceExcept(image.WithoutDevices(gone), elapsed, ours)
		}
		err = errors.Join(err, linkErr)
	}
	return errors.Join(setErr, err)
}

// unchanged returns ours if those tables are certainly as in the image, and otherwise nil.
func (t *Tools) unchanged(image *nft.Image, ours func(nft.Table) bool) func(nft.Table) bool {
	if ours == nil {
		return nil
	}
	now, err := t.nft.Outline()
	if err != nil || image.Outline(ours).Diff(now.Outline(ours)) != nil {
		return nil
	}
	return ours
}

// Open takes away everything that filters: all tables of nf_tables, and all rules, chains and policies of the legacy tables.
// Sets of ipset stay, for they filter nothing without rules. It needs no nft command and goes on after a failure, as Restore does.
func (t *Tools) Open(ctx context.Context) error {
	if err := t.openRules(ctx); err != nil {
		return fmt.Errorf("open the firewall: %w", err)
	}
	return nil
}

func (t *Tools) openRules(ctx context.Context) error {
	errs := []error{t.nft.Replace(&nft.Image{}, 0)}
	for _, l := range legacies() {
		errs = append(errs, l.restore(ctx, "", t.private))
	}
	return errors.Join(append(errs, openARP(ctx))...)
}
