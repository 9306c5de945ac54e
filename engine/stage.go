package engine

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"moonlatch/engine/control"
	"moonlatch/engine/generation"
	"moonlatch/engine/lab"
	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// Staged is what is put in force in a lab: the policy in a file, or a stored generation.
type Staged struct {
	Policy     string              // a file; "" for the generation
	Generation *control.Generation // nil for a file
	State      string              // the state directory
}

// InForce is the generation in force on this host, to be staged.
func InForce(state string) (Staged, error) {
	client, err := nft.Open(nft.Config{})
	if err != nil {
		return Staged{}, explain(err)
	}
	defer client.Close()
	g, err := inForce(client, state)
	return Staged{Generation: g, State: state}, explain(err)
}

func inForce(client *nft.Client, state string) (*control.Generation, error) {
	g, err := generation.Open(generation.Config{NFT: client, Dir: state})
	if err != nil {
		return nil, err
	}
	s, err := g.State()
	if err != nil {
		return nil, err
	}
	if s.InForce() == nil {
		return nil, &control.Error{Code: control.Failed, Message: "nothing of Moonlatch is in force: everything passes; name the file of a policy"}
	}
	return describe(s.InForce()), nil
}

// rehearse puts it in force.
func (s Staged) rehearse(ctx context.Context, l *lab.Lab, in setting, log *slog.Logger) (*Rehearsal, error) {
	find := s.file
	if s.Generation != nil {
		find = func() (Origin, error) { return s.stored(l, &in) }
	}
	o, err := find()
	if err != nil {
		return nil, err
	}
	r, err := rehearse(ctx, l, o, in, log)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.feeds)) {
		log.Warn("a feed is empty here", "feed", name, "why", r.feeds[name])
	}
	return r, nil
}

// file finds the policy of a file.
func (s Staged) file() (Origin, error) {
	path, err := filepath.Abs(s.Policy)
	if err != nil {
		return Origin{}, err
	}
	folder, err := openFolder(filepath.Dir(path))
	if err != nil {
		return Origin{}, badPolicy(fmt.Errorf("the policy's folder cannot be read: %w", err))
	}
	return Origin{Folder: folder, Entry: filepath.Base(path), Path: path, State: s.State}, nil
}

// stored finds the policy of the generation, and what stands for it.
func (s Staged) stored(l *lab.Lab, in *setting) (Origin, error) {
	g, err := generation.Open(generation.Config{NFT: l.NFT, Dir: s.State})
	if err != nil {
		return Origin{}, err
	}
	n := s.Generation.Number
	text, fills, err := g.Text(n)
	if err != nil {
		return Origin{}, err
	}
	files, err := g.Files(n)
	if err != nil {
		return Origin{}, err
	}
	in.stored = &tables{n, string(ruleset.Tables(text).WithoutLease()), fills}
	for _, f := range ruleset.Tables(text).Families() {
		if strings.Contains(text, "\tset "+ruleset.Alive+" {") {
			in.stored.text += ruleset.FillGate(f, ruleset.Table(n), ruleset.Alive, time.Hour) + "\n"
		}
	}
	return Origin{Folder: bundle(files), Entry: s.Generation.Policy, Path: s.Generation.Path, State: s.State}, nil
}
