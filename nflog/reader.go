package nflog

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Reader receives the packets logged to one NFLOG group.
//
// One goroutine at a time may call Read; every other method is safe to call
// from any goroutine at any time.
type Reader struct {
	group  uint16
	opened time.Time
	conn   *netlink.Conn
	raw    syscall.RawConn
	closed atomic.Bool
	woken  atomic.Bool // Read shall return
	stats  counters
	tuner  *tuner

	// What follows belongs to the goroutine in Read.
	decoder   decoder
	receiveFn func(fd uintptr) (done bool) // r.receive, made once: a method value allocates
	buf       []byte                       // room for the largest datagram that the kernel was told to make
	wait      bool                         // receive shall wait for a datagram
	n         int                          // size of the datagram in buf, 0 for none
	err       error                        // why receive gave up
	follower  follower
}

// maxDatagrams bounds what one Read brings, so that its caller gets to other
// work under any load.
const maxDatagrams = 64

// Stats are totals since Open. The package comment explains the losses.
type Stats struct {
	Events    uint64 // packets handed to the handler
	Datagrams uint64 // netlink datagrams received; Events/Datagrams is the kernel's mean batch
	Reads     uint64 // calls of Read
	Lost      uint64 // packets that the kernel numbered but no handler saw
	Overruns  uint64 // times the kernel reported a full receive buffer
	Malformed uint64 // messages skipped because they made no sense

	Threshold uint32 // the queue threshold that the kernel was told last
	Tunings   uint64 // times that an adaptive threshold changed
}

type counters struct {
	events, datagrams, reads, lost, overruns, malformed, tunings atomic.Uint64
}

// Open binds cfg.Group in the network namespace of the calling thread.
//
// Errors that a program may want to tell apart are ErrGroupBusy, ErrPermission
// and ErrUnsupported.
func Open(cfg Config) (*Reader, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	conn, err := dial(cfg)
	if err != nil {
		return nil, err
	}
	r, err := newReader(conn, cfg)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
}

func newReader(conn *netlink.Conn, cfg Config) (*Reader, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("nflog: netlink socket: %w", err)
	}
	if err := bind(raw, cfg); err != nil {
		return nil, err
	}
	r := &Reader{
		group: cfg.Group, opened: time.Now(),
		conn: conn, raw: raw, tuner: newTuner(raw, cfg),
		buf: make([]byte, max(maxBatch, maxMessage+int(cfg.CopyRange))),
	}
	r.receiveFn = r.receive
	return r, nil
}

// Read waits until packets arrive and calls handle for each in the kernel's
// order. It goes on until it has handed over all that was there, or a bounded
// batch of it; call it again for more. It returns net.ErrClosed after Close.
//
// Wake has it return early. A full receive buffer is no error: Stats counts it, and what it lost.
func (r *Reader) Read(handle func(*Event)) error {
	r.stats.reads.Add(1)
	for i := range maxDatagrams {
		r.wait = i == 0
		if err := r.datagram(); err != nil {
			return r.readError(err)
		}
		if r.n == 0 {
			break
		}
		r.decoder.datagram(r.buf[:r.n], handle)
		r.stats.add(&r.decoder.tally)
	}
	if err := r.refusal(); err != nil {
		return err
	}
	r.adapt()
	return nil
}

// datagram reads one datagram into buf. While it waits, r.adapt has it look up
// from time to time.
func (r *Reader) datagram() error {
	for {
		err := r.raw.Read(r.receiveFn)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			r.lookUp(time.Time{})
			r.adapt()
			if r.woken.Swap(false) {
				r.n = 0
				return nil
			}
			continue
		}
		if err != nil {
			return err
		}
		return r.err
	}
}

// receive reads one datagram into buf. The runtime calls it again, once the
// socket has something to read, when it reports false.
func (r *Reader) receive(fd uintptr) (done bool) {
	r.n, r.err = 0, nil
	for {
		n, err := unix.Read(int(fd), r.buf)
		switch err {
		case nil:
			r.n = n
			return true
		case unix.ENOBUFS:
			r.stats.overruns.Add(1)
		case unix.EINTR:
		case unix.EAGAIN:
			return !r.wait
		default:
			r.err = err
			return true
		}
	}
}

func (r *Reader) readError(err error) error {
	if r.closed.Load() {
		return net.ErrClosed
	}
	return fmt.Errorf("nflog: read group %d: %w", r.group, err)
}

// Wake has a Read that waits return without packets, so that its goroutine can do
// something else, within a fraction of a second at the latest. Where none waits,
// the next one may return so.
func (r *Reader) Wake() {
	r.woken.Store(true)
	r.lookUp(time.Unix(1, 0))
}

// Close unbinds the group and ends a Read that waits. It may be called again,
// and from within a handler.
func (r *Reader) Close() error {
	r.closed.Store(true)
	if err := r.conn.Close(); err != nil {
		return fmt.Errorf("nflog: close group %d: %w", r.group, err)
	}
	return nil
}

// ReceiveBuffer returns the receive buffer that the kernel granted, in bytes as
// Config.ReceiveBuffer counts them, or 0 after Close.
func (r *Reader) ReceiveBuffer() int {
	n, err := r.conn.ReadBuffer()
	if err != nil {
		return 0
	}
	return n / 2 // the kernel doubles it for its own overhead, socket(7)
}

// Stats returns the totals so far. Those of a datagram are added as soon as all
// its packets are handled.
func (r *Reader) Stats() Stats {
	s := &r.stats
	return Stats{
		Events: s.events.Load(), Datagrams: s.datagrams.Load(), Reads: s.reads.Load(),
		Lost: s.lost.Load(), Overruns: s.overruns.Load(), Malformed: s.malformed.Load(),
		Threshold: r.tuner.current.Load(), Tunings: s.tunings.Load(),
	}
}

// add moves the tally of a datagram into the totals.
func (c *counters) add(t *tally) {
	c.datagrams.Add(1)
	c.events.Add(t.events)
	if t.lost > 0 {
		c.lost.Add(t.lost)
	}
	if t.malformed > 0 {
		c.malformed.Add(t.malformed)
	}
	*t = tally{}
}
