package nft_test

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/nft"
)

func TestLease(t *testing.T) {
	c := open(t, sets)
	tx := c.Begin()
	tx.AddKeys(table, "lease", 200*time.Millisecond, nft.KeyIPv4, nft.KeyIPv6)
	tx.AddKeys(table, "marks", 0, "\x01\x00\x00\x00")
	must(t, tx.Commit())
	if got := listed(t, "lease"); len(got) != 2 || !strings.HasPrefix(got[0], "ipv4 timeout 200ms") || !strings.HasPrefix(got[1], "ipv6 timeout 200ms") {
		t.Errorf("nft lists %q", got)
	}
	left, err := c.Expiries(table, "lease")
	must(t, err)
	for _, key := range []nft.Key{nft.KeyIPv4, nft.KeyIPv6} {
		if d, ok := left[key]; !ok || d <= 0 || d > 200*time.Millisecond {
			t.Errorf("key %x has %v left, %v", key, d, ok)
		}
	}
	if marks, err := c.Expiries(table, "marks"); err != nil || !maps.Equal(marks, map[nft.Key]time.Duration{"\x01\x00\x00\x00": 0}) {
		t.Errorf("got %v, %v, want a mark that stays", marks, err)
	}

	// While it runs, it can be ended, for one family only or for both.
	tx = c.Begin()
	tx.DeleteKeys(table, "lease", nft.KeyIPv4)
	must(t, tx.Commit())
	if left, err := c.Expiries(table, "lease"); err != nil || len(left) != 1 {
		t.Errorf("got %v, %v, want one element left", left, err)
	}

	// After it has ended, a transaction that relies on it fails as a whole.
	eventually(t, func() bool {
		left, err := c.Expiries(table, "lease")
		must(t, err)
		return len(left) == 0
	})
	before := command(t, "", "list", "ruleset")
	tx = c.Begin()
	tx.AddElements(table, "host4", elements("192.0.2.1"))
	tx.DeleteKeys(table, "lease", nft.KeyIPv6)
	tx.DeleteSet(table, "ports")
	wantErr(t, tx.Commit(), nft.ErrNotExist, "lease")
	if diff := cmp.Diff(before, command(t, "", "list", "ruleset")); diff != "" {
		t.Error(diff)
	}
}

// TestRenewLease renews a lease the way that works on every kernel, and looks at no moment without one.
func TestRenewLease(t *testing.T) {
	c := open(t, sets)
	reader, err := nft.Open(nft.Config{})
	must(t, err)
	defer reader.Close()
	tx := c.Begin()
	tx.AddKeys(table, "lease", time.Minute, nft.KeyIPv4, nft.KeyIPv6)
	must(t, tx.Commit())
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			left, err := reader.Expiries(table, "lease")
			if err != nil && !errors.Is(err, nft.ErrInterrupted) {
				t.Error(err)
				return
			}
			if err == nil && len(left) != 2 {
				t.Errorf("a reader saw %v", left)
				return
			}
		}
	})
	for i := range 200 {
		tx := c.Begin()
		tx.FlushSet(table, "lease")
		tx.AddKeys(table, "lease", time.Duration(i+2)*time.Minute, nft.KeyIPv4, nft.KeyIPv6)
		must(t, tx.Commit())
	}
	close(stop)
	wg.Wait()
	left, err := c.Expiries(table, "lease")
	if err != nil || left[nft.KeyIPv4] < 200*time.Minute || left[nft.KeyIPv6] < 200*time.Minute {
		t.Errorf("got %v, %v, want 201 minutes", left, err)
	}
}
