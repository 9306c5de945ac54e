package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// TestBrake holds a storm of bans back, tells of it once, and lets people ban meanwhile. The brake is that of the policy that runs.
func TestBrake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 10 {
		must(t, w.attacker.AddAddr("eth0", fmt.Sprintf("203.0.113.%d/24", 20+i)))
	}
	knock := func() {
		for i := range 10 {
			must(t, syn(w.attacker, fmt.Sprintf("203.0.113.%d", 20+i), net.JoinHostPort(serverForAttacker, "7")))
		}
	}
	held := func() int { return strings.Count(w.daemonLog(), "bans are held back") }
	w.start()
	w.ok("apply", w.policy("p.lua", establishedPolicy+`}; fw.brake { bans = "3/h" }`))
	w.ok("confirm")
	knock()
	knock()
	w.until("the storm is told of", func() bool { return held() > 0 })
	w.until("three are banned", func() bool { return len(w.bans()) == 3 })
	w.ok("ban", "192.0.2.1")
	knock()
	if b := w.bans(); len(b) != 4 {
		t.Errorf("%d are banned, want the 3 that the brake allows and one by hand", len(b))
	}
	if n := held(); n != 1 {
		t.Errorf("the storm is told of %d times, want once\n%s", n, w.daemonLog())
	}
	// Another policy has another brake.
	w.ok("apply", w.policy("p.lua", establishedPolicy+`}; fw.brake { bans = false, most = 6 }`))
	w.ok("confirm")
	knock()
	w.until("more are banned", func() bool { return len(w.bans()) == 6 })
	knock()
	if b := w.bans(); len(b) != 6 {
		t.Errorf("%d are banned, want 6 at most", len(b))
	} else if _, manual := b["192.0.2.1"]; !manual {
		t.Errorf("a person's ban made room: %v", b)
	}
}
