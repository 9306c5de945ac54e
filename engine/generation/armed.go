package generation

import (
	"encoding/json"
	"os"
	"path/filepath"

	"moonlatch/engine/boottime"
)

// The file "armed" in a generation's folder holds when it came into force: a
// session that confirms it and began later shows that the ruleset let it in. The
// record is written earlier than that, and in wall clock time, which jumps.

func (s *store) armedPath(n uint64) string { return filepath.Join(s.generation(n), "armed") }

// arm writes down that a generation is in force by now.
func (s *store) arm(n uint64) error {
	now, err := boottime.Now()
	if err != nil {
		return err
	}
	b, err := json.Marshal(now)
	if err != nil {
		return err
	}
	return os.WriteFile(s.armedPath(n), b, 0o600)
}

// armed returns when a generation came into force at the latest, or the zero
// value where that was not written down.
func (s *store) armed(n uint64) boottime.Instant {
	b, err := os.ReadFile(s.armedPath(n))
	if err != nil {
		return boottime.Instant{}
	}
	var at boottime.Instant
	if json.Unmarshal(b, &at) != nil {
		return boottime.Instant{}
	}
	return at
}
