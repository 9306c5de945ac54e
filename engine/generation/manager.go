package generation

import (
	"context"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// Config says where a Manager works. Both fields are needed.
type Config struct {
	NFT *nft.Client
	Dir string // the state directory, made where it is missing
}

// Manager changes generations, in the kernel and on disk. It is safe for
// concurrent use, also beside Managers of other processes on the same state
// directory: every change holds a lock there.
type Manager struct {
	nft   *nft.Client
	store *store
}

// Open returns a Manager. It changes nothing in the kernel.
func Open(cfg Config) (*Manager, error) {
	s, err := openStore(cfg.Dir)
	if err != nil {
		return nil, err
	}
	return &Manager{nft: cfg.NFT, store: s}, nil
}

// State reads what is in force from the kernel.
func (m *Manager) State() (State, error) {
	s, err := readKernel(m.nft)
	if err != nil {
		return State{}, err
	}
	return m.state(s), nil
}

func (m *Manager) state(s snapshot) State {
	out := State{Confirmed: m.describe(s.confirmed), Trial: m.describe(s.trial)}
	if s.trial != nil {
		out.Expired, out.Left, out.TrialAlive = s.trial.expired(), s.trial.left(), s.trial.alive
		out.Deadline = s.read.Add(out.Left)
	}
	if s.confirmed != nil {
		out.Aside, out.ConfirmedAlive = s.confirmed.aside(), s.confirmed.alive
	}
	return out
}

// describe fills in from the store what the kernel does not know. A generation
// whose record cannot be read still has its number.
func (m *Manager) describe(h *held) *Generation {
	if h == nil {
		return nil
	}
	r, err := m.store.describe(h.number)
	if err != nil {
		return &Generation{Number: h.number}
	}
	r.Armed = m.store.armed(h.number)
	return &r.Generation
}

// Stored returns which generation the next boot restores, or ErrNoStore.
func (m *Manager) Stored() (Generation, error) {
	c, err := m.store.confirmed()
	if err != nil {
		return Generation{}, err
	}
	r, err := m.store.loadConfirmed(c)
	return r.Generation, err
}

// Files returns every file of a generation's policy, as it was when it was applied, by name.
func (m *Manager) Files(n uint64) (map[string][]byte, error) { return m.store.policy(n) }

// Text returns a generation's ruleset as it was stored: its tables' nft text, and
// the content of the sets that are too large for it.
func (m *Manager) Text(n uint64) (string, []ruleset.Fill, error) {
	r, err := m.store.load(n)
	return r.text, r.fills, err
}

// Problems returns what kept the last boot from restoring the generation that was
// confirmed last, the newest first, until another one is confirmed.
func (m *Manager) Problems() []Problem { return m.store.problems() }

// locked runs fn while no other process changes the firewall.
func (m *Manager) locked(ctx context.Context, fn func(*change) error) error {
	lock, err := m.store.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	s, err := readKernel(m.nft)
	if err != nil {
		return err
	}
	return fn(&change{Manager: m, snapshot: s, lock: lock})
}

// next is the number of the next generation: above every one that the kernel or
// the disk knows, also where damage has taken all but its number.
func (c *change) next() (uint64, error) {
	stored, err := c.store.numbers()
	if err != nil {
		return 0, err
	}
	n, err := c.store.newestConfirmed()
	if err != nil {
		return 0, err
	}
	if len(stored) > 0 {
		n = max(n, stored[len(stored)-1])
	}
	for _, h := range append([]*held{c.confirmed, c.trial}, c.stale...) {
		if h != nil {
			n = max(n, h.number)
		}
	}
	return n + 1, nil
}
