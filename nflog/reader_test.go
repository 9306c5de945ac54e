package nflog_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"moonlatch/nflog"
)

// seen is an Event that outlives its handler.
type seen struct {
	Prefix, Payload string
	Family, Hook    uint8
	HWProtocol      uint16
	Mark            uint32
	InDev, OutDev   uint32
	UID, GID        uint32
	HasUID, HasGID  bool
	Seq             uint32
	Stamped         bool // the time is now
}

func keep(e *nflog.Event) seen {
	age := time.Since(e.Time)
	return seen{
		Prefix: string(e.Prefix), Payload: string(e.Payload),
		Family: e.Family, Hook: e.Hook, HWProtocol: e.HWProtocol, Mark: e.Mark,
		InDev: e.InDev, OutDev: e.OutDev,
		UID: e.UID, GID: e.GID, HasUID: e.HasUID, HasGID: e.HasGID,
		Seq: e.Seq, Stamped: age > -time.Second && age < time.Minute,
	}
}

// collect reads until n events have come, or fails.
func collect(t *testing.T, r *nflog.Reader, n int) []seen {
	t.Helper()
	var events []seen
	within(t, r, func() {
		for len(events) < n {
			if err := r.Read(func(e *nflog.Event) { events = append(events, keep(e)) }); err != nil {
				t.Fatalf("Read: %v after %d of %d events, %+v", err, len(events), n, r.Stats())
			}
		}
	})
	return events
}

// within runs f and closes r if that takes too long, so that a Read that would
// wait forever fails instead.
func within(t *testing.T, r *nflog.Reader, f func()) {
	t.Helper()
	timer := time.AfterFunc(time.Minute, func() { r.Close() })
	defer timer.Stop()
	f()
}

