package engine

import (
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/ban"
	"moonlatch/engine/feed"
	"moonlatch/engine/policy"
	"moonlatch/nflog"
)

// listeners are policies whose stream "closed" has one kind of listener, or none.
var listeners = map[string]string{
	"none":     ``,
	"detector": `fw.detect "portscan" { on = closed, count = "distinct dport", over = 1000, within = "60s" }`,
	"handler":  `fw.on(closed, { flags = "syn", tcp = "1-1023" }, function(ev) end)`,
	"refusal":  `fw.on(closed, { flags = "syn", tcp = "1024-65535" }, function(ev) end)`,
}

// newReader is a reader without a kernel, under a policy with one of the listeners.
func newReader(tb testing.TB, listener string) *reader {
	tb.Helper()
	return newReaderOf(tb, `input { "closed", flags = "syn", closed, fw.drop }
`+listeners[listener])
}

func newReaderOf(tb testing.TB, rules string) *reader {
	tb.Helper()
	p, err := policy.Load(fstest.MapFS{"policy.lua": {Data: []byte(`
local fw = require "moonlatch"
local closed = fw.stream "closed"
local input = fw.chain "input" { hook = "input" }
` + rules)}}, "policy.lua", policy.Env{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	rt, err := newRuntime(1, p)
	if err != nil {
		tb.Fatal(err)
	}
	running := new(atomic.Pointer[runtime])
	running.Store(rt)
	return &reader{running: running, queue: newQueue(), links: &links{}, teller: teller{feed: feed.NewHub(), log: slog.New(slog.DiscardHandler)}}
}

// synEvent is a logged SYN from source to a port, as the kernel reports it.
func synEvent(r *reader, source netip.Addr, port uint16) *nflog.Event {
	var prefix string
	for prefix = range r.running.Load().routes {
	}
	src := source.As4()
	b := []byte{0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, unix.IPPROTO_TCP, 0, 0, src[0], src[1], src[2], src[3], 198, 51, 100, 2}
	b = append(b, 0x9c, 0x40, byte(port>>8), byte(port), 0, 0, 0, 1, 0, 0, 0, 0, 0xa0, 2, 0xff, 0xff, 0, 0, 0, 0)
	return &nflog.Event{
		Prefix: []byte(prefix), Payload: append(b, make([]byte, 20)...), Time: time.Unix(1_700_000_000, 0),
		Family: unix.NFPROTO_IPV4, Hook: unix.NF_INET_LOCAL_IN, HWProtocol: unix.ETH_P_IP, InDev: 2,
		HWAddr: []byte{2, 3, 4, 5, 6, 7},
	}
}

// The packet path allocates nothing, whoever listens, and whether or not there is
// room in the queue.
func TestEventDoesNotAllocate(t *testing.T) {
	for name := range listeners {
		t.Run(name, func(t *testing.T) {
			r := newReader(t, name)
			ev := synEvent(r, netip.MustParseAddr("192.0.2.1"), 23)
			const runs = queueLimit + 100
			if n := testing.AllocsPerRun(runs-1, func() { r.event(ev) }); n != 0 { // and one to warm up
				t.Errorf("%v allocations per event", n)
			}
			if n := r.unrouted.Load() + r.undecoded.Load(); n != 0 {
				t.Errorf("%d events were not routed or decoded", n)
			}
			var want queueStats
			if name == "handler" {
				want = queueStats{waiting: queueLimit, dropped: runs - queueLimit}
			}
			if got := r.queue.stats(); got != want {
				t.Errorf("queue %+v, want %+v", got, want)
			}
			for _, d := range r.running.Load().detectors {
				if n := d.state.Stats().Events; n != runs {
					t.Errorf("the detector saw %d events of %d", n, runs)
				}
			}
		})
	}
}

// A flood at a trap comes from sources that are banned, or about to be.
func TestTrapDoesNotAllocate(t *testing.T) {
	r := newReaderOf(t, `input { "telnet", tcp = 23, fw.trap "24h", fw.drop }`)
	r.bans = openBook(t)
	ev := synEvent(r, netip.MustParseAddr("203.0.113.9"), 23)
	if n := testing.AllocsPerRun(1000, func() { r.event(ev) }); n != 0 {
		t.Errorf("%v allocations per event", n)
	}
	s := r.bans.Stats()
	if s.Queued != 1 || s.Suppressed[ban.SuppressedDuplicate] != 1000 || r.unbooked.Load() != 0 {
		t.Errorf("%d bans queued and %d duplicates, want one for all packets", s.Queued, s.Suppressed[ban.SuppressedDuplicate])
	}
}

// A callback has a copy of its packet: the reader goes on to the next meanwhile.
func TestEventIsCopied(t *testing.T) {
	r := newReader(t, "handler")
	ev := synEvent(r, netip.MustParseAddr("192.0.2.1"), 23)
	ev.Payload = append(ev.Payload, "data"...)
	ev.Payload[3] += 4 // the total length
	r.event(ev)
	copy(ev.Payload[len(ev.Payload)-4:], "DATA")
	ev.Payload[15] = 2 // the source
	r.event(ev)

	var c callback
	for _, want := range []string{"192.0.2.1 data", "192.0.2.2 DATA"} {
		if !r.queue.take(&c) {
			t.Fatalf("no callback for %s", want)
		}
		if got := c.packet.Src.String() + " " + string(c.packet.Payload); got != want || c.rule != "closed" {
			t.Errorf("callback of rule %q for %q, want closed and %q", c.rule, got, want)
		}
	}
}

// What one packet has and the next has not does not show in the next.
func TestEventForgets(t *testing.T) {
	r := newReader(t, "handler")
	ev := synEvent(r, netip.MustParseAddr("192.0.2.1"), 23)
	ev.UID, ev.GID, ev.HasUID, ev.Mark, ev.OutDev = 1, 2, true, 3, 4
	r.event(ev)
	if p := r.packet; !p.HasMAC || !p.HasOwner || p.Time != ev.Time {
		t.Errorf("%+v, want a MAC address, an owner and the time of the event", p)
	}
	local := synEvent(r, netip.MustParseAddr("192.0.2.1"), 23)
	local.HWAddr, local.Time, local.InDev = nil, time.Time{}, 0
	before := time.Now()
	r.event(local)
	p := r.packet
	if p.HasMAC || p.MAC != [6]byte{} || p.HasOwner || p.UID != 0 || p.GID != 0 || p.Mark != 0 || p.Iif != 0 || p.Oif != 0 {
		t.Errorf("%+v, want nothing of the packet before", p)
	}
	if p.Time.Before(before) {
		t.Errorf("time %v, want now for a packet without one", p.Time)
	}
}

// Events that nobody can make use of are counted.
func TestEventLosses(t *testing.T) {
	r := newReader(t, "handler")
	ev := func(change func(*nflog.Event)) *nflog.Event {
		e := synEvent(r, netip.MustParseAddr("192.0.2.1"), 23)
		change(e)
		return e
	}
	r.event(ev(func(e *nflog.Event) { e.Prefix = []byte("of nobody") }))
	r.event(ev(func(e *nflog.Event) { e.Payload = e.Payload[:30] }))
	r.event(ev(func(e *nflog.Event) { e.HWProtocol, e.Payload = unix.ETH_P_ARP, make([]byte, 28) })) // no loss: ARP is no IP
	if unrouted, undecoded := r.unrouted.Load(), r.undecoded.Load(); unrouted != 1 || undecoded != 1 {
		t.Errorf("%d events without a rule and %d not decoded, want one each", unrouted, undecoded)
	}
	lost := ev(func(*nflog.Event) {})
	r.running.Store(nil)
	r.event(lost)
	if n := r.unrouted.Load(); n != 2 {
		t.Errorf("%d events without a rule, want that without a policy too", n)
	}
}

// BenchmarkEvent is about the path from the kernel's event to a detector or into
// the queue, for packets of a few hundred sources to ever new ports.
func BenchmarkEvent(b *testing.B) {
	for name := range listeners {
		b.Run(name, func(b *testing.B) {
			r := newReader(b, name)
			var events []*nflog.Event
			for i := range 256 {
				events = append(events, synEvent(r, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 0))
			}
			now := time.Unix(1_700_000_000, 0)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i++
				ev := events[i%len(events)]
				ev.Payload[23] = byte(i/len(events)) | 1 // the port
				now = now.Add(time.Millisecond)
				ev.Time = now
				r.event(ev)
			}
		})
	}
}
