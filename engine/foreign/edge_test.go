package foreign_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"moonlatch/engine/foreign"
)

// TestRemainingTime lets timeouts pass between the snapshot and its return.
func TestRemainingTime(t *testing.T) {
	machine(t, `
		nft add table inet t
		nft add set inet t s '{ type ipv4_addr; flags timeout; }'
		nft add set inet t i '{ type ipv4_addr; flags interval,timeout; }'
		nft add element inet t s '{ 192.0.2.1 timeout 2s, 192.0.2.2 timeout 1h, 192.0.2.3 }'
		nft add element inet t i '{ 192.0.2.0/25 timeout 2s, 192.0.2.128/25 timeout 1h, 10.0.0.0/8 }'
		ipset create s hash:ip timeout 100
		ipset add s 192.0.2.1 timeout 2; ipset add s 192.0.2.2 timeout 3600; ipset add s 192.0.2.3 timeout 0`, func(tools *foreign.Tools) {
		s, err := tools.Take(t.Context())
		must(t, err)
		time.Sleep(3 * time.Second)
		shell(t, "nft flush ruleset; ipset flush")
		must(t, tools.Restore(t.Context(), s))
		got := shell(t, "nft list ruleset; ipset save")
		for _, gone := range []string{"192.0.2.1 ", "192.0.2.0/25"} {
			if strings.Contains(got, gone) {
				t.Errorf("%s is back after its time", gone)
			}
		}
		for _, want := range []string{"192.0.2.2 timeout 1h expires 59m5", "192.0.2.3,", "192.0.2.128/25 timeout 1h expires 59m5", "10.0.0.0/8", "add s 192.0.2.3 timeout 0", "add s 192.0.2.2 timeout 359"} {
			if !strings.Contains(strings.Replace(got, "192.0.2.3 }", "192.0.2.3,", 1), want) {
				t.Errorf("want %q in\n%s", want, got)
			}
		}
	})
}

// TestOwnedTable keeps hands off what another process owns, and brings it back when that process is gone.
func TestOwnedTable(t *testing.T) {
	machine(t, "nft add table inet mine", func(tools *foreign.Tools) {
		owner := exec.Command("nft", "-i")
		in, err := owner.StdinPipe()
		must(t, err)
		must(t, owner.Start())
		defer owner.Process.Kill()
		fmt.Fprintln(in, "add table inet owned { flags owner; }")
		fmt.Fprintln(in, "add chain inet owned c { type filter hook input priority 0; policy drop; }")
		wait(t, func() bool { return strings.Contains(shell(t, "nft list ruleset"), "hook input") })
		s, err := tools.Take(t.Context())
		must(t, err)
		must(t, tools.Restore(t.Context(), s))
		must(t, tools.Open(t.Context()))
		r, err := tools.Verify(t.Context())
		must(t, err)
		if left := r.Filtering(); r.Open || len(left) != 1 || left[0].Owner != uint32(owner.Process.Pid) {
			t.Errorf("got %+v, want the table of process %d left", r, owner.Process.Pid)
		}
		must(t, owner.Process.Kill())
		owner.Wait() // it was killed
		wait(t, func() bool { return shell(t, "nft list ruleset") == "" })
		must(t, tools.Restore(t.Context(), s))
		if got := shell(t, "nft list ruleset"); !strings.Contains(got, "table inet owned {\n\tchain c") || !strings.Contains(got, "table inet mine") {
			t.Errorf("got %s", got)
		}
	})
}

// TestInterfaceGone restores although an interface that chains name is no longer there.
func TestInterfaceGone(t *testing.T) {
	machine(t, `nft -f - <<'END'
		table netdev edge {
			set named { type ipv4_addr; }
			chain in { type filter hook ingress device "left" priority 0; tcp dport { 1, 2 } jump { drop; }; ip saddr @named drop; }
			chain two { type filter hook ingress devices = { left, lo } priority 1; tcp dport { 3, 4 } drop; }
		}
		table inet t { chain in { type filter hook input priority 0; tcp dport { 5, 6 } drop; }; }
END`, func(tools *foreign.Tools) {
		s, err := tools.Take(t.Context())
		must(t, err)
		shell(t, "ip link del left; nft flush ruleset")
		must(t, tools.Restore(t.Context(), s))
		got := shell(t, "nft list ruleset")
		for _, want := range []string{"lo", "{ 3, 4 }", "{ 5, 6 }", "set named"} {
			if !strings.Contains(got, want) {
				t.Errorf("want %q in\n%s", want, got)
			}
		}
	})
}

// TestLockHeld restores while somebody who hangs holds the lock of iptables.
func TestLockHeld(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "lock")
	t.Setenv("XTABLES_LOCKFILE", lock)
	f, err := os.Create(lock)
	must(t, err)
	defer f.Close()
	machine(t, "iptables-legacy -A INPUT -j DROP", func(tools *foreign.Tools) {
		must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
		if err := exec.Command("iptables-legacy", "-w", "1", "-F").Run(); err == nil {
			t.Fatal("the lock does not hold")
		}
		must(t, tools.Open(t.Context()))
		if got := shell(t, "iptables-legacy-save"); strings.Contains(got, "DROP") {
			t.Errorf("got %s", got)
		}
	})
}

