package generation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"moonlatch/engine/nft"
)

// The kill test runs this test binary again as a process that changes the
// firewall without end, and kills it.
const victimDir = "MOONLATCH_TEST_VICTIM_DIR"

// victimTrial is the length of its trials, which bounds every lock-out.
const victimTrial = time.Second

// TestVictim is the process that is killed: it applies rulesets, some of which
// lock everybody out, and confirms only those that do not.
func TestVictim(t *testing.T) {
	dir := os.Getenv(victimDir)
	if dir == "" {
		return // this is not that process
	}
	c, err := nft.Open(nft.Config{})
	must(t, err)
	m, err := Open(Config{NFT: c, Dir: dir})
	must(t, err)
	ctx := context.Background()
	for {
		lockOut := rand.IntN(2) == 0
		ports := []uint16{22}
		if lockOut {
			ports = nil
		}
		_, err := m.Apply(ctx, Request{
			Ruleset: only(ports...), Confirm: victimTrial, Fallback: FallbackPrevious, Files: map[string][]byte{"web.lua": []byte("-- policy")},
		})
		must(t, err)
		switch {
		case lockOut || rand.IntN(2) == 0:
			err = m.Rollback(ctx, 0)
		default:
			_, err = m.Confirm(ctx, 0)
		}
		if !errors.Is(err, ErrExpired) && !errors.Is(err, ErrNoTrial) {
			must(t, err)
		}
	}
}

// TestKill kills processes in the midst of apply, confirm and roll back, 100
// times in all. Whatever they were at, at the deadline the client must get in,
// and the store must be readable.
func TestKill(t *testing.T) {
	const hosts, kills = 20, 5
	var wait sync.WaitGroup
	for i := range hosts {
		s := newHost(t)
		wait.Go(func() {
			for range kills {
				if err := s.killOnce(); err != nil {
					t.Errorf("host %d: %v", i, err)
					return
				}
			}
		})
	}
	wait.Wait()
}

func (s *server) killOnce() error {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestVictim$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), victimDir+"="+s.dir)
	if err := s.host.Start(cmd); err != nil {
		return err
	}
	time.Sleep(300*time.Millisecond + time.Duration(rand.Int64N(int64(700*time.Millisecond))))
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	cmd.Wait() // it says that the process was killed, or why it failed before
	if cmd.ProcessState.Exited() {
		return fmt.Errorf("the victim failed by itself: %v", cmd.ProcessState)
	}
	// An nft that the victim had started may still be at work: its trial, too, is one second long.
	deadline := time.Now().Add(victimTrial)
	for !s.reaches("22") {
		if time.Now().After(deadline.Add(long)) {
			return errors.New("locked out after the deadline")
		}
	}
	return s.readable()
}

// readable checks the store and the next process's view.
func (s *server) readable() error {
	if _, err := s.m.Stored(); err != nil && !errors.Is(err, ErrNoStore) {
		return fmt.Errorf("the store is not readable: %w", err)
	}
	numbers, err := s.m.store.numbers()
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if _, err := s.m.store.load(n); err != nil {
			return err
		}
	}
	return s.host.Do(func() error {
		d, err := s.m.Drift(context.Background(), nft.Change{})
		if err != nil {
			return err
		}
		if d != nil {
			return fmt.Errorf("what a killed process did is taken for somebody else's doing: %s", d.What)
		}
		st, err := s.m.State()
		if err == nil && st.Trial != nil && st.Left > victimTrial {
			err = fmt.Errorf("a trial has %s left", st.Left)
		}
		return err
	})
}
