package nflog

import (
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tuning is what can change while packets flow.
type tuning struct {
	threshold uint32
	timeout   time.Duration
}

// timeoutUnit is the unit of NFULA_CFG_TIMEOUT.
const timeoutUnit = 10 * time.Millisecond

// tuning is what the kernel is told first: 1 where the threshold is to adapt.
func (c Config) tuning() tuning { return tuning{max(c.QueueThreshold, 1), c.FlushTimeout} }

func (t tuning) check() error {
	if t.timeout < 0 || t.timeout/timeoutUnit > math.MaxInt32 {
		return fmt.Errorf("nflog: flush timeout %v: want 0 to %v", t.timeout, math.MaxInt32*timeoutUnit)
	}
	return nil
}

// append adds t to the attributes b of a configuration request. The kernel
// allocates its whole buffer before the first packet, so the buffer is as large as
// the threshold needs and no larger.
func (t tuning) append(b []byte, copyRange uint32) []byte {
	need := uint64(t.threshold) * uint64(typicalMessage+copyRange)
	b = appendUint32(b, cfgBufSize, uint32(min(max(need, minBatch), maxBatch)))
	b = appendUint32(b, cfgTimeout, uint32(t.timeout/timeoutUnit))
	return appendUint32(b, cfgThreshold, t.threshold)
}

// tuner tells the kernel how to gather packets, and remembers what it told.
type tuner struct {
	raw       syscall.RawConn
	copyRange uint32
	sendFn    func(fd uintptr) // t.send, made once: a method value allocates

	mu       sync.Mutex    // held to change anything of what follows
	adaptive atomic.Bool   // the Reader chooses the threshold
	current  atomic.Uint32 // threshold
	previous uint32        // threshold
	timeout  time.Duration
	message  []byte // the request
	err      error  // of send
}

func newTuner(raw syscall.RawConn, cfg Config) *tuner {
	first := cfg.tuning()
	t := &tuner{
		raw: raw, copyRange: cfg.CopyRange,
		previous: first.threshold, timeout: first.timeout,
		message: configMessage(msgConfig, cfg.Group, first.append(nil, cfg.CopyRange)),
	}
	t.sendFn = t.send
	t.adaptive.Store(cfg.QueueThreshold == 0)
	t.current.Store(first.threshold)
	return t
}

// tell has the kernel gather packets as to says. The caller holds t.mu.
func (t *tuner) tell(to tuning) error {
	t.message = to.append(t.message[:requestHeader], t.copyRange)
	if err := t.raw.Control(t.sendFn); err != nil {
		return err
	}
	if t.err != nil {
		return t.err
	}
	t.previous = t.current.Swap(to.threshold)
	t.timeout = to.timeout
	return nil
}

func (t *tuner) send(fd uintptr) { _, t.err = unix.Write(int(fd), t.message) }

// Tune sets the queue threshold and the flush timeout anew, as in Config. It
// holds for packets logged from now on.
func (r *Reader) Tune(threshold uint32, timeout time.Duration) error {
	to := Config{QueueThreshold: threshold, FlushTimeout: timeout}.tuning()
	if err := to.check(); err != nil {
		return err
	}
	r.tuner.mu.Lock()
	defer r.tuner.mu.Unlock()
	if err := r.tuner.tell(to); err != nil {
		if r.closed.Load() {
			return net.ErrClosed
		}
		return fmt.Errorf("nflog: tune group %d: %w", r.group, err)
	}
	r.tuner.adaptive.Store(threshold == 0)
	return nil
}

// refusal returns the kernel's refusal of a request that tuned the group, if
// there was one.
func (r *Reader) refusal() error {
	errno := r.decoder.refused
	if errno == 0 {
		return nil
	}
	r.decoder.refused = 0
	if errno == unix.EPERM && r.tuner.giveUp() {
		return nil
	}
	return fmt.Errorf("nflog: tune group %d: %w", r.group, errno)
}

// giveUp ends the adapting, if the threshold is adaptive: a program may drop
// CAP_NET_ADMIN once it has a Reader, and go on reading.
func (t *tuner) giveUp() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.adaptive.Load() {
		return false
	}
	t.adaptive.Store(false)
	t.current.Store(t.previous)
	return true
}
