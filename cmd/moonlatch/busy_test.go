package main

import (
	"context"
	"net"
	"testing"

	"moonlatch/engine/control"
)

// busyPolicy counts packets exactly, while its handlers take more time than
// there is: the detector must not notice. Forty handlers use up a fifth of their
// budget for each packet. One never ends, one has a pattern that takes exponential
// time, and one is wrong: these fail, and are switched off.
const busyPolicy = `
local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input", policy = "accept" }
local knocks = fw.stream "knocks"
input { "knocks", udp = 9, knocks, fw.drop }
for i = 1, 40 do
  fw.on(knocks, function(ev) for i = 1, 200000 do end end)
end
fw.on(knocks, function(ev) while true do end end)
fw.on(knocks, function(ev) return (("a"):rep(40)):find(("a*"):rep(40) .. "b") end)
fw.on(knocks, function(ev) error("no " .. ev.dport) end)
fw.detect "flood" { on = knocks, count = "events", over = 1999, within = "1h", ban = "1h" }
`

// TestBusyHandlersCostNoDetection sends so many packets that the handlers would
// need minutes for them. The detector counts each as it comes and bans at the
// very one that decides, while the handlers' queue overflows.
func TestBusyHandlersCostNoDetection(t *testing.T) {
	w := confirmed(t, busyPolicy)
	daemon, err := control.Dial(t.Context(), w.socket())
	must(t, err)
	var conn net.Conn
	must(t, w.attacker.Do(func() (err error) {
		conn, err = net.Dial("udp", net.JoinHostPort(serverForAttacker, "9"))
		return err
	}))
	defer conn.Close()
	status := func() control.DaemonStatus {
		ctx, cancel := context.WithTimeout(t.Context(), generous)
		defer cancel()
		s, err := daemon.Status(ctx)
		must(t, err)
		return *s.Daemon
	}
	// A few at a time, so that none is lost for want of room in the kernel: in a
	// user namespace there is little.
	send := func(from, to int) {
		for sent := from; sent < to; {
			for n := 0; n < 40 && sent < to; n++ {
				_, err := conn.Write([]byte("knock"))
				must(t, err)
				sent++
			}
			w.until("the detector has seen what was sent", func() bool { return status().Events >= uint64(sent) })
		}
	}
	send(0, 1999)
	if b := w.bans(); len(b) > 0 {
		t.Errorf("banned before the deciding packet: %v", b)
	}
	send(1999, 2000)
	w.until("the flooder is banned", func() bool { return w.bans()[attacker4].By == "flood" })

	// All that while nearly every event was waiting for the handlers.
	s := status()
	if s.Lost == 0 {
		t.Error("the queue of the handlers did not overflow")
	}
	for _, c := range s.Callbacks {
		if c.Kind == "handler" && c.Hits > 1000 {
			t.Errorf("handler %s was done with %d packets already: it was not slow", c.Name, c.Hits)
		}
	}
	w.until("the handlers that fail are switched off, and they alone", func() bool {
		off := 0
		for _, c := range status().Callbacks {
			if c.Off {
				off++
			}
		}
		return off == 3
	})
}