// TestRestoreGoesOn has one tool fail: the others' rules come back nevertheless, and the error says what failed.
func TestRestoreGoesOn(t *testing.T) {
	machine(t, rules, func(tools *foreign.Tools) {
		s, err := tools.Take(t.Context())
		must(t, err)
		shell(t, "nft flush ruleset; iptables-legacy -F; ip6tables-legacy -F")
		bin := t.TempDir()
		must(t, os.WriteFile(filepath.Join(bin, "iptables-legacy-restore"), []byte("#!/bin/sh\necho broken >&2\nexit 1\n"), 0o755))
		path := os.Getenv("PATH")
		t.Setenv("PATH", bin+":"+path)
		err = tools.Restore(t.Context(), s)
		if err == nil || !strings.Contains(err.Error(), "iptables-legacy-restore: broken") {
			t.Errorf("got error %v, want what failed", err)
		}
		got := listing(t)
		if !strings.Contains(got, "table inet mine") || !strings.Contains(got, "-A FORWARD -s 2001:db8::/32") {
			t.Errorf("the others' rules are not back:\n%s", got)
		}
		t.Setenv("PATH", path)
		must(t, tools.Restore(t.Context(), s))
		if got := listing(t); !strings.Contains(got, "--match-set bad src") {
			t.Errorf("not all is back:\n%s", got)
		}
	})
}

// TestRestoreWithoutIPSet has ipset fail: what needs no set is back all the same, and the error says what is not.
func TestRestoreWithoutIPSet(t *testing.T) {
	machine(t, rules, func(tools *foreign.Tools) {
		before := listing(t)
		s, err := tools.Take(t.Context())
		must(t, err)
		shell(t, "nft flush ruleset; iptables-legacy -F; ipset flush; for i in $(seq 500); do ipset destroy 2>/dev/null && exit; sleep 0.01; done; exit 1")
		bin := t.TempDir()
		must(t, os.WriteFile(filepath.Join(bin, "ipset"), []byte("#!/bin/sh\necho broken >&2\nexit 1\n"), 0o755))
		path := os.Getenv("PATH")
		t.Setenv("PATH", bin+":"+path)
		err = tools.Restore(t.Context(), s)
		for _, want := range []string{"ipset: broken", "rules that use the ipset both are left out"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want %q", err, want)
			}
		}
		t.Setenv("PATH", path)
		got := listing(t)
		for _, want := range []string{"table inet mine", "-p tcp -m tcp --dport 25 -m recent", "-A FORWARD -s 2001:db8::/32"} {
			if !strings.Contains(got, want) {
				t.Errorf("want %q in\n%s", want, got)
			}
		}
		must(t, tools.Restore(t.Context(), s))
		if diff := cmp.Diff(lines(before), lines(listing(t))); diff != "" {
			t.Error(diff)
		}
	})
}

// TestTakeRefuses what could not be put back, before anything is changed.
func TestTakeRefuses(t *testing.T) {
	machine(t, "ipset create s hash:ip", func(tools *foreign.Tools) {
		bin := t.TempDir()
		must(t, os.WriteFile(filepath.Join(bin, "ipset"), []byte("#!/bin/sh\n[ \"$1\" = restore ] && exit 1\nPATH="+os.Getenv("PATH")+" exec ipset \"$@\"\n"), 0o755))
		t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
		if _, err := tools.Take(t.Context()); err == nil || !strings.Contains(err.Error(), "could not be put back") {
			t.Errorf("got error %v, want a refusal", err)
		}
	})
}

// TestLooksLoadNothing looks at a machine where nobody has used a legacy tool.
func TestLooksLoadNothing(t *testing.T) {
	machine(t, "", func(tools *foreign.Tools) {
		_, err := tools.Take(t.Context())
		must(t, err)
		must(t, tools.Open(t.Context()))
		_, err = tools.Verify(t.Context())
		must(t, err)
		if got := shell(t, "cat /proc/net/ip_tables_names /proc/net/ip6_tables_names"); got != "" {
			t.Errorf("legacy tables came into being: %s", got)
		}
	})
}

// TestLoadRefusesDamage changes each of a snapshot's bytes, and cuts it short.
func TestLoadRefusesDamage(t *testing.T) {
	machine(t, "nft add table inet t", func(tools *foreign.Tools) {
		s, err := tools.Take(t.Context())
		must(t, err)
		path := filepath.Join(t.TempDir(), "snapshot")
		must(t, s.Save(path))
		whole, err := os.ReadFile(path)
		must(t, err)
		for i := range whole {
			damaged := append([]byte(nil), whole...)
			damaged[i] ^= 1
			for _, b := range [][]byte{damaged, whole[:i]} {
				must(t, os.WriteFile(path, b, 0o600))
				if _, err := foreign.Load(path); err == nil || !strings.Contains(err.Error(), path) {
					t.Fatalf("damaged at byte %d, it loads: %v", i, err)
				}
			}
		}
	})
}

func wait(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still waiting")
		}
	}
}
