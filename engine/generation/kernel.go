package generation

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// held is one generation as the kernel holds it: its tables, in one or more
// families, and what is in the gates of the first of them.
type held struct {
	number uint64
	tables []nft.Table

	leased bool // it has a lease: it is, or was, on trial
	lease  map[nft.Key]time.Duration
	yields bool // it has a yield: it stands, or stood, aside
	yield  map[nft.Key]time.Duration
	alive  Alive
}

// expired reports whether the generation was on trial and the kernel ended it.
func (h *held) expired() bool { return h.leased && len(h.lease) == 0 }

// aside reports whether the generation lets everything through for another one.
func (h *held) aside() bool { return h.yields && len(h.yield) > 0 }

// asideForGood reports whether no time ends that.
func (h *held) asideForGood() bool { return forGood(h.yield) }

// forGood reports whether an element of a gate is there to stay.
func forGood(gate map[nft.Key]time.Duration) bool {
	for _, left := range gate {
		if left == 0 {
			return true
		}
	}
	return false
}

// left is how much of the lease is left.
func (h *held) left() time.Duration { return least(h.lease) }

// least is what the first element of a gate to go has left.
func least(gate map[nft.Key]time.Duration) time.Duration {
	var out time.Duration
	for _, left := range gate {
		if out == 0 || left < out {
			out = left
		}
	}
	return out
}

// snapshot is every generation in the kernel, by what it is there for.
type snapshot struct {
	read      time.Time // when reading began
	confirmed *held
	trial     *held
	stale     []*held // neither: left behind by a process that died
}

// readKernel finds our generations among the kernel's tables.
func readKernel(c *nft.Client) (snapshot, error) {
	s := snapshot{read: time.Now()}
	all, err := heldGenerations(c)
	if err != nil {
		return s, fmt.Errorf("read the generations in the kernel: %w", err)
	}
	for _, h := range all {
		slot := &s.confirmed
		if h.leased {
			slot = &s.trial
		}
		// A trial that runs is the trial, whatever a process that died left half loaded.
		if *slot != nil && len((*slot).lease) > len(h.lease) {
			s.stale = append(s.stale, h)
			continue
		}
		if *slot != nil {
			s.stale = append(s.stale, *slot)
		}
		*slot = h
	}
	return s, nil
}

// heldGenerations lists the generations in the kernel in ascending order.
func heldGenerations(c *nft.Client) ([]*held, error) {
	tables, err := c.Tables()
	if err != nil {
		return nil, err
	}
	byNumber := map[uint64]*held{}
	for _, t := range tables {
		n, ok := tableNumber(t.Name)
		if !ok {
			continue
		}
		if byNumber[n] == nil {
			byNumber[n] = &held{number: n}
		}
		byNumber[n].tables = append(byNumber[n].tables, t)
	}
	out := make([]*held, 0, len(byNumber))
	for _, h := range byNumber {
		if err := h.readGates(c); err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b *held) int { return int(int64(a.number) - int64(b.number)) })
	return out, nil
}

// tableNumber returns the generation that a table belongs to.
func tableNumber(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, ruleset.CoreTable+"_")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && ruleset.Table(n) == name
}

func (h *held) readGates(c *nft.Client) (err error) {
	if h.lease, h.leased, err = readGate(c, h.tables[0], ruleset.Lease); err != nil {
		return err
	}
	if h.yield, h.yields, err = readGate(c, h.tables[0], ruleset.Yield); err != nil {
		return err
	}
	h.alive, err = readAlive(c, h.tables[0])
	return err
}

// readAlive returns a table's liveness lease, the zero one where it has none.
func readAlive(c *nft.Client, t nft.Table) (Alive, error) {
	info, err := c.SetInfo(t, ruleset.Alive)
	if errors.Is(err, nft.ErrNotExist) {
		return Alive{}, nil
	}
	if err != nil {
		return Alive{}, err
	}
	left, _, err := readGate(c, t, ruleset.Alive)
	return Alive{Lease: info.Timeout, Left: least(left)}, err
}

// readGate returns what is left of each of a gate's elements; found is false
// where the table has no such gate.
func readGate(c *nft.Client, t nft.Table, name string) (left map[nft.Key]time.Duration, found bool, err error) {
	left, err = c.Expiries(t, name)
	if errors.Is(err, nft.ErrNotExist) {
		return nil, false, nil
	}
	return left, err == nil, err
}

// gateKeys are the elements of a gate in a table, as ruleset.FillGate puts them in.
func gateKeys(t nft.Table) []nft.Key {
	if t.Family == nft.Inet {
		return []nft.Key{nft.KeyIPv4, nft.KeyIPv6}
	}
	return []nft.Key{"\x00\x00\x00\x00"} // a mark of 0
}