func TestReadEvents(t *testing.T) {
	const loopback = 1 // the index of lo in a new namespace
	loadRules(t, `
		table inet t {
			chain out {
				type filter hook output priority filter
				udp dport 9 meta mark set 0x2a log prefix "on the way out" group 5
			}
			chain in {
				type filter hook input priority filter
				udp dport 9 log prefix "in: " group 5 drop
			}
		}`)
	r := open(t, nflog.Config{Group: 5})
	send(t, dialUDP(t, "127.0.0.1:9"), 1, []byte("four"))
	send(t, dialUDP(t, "[::1]:9"), 1, []byte("six"))

	events := collect(t, r, 4)
	for i, headers := range []int{28, 28, 48, 48} {
		events[i].Payload = events[i].Payload[headers:]
	}
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	want := []seen{
		{Prefix: "on the way out", Payload: "four", Family: unix.NFPROTO_IPV4, Hook: unix.NF_INET_LOCAL_OUT, HWProtocol: unix.ETH_P_IP, Mark: 0x2a, OutDev: loopback, UID: uid, GID: gid, HasUID: true, HasGID: true, Seq: 0},
		{Prefix: "in: ", Payload: "four", Family: unix.NFPROTO_IPV4, Hook: unix.NF_INET_LOCAL_IN, HWProtocol: unix.ETH_P_IP, Mark: 0x2a, InDev: loopback, Seq: 1, Stamped: true},
		{Prefix: "on the way out", Payload: "six", Family: unix.NFPROTO_IPV6, Hook: unix.NF_INET_LOCAL_OUT, HWProtocol: unix.ETH_P_IPV6, Mark: 0x2a, OutDev: loopback, UID: uid, GID: gid, HasUID: true, HasGID: true, Seq: 2},
		{Prefix: "in: ", Payload: "six", Family: unix.NFPROTO_IPV6, Hook: unix.NF_INET_LOCAL_IN, HWProtocol: unix.ETH_P_IPV6, Mark: 0x2a, InDev: loopback, Seq: 3, Stamped: true},
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestCopyRange(t *testing.T) {
	loadRules(t, logInput(5))
	conn := sender(t)
	for _, tt := range []struct{ configured, packet, want int }{
		{0, 500, 128},
		{40, 500, 40},
		{40, 30, 30},
		{1500, 1499, 1499},
		{nflog.MaxCopyRange, 60000, 60000},
	} {
		t.Run(fmt.Sprint(tt.configured, " of ", tt.packet), func(t *testing.T) {
			r := open(t, nflog.Config{Group: 5, CopyRange: uint32(tt.configured)})
			defer r.Close()
			send(t, conn, 1, make([]byte, tt.packet-28))
			if got := len(collect(t, r, 1)[0].Payload); got != tt.want {
				t.Errorf("payload of %d bytes, want %d", got, tt.want)
			}
		})
	}
}

func TestReadInOrder(t *testing.T) {
	for _, threshold := range []uint32{0, 1, 7, 1000} {
		t.Run(fmt.Sprint("threshold ", threshold), func(t *testing.T) {
			loadRules(t, logInput(5))
			r := open(t, nflog.Config{Group: 5, QueueThreshold: threshold})
			conn := sender(t)
			const n = 1000
			go func() {
				for i := range uint32(n) {
					conn.Write(be32(i))
				}
			}()
			for i, e := range collect(t, r, n) {
				if got := binary.BigEndian.Uint32([]byte(e.Payload[28:])); got != uint32(i) || e.Seq != uint32(i) {
					t.Fatalf("event %d: packet %d, sequence number %d", i, got, e.Seq)
				}
			}
			if s := r.Stats(); s.Events != n || s.Lost != 0 || s.Overruns != 0 || s.Malformed != 0 {
				t.Errorf("%+v, want %d events and nothing else", s, n)
			}
		})
	}
}

// What waits is handed over in one Read, up to a bound.
func TestReadDrains(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	send(t, sender(t), 100, nil)
	for _, want := range []uint64{64, 100} {
		if err := r.Read(func(*nflog.Event) {}); err != nil {
			t.Fatal(err)
		}
		if s := r.Stats(); s.Events != want {
			t.Errorf("%+v, want %d events", s, want)
		}
	}
	if s := r.Stats(); s.Reads != 2 || s.Datagrams != 100 {
		t.Errorf("%+v, want 2 reads of 100 datagrams", s)
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	loadRules(t, logInput(5))
	for _, threshold := range []uint32{1, 100} {
		r := open(t, nflog.Config{Group: 5, QueueThreshold: threshold})
		conn := sender(t)
		payload := make([]byte, 50)
		var events, bytes int
		handle := func(e *nflog.Event) { events++; bytes += len(e.Payload) + len(e.Prefix) }
		perRun := testing.AllocsPerRun(50, func() {
			send(t, conn, 200, payload)
			for end := events + 200; events < end; {
				if err := r.Read(handle); err != nil {
					t.Fatal(err)
				}
			}
		})
		if perRun != 0 {
			t.Errorf("threshold %d: %v allocations for 200 events", threshold, perRun)
		}
		if events < 10000 || bytes == 0 {
			t.Errorf("threshold %d: only %d events", threshold, events)
		}
		r.Close()
	}
}

// Wake has a Read return that waits, or the next one, whatever the threshold does
// meanwhile.
func TestWake(t *testing.T) {
	loadRules(t, `table inet t { chain in { type filter hook input priority filter; udp dport 9 log group 5 drop; }; }`)
	r := open(t, nflog.Config{Group: 5})
	within(t, r, func() {
		for i := range 20 {
			if i%2 == 0 {
				r.Wake()
			} else {
				time.AfterFunc(5*time.Millisecond, r.Wake)
			}
			if err := r.Read(func(*nflog.Event) { t.Error("an event of nothing") }); err != nil {
				t.Fatalf("Read after Wake: %v", err)
			}
		}
	})
	send(t, dialUDP(t, "127.0.0.1:9"), 1, []byte("still there"))
	if events := collect(t, r, 1); events[0].Payload == "" {
		t.Errorf("events after Wake: %+v", events)
	}
}
