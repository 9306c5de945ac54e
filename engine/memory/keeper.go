package memory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// writeEvery is the least time between two writes of the file: a policy may
// remember something with each packet.
const writeEvery = time.Second

// Keeper keeps one Memory in a file: the confirmed policy's. It is safe for
// concurrent use.
type Keeper struct {
	path  string
	log   *slog.Logger
	dirty chan struct{} // holds a token when something was changed

	mu   sync.Mutex
	kept *Memory

	written state // belongs to Run
}

// OpenKeeper reads the file, which need not be there. One that is damaged is put aside, under
// its name and ".damaged", and said to the log: a policy that has forgotten is better than none.
func OpenKeeper(path string, log *slog.Logger) (*Keeper, error) {
	k := &Keeper{path: path, log: log, dirty: make(chan struct{}, 1), kept: New(time.Now)}
	k.kept.changed = k.wake
	k.written.memory = k.kept
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return k, nil
	case err != nil:
		return nil, fmt.Errorf("what policies remember: %w", err)
	}
	entries, err := decode(data)
	if err == nil {
		k.kept.entries = entries
		return k, nil
	}
	aside := path + ".damaged"
	if err := os.Rename(path, aside); err != nil {
		return nil, fmt.Errorf("what policies remember is damaged, and cannot be put aside: %w", err)
	}
	log.Error("what policies remembered is damaged, so they start without it", "file", aside, "error", err)
	return k, nil
}

func (k *Keeper) wake() {
	select {
	case k.dirty <- struct{}{}:
	default:
	}
}

// Kept is the Memory that the file keeps.
func (k *Keeper) Kept() *Memory {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept
}

// Trial is a Memory for a policy on trial. It is empty before Begin, and nothing of
// it is kept before Keep.
func (k *Keeper) Trial() *Memory {
	m := New(time.Now)
	m.changed = k.wake
	return m
}

// Begin has a trial's Memory begin with what is kept now.
func (k *Keeper) Begin(trial *Memory) {
	entries, _ := k.Kept().content()
	trial.mu.Lock()
	defer trial.mu.Unlock()
	trial.entries = entries
	trial.version++
}

// Keep makes m the Memory that the file keeps.
func (k *Keeper) Keep(m *Memory) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept == m {
		return
	}
	k.kept = m
	k.wake()
}

func (k *Keeper) String() string { return "what policies remember" }

// Run writes the file after each change, but not more often than once a second,
// until ctx ends; then it writes what has not been written.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			k.write()
			return nil
		case <-k.dirty:
		}
		k.write()
		pause := time.NewTimer(writeEvery)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// state is what a file holds: a Memory as it was at one version.
type state struct {
	memory  *Memory
	version uint64
}

// write writes the kept Memory, unless the file holds it already. A disk that refuses
// is said to the log, and is asked again at the next change.
func (k *Keeper) write() {
	m := k.Kept()
	entries, version := m.content()
	now := state{m, version}
	if now == k.written {
		return
	}
	if err := replace(k.path, encode(entries)); err != nil {
		k.log.Error("what the policy remembers cannot be kept", "error", err)
		return
	}
	k.written = now
}

// replace replaces a file, so that whoever dies meanwhile leaves the old one or the new one.
func replace(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
