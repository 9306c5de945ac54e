package nflog_test

import (
	"fmt"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"moonlatch/nflog"
)

// The kernel's own counter says how many packets there were: every one of them
// must have been an event or be counted as lost, once.
func TestLossIsExact(t *testing.T) {
	for _, threshold := range []uint32{1, 10} {
		t.Run(fmt.Sprint("threshold ", threshold), func(t *testing.T) {
			loadRules(t, logInput(5))
			r := open(t, nflog.Config{Group: 5, ReceiveBuffer: 20000, QueueThreshold: threshold})
			conn := sender(t)

			const incidents = 3
			for range incidents {
				send(t, conn, 2000, nil) // nobody reads: most of them are lost
				before := r.Stats()
				readUntilCounted(t, r, conn)
				if s := r.Stats(); s.Lost <= before.Lost || s.Lost+s.Events != logged(t) {
					t.Errorf("%+v, of %d packets", s, logged(t))
				}
			}
			s := r.Stats()
			if s.Overruns < incidents || s.Overruns > s.Lost {
				t.Errorf("%+v, want at least an overrun per incident, %d", s, incidents)
			}
			if s.Malformed != 0 || s.Events == 0 {
				t.Errorf("%+v, want events and nothing malformed", s)
			}
			t.Logf("%+v", s)
		})
	}
}

// readUntilCounted reads until events and losses make up all packets. It sends
// more, because a loss at the end shows with the next packet only.
func readUntilCounted(t *testing.T, r *nflog.Reader, conn *net.UDPConn) {
	t.Helper()
	var last uint32
	within(t, r, func() {
		for range 1000 {
			send(t, conn, 1, nil)
			err := r.Read(func(e *nflog.Event) {
				if e.Seq < last {
					t.Errorf("sequence number %d after %d", e.Seq, last)
				}
				last = e.Seq
			})
			if err != nil {
				t.Fatal(err)
			}
			if s := r.Stats(); s.Events+s.Lost == logged(t) {
				return
			}
		}
	})
}

// After an overrun the kernel drops all packets until the buffer is empty, though
// there be room for them, and reports that ahead of the packets in the buffer.
func TestOverrunLastsUntilEmpty(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5, ReceiveBuffer: 20000})
	conn := sender(t)
	send(t, conn, 2000, nil)
	if err := nflog.Discard(r, 1); err != unix.ENOBUFS {
		t.Fatalf("first read after an overrun: %v, want %v", err, unix.ENOBUFS)
	}
	if err := nflog.Discard(r, 10); err != nil {
		t.Fatal(err)
	}
	send(t, conn, 5, nil)
	if err := r.Read(func(e *nflog.Event) {
		if e.Seq >= 2000 {
			t.Errorf("packet %d got through", e.Seq)
		}
	}); err != nil {
		t.Fatal(err)
	}
	send(t, conn, 1, nil)
	if got := collect(t, r, 1)[0].Seq; got != 2005 {
		t.Errorf("packet %d got through, want 2005, the first after the buffer was empty", got)
	}
	if s := r.Stats(); s.Events+s.Lost != logged(t) {
		t.Errorf("%+v, of %d packets", s, logged(t))
	}
}

// The first packets may be lost too: the numbers start with the bind.
func TestLossBeforeFirstEvent(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	send(t, sender(t), 3, nil)
	if err := nflog.Discard(r, 2); err != nil {
		t.Fatal(err)
	}
	collect(t, r, 1)
	if s := r.Stats(); s.Lost != 2 || s.Events != 1 {
		t.Errorf("%+v, want 2 lost and 1 event", s)
	}
}
